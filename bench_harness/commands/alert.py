"""bench alert: is head worse than base, by what `bench compare` and asv measured? In the words of a CI, or in text.

Writes record.json first, then prints from it. It measures nothing, unless --confirm lets it compare suspects afresh.
"""

import argparse
import functools
import json
import os
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.alert import compare_records, confirming, findings, gathering, github, junit, markdown, text
from bench_harness.alert.gathering import Evidence, Request
from bench_harness.config import Config, load_config, nearest
from bench_harness.errors import ExitCode, UsageError
from bench_harness.record import Record, utc_now, write_text
from bench_harness.run_folders import keep_record, refuse_foreign_record, run_folder

ASV_CONFIG = "asv.conf.json"
FORMATS = ("text", "github", "markdown", "junit", "json")
BUDGET = "60s"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench alert`."""
    add = parser.add_argument
    add("--base", required=True, metavar="REF", help="what head is compared with: a branch, tag or commit")
    add("--head", default="HEAD", metavar="REF", help="the commit in question (default: HEAD)")
    add(
        "--format",
        action="append",
        type=parse_format,
        metavar="F[=FILE]",
        help=f"{', '.join(FORMATS)} (default: text); may be repeated, each with a file of its own",
    )
    add("--output", type=Path, metavar="FILE", help="write the report here, not to stdout")
    add("--compare", action="append", type=Path, default=[], metavar="RECORD", help=_COMPARE_HELP)
    add("--confirm", nargs="?", const=BUDGET, metavar="BUDGET", help=_CONFIRM_HELP)
    add("--history", action="store_true", help="add the steps of the history whose first bad commit is after base")
    add("--bench", metavar="REGEX", help="only benchmarks whose name fits")
    add("--machine", metavar="NAME", help="take asv's results of this machine (default: this one)")
    add("--asv-config", type=Path, metavar="FILE", help=f"default: {ASV_CONFIG}, if it is there")
    add("--out", type=Path, metavar="DIR", help="write record.json here (default: a new folder below profiles/)")


_COMPARE_HELP = "a record of bench compare (default: those of these commits and this machine below profiles/)"
_CONFIRM_HELP = f"let bench compare settle within BUDGET (default: {BUDGET}) what asv's results leave open"


def parse_format(given: str) -> tuple[str, Path | None]:
    """Return (format, file) of --format: github, or markdown=comment.md."""
    form, _, file = given.partition("=")
    if form not in FORMATS:
        raise argparse.ArgumentTypeError(f"'{form}': {nearest(form, FORMATS)}")
    return form, Path(file) if file else None


def run(args: argparse.Namespace) -> int:
    """Gather, confirm, write the record, report it."""
    started, clock = utc_now(), time.perf_counter()
    outputs = planned_outputs(args.format or [("text", None)], args.output)
    config = load_config()
    request = _request(args, config)
    if args.out:
        refuse_foreign_record(args.out, "alert")
    found = gathering.gather(request)
    confirmation = _confirm(args, request, found)
    gathering.complete(found, request)
    conditions, plugin_warnings = environment.collect()
    results, code = _results(args, request, found, confirmation)
    record = Record(
        command="alert",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=True,
        environment=conditions,
        warnings=[*found.warnings, *plugin_warnings],
        results=results,
    )
    out = args.out or run_folder("alert", config.profiles, commit=request.head, machine=conditions["machine"])
    written = keep_record(record, out, config.profiles)
    for form, file in outputs:
        _report(written, form, file, Path(os.path.relpath(out)).as_posix())
    return code


def planned_outputs(formats: list[tuple[str, Path | None]], output: Path | None) -> list[tuple[str, Path | None]]:
    """Return what goes where.

    Raises:
        UsageError: two reports would share a place, or a file cannot be there.
    """
    nowhere = [form for form, file in formats if file is None]
    if output is not None and len(nowhere) != 1:
        raise UsageError(f"--output {output}: give it to one --format that has no file, here there are {len(nowhere)}")
    if len(nowhere) > 1:
        raise UsageError(f"--format {' and '.join(nowhere)} would share stdout; give all but one a file: junit=FILE")
    planned = [(form, file or output) for form, file in formats]
    files = [file for _, file in planned if file is not None]
    for file in files:
        if files.count(file) > 1 or file.is_dir() or not file.absolute().parent.is_dir():
            raise UsageError(f"{file}: cannot be written: give a file of its own, in a folder that exists")
    return planned


def _request(args: argparse.Namespace, config: Config) -> Request:
    if args.bench is not None:
        try:
            re.compile(args.bench)
        except re.error as error:
            raise UsageError(f"--bench {args.bench}: not a regular expression: {error}") from error
    folder = Path()
    base, head = (gathering.resolve(folder, getattr(args, side), f"--{side}") for side in ("base", "head"))
    if base == head:
        raise UsageError(f"--base {args.base} and --head {args.head} are the same commit {base[:12]}")
    asv_config = args.asv_config or (Path(ASV_CONFIG) if Path(ASV_CONFIG).is_file() else None)
    return Request(
        base,
        head,
        config,
        folder,
        environment.machine_label(),
        args.compare,
        asv_config,
        args.machine,
        args.bench,
        args.history,
    )


def _confirm(args: argparse.Namespace, request: Request, found: Evidence) -> dict[str, Any] | None:
    """Measure suspects afresh where that is asked for; return what became of it."""
    suspects = [one.name for one in found.findings if confirming.is_doubtful(one)]
    if args.confirm is None or not suspects:
        return None
    out = run_folder("compare", request.config.profiles, commit=request.head, machine=request.machine)
    again = confirming.rerun(request.base, request.head, suspects, args.confirm, out, args.asv_config)
    found.findings = confirming.replace_confirmed(found.findings, again, request.config)
    if again.problem:
        found.warnings.append(f"suspects could not be measured afresh: {again.problem}")
    if again.record is not None:
        found.records.append(again.record)
    return {"command": shlex.join(again.command), "problem": again.problem}


def _results(
    args: argparse.Namespace, request: Request, found: Evidence, confirmation: dict[str, Any] | None
) -> tuple[dict[str, Any], ExitCode]:
    ordered = findings.worst_first(found.findings)
    code = findings.exit_code(ordered)
    if confirmation is not None and confirmation["problem"] and code is ExitCode.UNDECIDED:
        code = ExitCode.NOT_MEASURED  # a fresh run was asked for, and there was none
    results = {
        "base": {"commit": request.base, "label": args.base},
        "head": {"commit": request.head, "label": args.head},
        "counts": findings.counts(ordered),
        "benchmarks": [one.to_json() for one in ordered],
        "steps": found.steps,
        "loud": found.loud,
        "evidence": {
            "compare": [compare_records.relative(path) for path in found.records],
            "asv": compare_records.relative(found.asv_folder) if found.asv_folder else None,
        },
        "confirmation": confirmation,
        "exit_code": int(code),
    }
    return results, code


def _report(record: Record, form: str, file: Path | None, where: str) -> None:
    if form == "text" and file is None:
        text.print_report(record, where)
        return
    if form == "github":
        # Where there is no page of a run, the summary goes to stdout, so that it can be looked at anywhere.
        shown = github.append_summary(record)
        print("\n".join(github.annotations(record)))
        if file is None and shown is not None:
            return
    body = _RENDERED[form](record)
    if file is None:
        print(body, end="")
    else:
        write_text(file, body)


_RENDERED: dict[str, Callable[[Record], str]] = {
    "text": text.report,
    "github": functools.partial(markdown.report, limit_bytes=markdown.SUMMARY_BYTES),
    "markdown": markdown.report,
    "junit": junit.report,
    "json": lambda record: json.dumps(record.to_json(), allow_nan=False) + "\n",
}

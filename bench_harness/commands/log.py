"""bench log: the change log of a project's speed and memory, from asv's results and what commits say of themselves.

It measures nothing. It writes record.json first, then prints or puts the tables between two markers of a file.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.changelog import marked_file
from bench_harness.changelog.commit_texts import NOTES, add_note, commit_texts
from bench_harness.changelog.results import advice
from bench_harness.changelog.results import results as results_of
from bench_harness.changelog.rows import Question
from bench_harness.changelog.tables import announced, build_tables, chosen
from bench_harness.config import load_config, nearest
from bench_harness.errors import ExitCode, NothingMeasuredError, UsageError
from bench_harness.history.anchors import Anchors
from bench_harness.history.asv_results import AsvResults
from bench_harness.history.commits import commit_line, end_of, line_of
from bench_harness.history.series import build_series
from bench_harness.record import Record, utc_now
from bench_harness.report import log_text
from bench_harness.run_folders import folder_name, keep_record, refuse_foreign_record, run_folder

ASV_CONFIG = "asv.conf.json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench log`."""
    add = parser.add_argument
    add("--bench", metavar="REGEX", help="only benchmarks whose name(parameters) it finds something in")
    add("--range", default="HEAD", metavar="A..B", help="commits, on the first-parent line (default: all up to HEAD)")
    add("--machine", metavar="NAME", help="only the results of this machine (default: all, a table for each)")
    add("--rounds", type=int, metavar="N", help="processes per result, where asv run -a rounds=N took others")
    add("--gaps", action="store_true", help="a row also for each commit that was not measured")
    add("--file", type=Path, metavar="FILE", help=f"put the tables between {marked_file.BEGIN} and its end in FILE")
    add("--init", action="store_true", help="with --file: append the markers where FILE has none")
    add("--asv-config", type=Path, default=Path(ASV_CONFIG), metavar="FILE", help=f"default: {ASV_CONFIG}")
    add("--out", type=Path, metavar="DIR", help="write record.json here (default: a folder below profiles/log/)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV with all digits instead of Markdown")
    form.add_argument("--json", action="store_true", help="print the record, one JSON object, and nothing else")
    actions = parser.add_subparsers(metavar="[add]")
    note = actions.add_parser(
        "add",
        help=f"write the change of a commit as a git note (refs/notes/{NOTES})",
        description=f"write the change of a commit as a git note (refs/notes/{NOTES}), which bench log shows",
        allow_abbrev=False,
    )
    note.add_argument("-m", dest="text", required=True, metavar="TEXT", help="what the commit changed")
    note.add_argument("commit", nargs="?", default="HEAD", metavar="COMMIT", help="default: HEAD")
    note.add_argument("--replace", action="store_true", help="write over a note that is there")
    note.set_defaults(note=True)


def run(args: argparse.Namespace) -> int:
    """Read, write the record, print the tables or write them into a file."""
    if getattr(args, "note", False):
        commit = add_note(Path(), args.commit, args.text, replace=args.replace)
        print(f"noted for {commit[:12]} in refs/notes/{NOTES}; git push origin refs/notes/{NOTES} shares it")
        return ExitCode.FINE
    started, clock = utc_now(), time.perf_counter()
    _check(args)
    found, warnings = _gather(args)
    conditions, plugin_warnings = environment.collect()
    root = load_config().profiles
    out = args.out or _folder(root, conditions)
    record = Record(
        command="log",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=True,
        environment=conditions,
        warnings=[*warnings, *plugin_warnings],
        results=found,
    )
    _show(keep_record(record, out, root), args)
    if found["worse"] or found["failed"] or found["unmet"]:
        return ExitCode.REGRESSION
    return ExitCode.FINE if found["values"] else ExitCode.NOT_MEASURED


def _check(args: argparse.Namespace) -> None:
    if args.init and not args.file:
        raise UsageError("--init: it goes with --file FILE")
    if args.file and (args.csv or args.json):
        raise UsageError("--file: it takes Markdown; print --csv or --json into a file of its own")
    if args.rounds is not None and args.rounds < 1:
        raise UsageError(f"--rounds {args.rounds}: expected an integer of at least 1")
    if args.out:
        refuse_foreign_record(args.out, "log")
    try:
        re.compile(args.bench or "")
    except re.error as error:
        raise UsageError(f"--bench {args.bench}: not a regular expression: {error}") from None


def _gather(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    results = AsvResults.load(args.asv_config)
    if not results.commits:
        raise NothingMeasuredError(f"no asv results in {results.folder}; run: asv run --record-samples -a rounds=5")
    if args.machine and args.machine not in results.machines():
        known = nearest(args.machine, results.machines())
        raise UsageError(f"no asv results of machine '{args.machine}' in {results.folder}; {known}")
    folder = args.asv_config.parent
    # The first commit of a range is compared with the one before the range.
    end = end_of(folder, args.range) if ".." in args.range else args.range
    line = commit_line(folder, {commit.commit: commit.date for commit in results.commits}, end)
    shown = None if end == args.range else line_of(folder, args.range)
    every = build_series(results, line)
    texts = commit_texts(folder, args.range)
    expected, warnings = announced(texts, every)
    config = load_config()
    question = Question(
        texts=texts,
        expected=expected,
        config=config,
        anchors=Anchors.read(config.profiles),
        rounds=args.rounds,
        gaps=args.gaps,
        shown=None if shown is None else frozenset(shown),
    )
    tables = build_tables(chosen(every, args.bench, args.machine), question)
    if not tables:
        raise NothingMeasuredError(_nothing(args, len(line.commits if shown is None else shown), line.warnings))
    return results_of(tables), [*results.warnings, *line.warnings, *warnings, *advice(tables)]


def _nothing(args: argparse.Namespace, commits: int, warnings: Iterable[str]) -> str:
    fitting = f" of a benchmark that fits --bench {args.bench}" if args.bench else ""
    return "; ".join([f"no results{fitting} in {args.range} (commits: {commits})", *warnings])


def _folder(root: Path, conditions: dict[str, Any]) -> Path:
    """Return the folder of the log: the same one again for the same commit and machine, as nothing is measured."""
    commit, machine = conditions["git"]["commit"], conditions["machine"]
    ending = folder_name(utc_now(), commit, machine).partition("-")[2]
    same = sorted((root / "log").glob(f"*Z-{ending}"))
    return same[-1] if same else run_folder("log", root, commit=commit, machine=machine)


def _show(record: Record, args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps(record.to_json(), allow_nan=False))
        return
    if args.file:
        changed = marked_file.rewritten(args.file, log_text.markdown(record.results), init=args.init)
        count = len(record.results["tables"])
        print(f"{args.file}: {count} table{'s' * (count != 1)}, {'written' if changed else 'unchanged'}")
    else:
        print(log_text.as_csv(record.results) if args.csv else log_text.markdown(record.results), end="")
    for line in (*(f"warning: {warning}" for warning in record.warnings), *log_text.alarms(record.results)):
        print(line, file=sys.stderr)

"""bench doctor: what will hurt a program that loads data in workers, said before it does.

Without a target it looks at the machine; with one it runs it for a few batches and looks into its processes. Writes
record.json first, then prints from it.
"""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.capture import bootstrap, supervisor
from bench_harness.capture.diagnosis import loaders_with_workers, read_loaders
from bench_harness.capture.endings import deaths_of
from bench_harness.capture.patience import Patience
from bench_harness.capture.plan import Plan
from bench_harness.capture.requested import Target, resolve_target
from bench_harness.config import load_config
from bench_harness.errors import CouldNotMeasureError, ExitCode, UsageError
from bench_harness.memory.hazards.ends import Ended, check_ended
from bench_harness.memory.hazards.findings import LEVELS, Finding
from bench_harness.memory.hazards.loader import LoaderFacts
from bench_harness.memory.hazards.loader_checks import check_loader
from bench_harness.memory.hazards.machine import gather_machine
from bench_harness.memory.hazards.machine_checks import check_machine
from bench_harness.memory.oom_kills import count_oom_kills
from bench_harness.record import Record, utc_now
from bench_harness.report import doctor_text
from bench_harness.run_folders import keep_record, refuse_foreign_record, run_folder
from bench_harness.segments import read_segments


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench doctor`."""
    parser.usage = "bench doctor [options] [script.py | -m module | @target] [arguments ...]"
    add = parser.add_argument
    add(
        "target",
        nargs=argparse.REMAINDER,
        metavar="script.py ...",
        help="a script, or @NAME of `bench list`, and its arguments (default: the machine alone)",
    )
    add(
        "-m",
        dest="module",
        nargs=argparse.REMAINDER,
        metavar="module ...",
        help="a module and its arguments, as `python -m`",
    )
    add("--batches", type=int, default=3, metavar="N", help="end the target after N batches of a loader (default: 3)")
    add(
        "--patience",
        type=float,
        default=60.0,
        metavar="S",
        help="end it too where a worker hangs that long, at its start or at one batch (default: 60), or where nothing "
        "of it runs for five times that",
    )
    add("--all", action="store_true", help="show what is fine, too")
    add("--out", type=Path, metavar="DIR", help="write record.json here (default: a new folder below profiles/)")
    add("--json", action="store_true", help="print the record, one JSON object; what the target prints goes to stderr")


def run(args: argparse.Namespace) -> int:
    """Look at the machine and at the target, write the record, print it; return 3 if something fatal was found."""
    _check_flags(args)
    started, clock = utc_now(), time.perf_counter()
    target = resolve_target(args) if args.target or args.module is not None else None
    conditions, warnings = environment.collect()
    machine = gather_machine()
    findings = check_machine(machine)
    results: dict[str, Any] = {"target": target.name if target else None, "machine": dataclasses.asdict(machine)}
    if target is not None:
        seen, told = _look_at(target, args)
        warnings += told
        results |= {"loaders": [dataclasses.asdict(facts) for facts in seen.loaders]}
        results |= {"exit": {"code": seen.ended.code, "signal": seen.ended.signal}, "deaths": list(seen.ended.deaths)}
        findings = [*seen.findings(), *findings]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    results["findings"] = [dataclasses.asdict(finding) for finding in findings]
    record = Record(
        command="doctor",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=target is None or not results["exit"]["code"],
        environment=conditions,
        warnings=warnings,
        results=results,
    )
    _show(record, args, target)
    return ExitCode.NOT_MEASURED if any(finding.level == "fatal" for finding in findings) else ExitCode.FINE


@dataclasses.dataclass
class _Seen:
    loaders: list[LoaderFacts]
    ended: Ended

    def findings(self) -> list[Finding]:
        """Return what the checks say about the run and about each loader."""
        return [*check_ended(self.ended), *(found for facts in self.loaders for found in check_loader(facts))]


def _check_flags(args: argparse.Namespace) -> None:
    if args.batches < 1:
        raise UsageError(f"--batches {args.batches}: expected at least 1")
    if not 0 < args.patience < 86400:
        raise UsageError(f"--patience {args.patience}: expected seconds above 0")
    if args.out:
        refuse_foreign_record(args.out, "doctor")


def _look_at(target: Target, args: argparse.Namespace) -> tuple[_Seen, list[str]]:
    """Run the target for a few batches; return what was seen, and warnings.

    Raises:
        UsageError: there is nothing to run.
        CouldNotMeasureError: it cannot be run under supervision here.
    """
    with tempfile.TemporaryDirectory(prefix="bench-doctor-") as temporary:
        folder = Path(temporary).resolve()
        plan = Plan(str(folder), "none", stop_after_batches=args.batches, diagnose=True)
        patience = Patience(folder, args.patience)
        before = count_oom_kills()
        outcome = supervisor.run_target(plan, target.command, patience.watching, quiet=args.json)
        kills = count_oom_kills().since(before)
        if (folder / bootstrap.REFUSED).exists():
            raise UsageError((folder / bootstrap.REFUSED).read_text())
        segments = read_segments(folder)
        if not segments or segments[0].state is None:
            raise CouldNotMeasureError(f"{target.name}: it ended with {outcome.code} before anything was seen of it")
        deaths = deaths_of(folder, kills, main_signal=outcome.signal)
        loaders = read_loaders(folder)
        names = loaders_with_workers(folder)
        ended = Ended(
            code=outcome.code,
            signal=outcome.signal,
            exception=segments[0].state.exception,
            hung=patience.hung,
            deaths=deaths,
            has_workers=bool(names or loaders),
            unseen=[name for name in names if name not in {facts.name for facts in loaders}],
        )
        told = [
            f"{segment.identity.label()}: {line}" for segment in segments if segment.state for line in _told(segment)
        ]
        return _Seen(loaders, ended), [*outcome.warnings, *told]


def _told(segment: Any) -> list[str]:
    warnings: list[str] = segment.state.warnings
    return warnings


def _show(record: Record, args: argparse.Namespace, target: Target | None) -> None:
    """Keep the record, and print it."""
    profiles = load_config().profiles
    git = record.environment.get("git") or {}
    name = f"doctor-{target.name}" if target else "doctor"
    folder = args.out or run_folder(
        name, profiles, started=record.started, commit=git.get("commit"), machine=record.environment.get("machine")
    )
    written = keep_record(record, folder, profiles)
    if args.json:
        print(json.dumps(written.to_json(), allow_nan=False))
    else:
        doctor_text.print_doctor(written, os.path.relpath(folder), show_all=args.all)

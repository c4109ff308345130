"""bench profile: where a program spends its time, in its main process and in every worker, function by function.

Runs the target unmodified under supervision; writes record.json first, then prints from it.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.capture import bootstrap, library, outside, supervisor
from bench_harness.capture.engines import ENGINES, check_engine
from bench_harness.capture.finishing import Run, discard_run, drop_segments, finish_run
from bench_harness.capture.pipeline import sweep
from bench_harness.capture.pipeline.context import Overrides
from bench_harness.capture.pipeline.gpu import GpuSampler
from bench_harness.capture.plan import Plan
from bench_harness.capture.requested import Target, add_target_arguments, resolve_target
from bench_harness.capture.sweeping import sweep_target
from bench_harness.config import Config, load_config
from bench_harness.errors import CouldNotMeasureError, ExitCode, NothingMeasuredError, UsageError
from bench_harness.memory.oom_kills import count_oom_kills
from bench_harness.record import Record, utc_now
from bench_harness.report import profile_text
from bench_harness.report.sweep_plot import draw_sweep
from bench_harness.run_folders import keep_record, run_folder
from bench_harness.segments import FOLDER
from bench_harness.vram.target import parse_size

# pyinstrument asks the clock at every call of a function: from 4 ms on one of the kernel's that costs nothing will do.
INTERVALS_S = {"pyinstrument": 0.004, "py-spy": 0.01}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench profile`."""
    parser.usage = "bench profile [options] (script.py | -m module | @target) [arguments ...]"
    add = parser.add_argument
    add_target_arguments(parser)
    add(
        "--engine",
        choices=ENGINES,
        default="cprofile",
        help="cprofile counts every call (default); pyinstrument and py-spy sample; none: the pipeline's hooks alone",
    )
    add(
        "--interval", type=float, metavar="S", help="seconds between samples (default: 0.004 pyinstrument, 0.01 py-spy)"
    )
    add("--out", type=Path, metavar="DIR", help="the run folder (default: a new one below profiles/)")
    add(
        "--roots",
        action="append",
        type=Path,
        metavar="DIR",
        help="your own library, for merged.lib.txt; again for more (default: whatever is not installed)",
    )
    add("--calibrate", action="store_true", help="run the target once more without the engine, and compare")
    add("--batches", type=int, metavar="N", help="end the target after N batches of its busiest DataLoader")
    add(
        "--sweep-workers", metavar="N,N,...", help="run the target once per num_workers of its DataLoaders, hooks alone"
    )
    add("--sweep-prefetch", metavar="N,N,...", help="and once per prefetch_factor")
    add(
        "--memory-limit",
        metavar="SIZE",
        help="of main and workers, for the recommendation (default: what is free): 16GB",
    )
    add("--keep-all", action="store_true", help="keep the files of every process, past 5 MB too, and the raw segments")
    add(
        "--pid",
        type=int,
        metavar="PID",
        help="no target: watch a program that runs already, with py-spy, for --duration",
    )
    add("--duration", type=float, default=10.0, metavar="S", help="seconds to watch --pid for (default: 10)")
    add("--merge", type=Path, metavar="DIR", help="no target: make the artifacts of a run that was itself killed")
    add("--json", action="store_true", help="print the record, one JSON object; what the target prints goes to stderr")


def run(args: argparse.Namespace) -> int:
    """Run the target, write the artifacts and the record, print it; return the target's own exit code."""
    check_flags(args)
    config = load_config()
    if args.merge is not None:
        return _merge(args, config)
    if args.pid is not None:
        return _watch(args, config)
    target = resolve_target(args)
    job = new_run(args, config, target.name, {"arguments": target.arguments, "batches": args.batches})
    if args.sweep_workers or args.sweep_prefetch:
        return _sweep(args, config, job, target)
    plan = plan_of(args, job.folder)
    outcome = run_once(args, job, plan, target)
    if args.calibrate:
        _calibrate(args, job, target)
    try:
        record = finish(args, config, job)
    except NothingMeasuredError:
        discard_run(job.folder)
        raise
    _show(record, job.folder, args)
    return outcome.code


def check_flags(args: argparse.Namespace) -> None:
    """Raise UsageError where flags are malformed or do not fit together."""
    check_engine(args.engine)
    sweeps = bool(args.sweep_workers or args.sweep_prefetch)
    if sweeps:
        sweep_settings(args)
    if args.memory_limit:
        parse_size(args.memory_limit, "--memory-limit")
        if not sweeps:
            raise UsageError("--memory-limit: it caps what --sweep-workers recommends; give that too")
    if args.calibrate and (sweeps or args.batches is not None):
        other = "a sweep runs no engine" if sweeps else "without the engine nothing ends the target after --batches"
        raise UsageError(f"--calibrate: {other}; leave one of them out")
    asked = [flag for flag in ("pid", "merge") if getattr(args, flag) is not None]
    given = bool(args.target or args.module)
    if len(asked) > 1 or (asked and given):
        raise UsageError(f"--{asked[0]} takes no target and no other source: leave out the rest")
    if not asked and not given:
        raise UsageError("what shall be profiled? give script.py, -m module or @target (`bench list` shows those)")
    if args.pid is not None:
        outside.check_running(args.pid)
    if args.pid is not None or args.engine == "py-spy":
        outside.find_py_spy()
    for flag in ("interval", "duration"):
        value = getattr(args, flag)
        if value is not None and not 0 < value < 86400:
            raise UsageError(f"--{flag} {value}: expected seconds above 0")
    if args.batches is not None and args.batches < 1:
        raise UsageError(f"--batches {args.batches}: expected at least 1")


def new_run(args: argparse.Namespace, config: Config, name: str, workload: dict[str, Any]) -> Run:
    """Return a run with its folder made ready."""
    started = utc_now()
    conditions, warnings = environment.collect()
    commit = (conditions.get("git") or {}).get("commit")
    if args.out and int(os.environ.get("WORLD_SIZE") or 1) > 1:
        args.out = args.out / f"rank-{bootstrap.rank()}"  # each rank of a job is a run of its own
    folder = args.out or run_folder(
        name, config.profiles, started=started, commit=commit, machine=conditions.get("machine")
    )
    library.prepare_folder(folder)
    return Run(folder, args.argv, args.engine, name, workload, started, environment=conditions, warnings=warnings)


def plan_of(args: argparse.Namespace, folder: Path, overrides: Overrides | None = None) -> Plan:
    """Return what is to be captured."""
    segments = (folder / FOLDER).resolve()
    return Plan(
        str(segments),
        args.engine,
        args.interval or INTERVALS_S.get(args.engine, 0.004),
        overrides=overrides or Overrides(),
        stop_after_batches=args.batches,
        start_after=str(segments / outside.READY) if args.engine == "py-spy" else None,
    )


def run_once(args: argparse.Namespace, job: Run, plan: Plan, target: Target) -> supervisor.Outcome:
    """Run the target under the plan, and note in `job` how it ended; a failed measurement is no 0 in what returns."""
    watcher = outside.Watcher(plan) if args.engine == "py-spy" else None
    beside = watcher.attached if watcher else lambda pid: contextlib.nullcontext()
    gpus = GpuSampler()
    gpus.start()
    killed_before = count_oom_kills()
    outcome = supervisor.run_target(plan, target.command, beside, quiet=args.json)
    job.gpu = gpus.stop()
    job.oom_kills = count_oom_kills().since(killed_before)
    refused = Path(plan.segments) / bootstrap.REFUSED
    if refused.exists():
        why = refused.read_text()
        discard_run(job.folder)
        raise UsageError(why)
    if watcher:
        job.warnings += watcher.file_stacks()
    job.warnings += outcome.warnings
    failed = watcher is not None and watcher.left_nothing
    job.exited_well = outcome.code == 0 and not failed
    job.exit = {"code": outcome.code, "signal": outcome.signal}
    job.wall = {
        "with_engine_s": round(outcome.wall_s, 3),
        "cpu_with_engine_s": round(outcome.cpu_s, 3),
        "without_engine_s": None,
        "ratio": None,
    }
    return dataclasses.replace(outcome, code=ExitCode.NOT_MEASURED) if failed else outcome


def _calibrate(args: argparse.Namespace, job: Run, target: Target) -> None:
    """Run the target once more as if we were not there."""
    plain = supervisor.run_plain(target.command, quiet=True)
    if plain.code != job.exit["code"]:
        job.warnings.append(f"--calibrate: without the engine the target ended with {plain.code}: not compared")
        return
    job.wall |= {
        "without_engine_s": round(plain.wall_s, 3),
        "cpu_without_engine_s": round(plain.cpu_s, 3),
        "ratio": round(job.wall["with_engine_s"] / plain.wall_s, 4),
        "cpu_ratio": round(job.wall["cpu_with_engine_s"] / plain.cpu_s, 4),
    }


def finish(args: argparse.Namespace, config: Config, job: Run) -> Record:
    """Merge what the processes left, and keep the record."""
    roots = [root.resolve() for root in args.roots or ()] or config.profile.roots
    record = finish_run(job, roots=roots, log_functions=config.profile.log_functions, keep_all=args.keep_all)
    record = keep_record(record, job.folder, config.profiles)
    if not args.keep_all:
        drop_segments(job.folder)
    return record


def sweep_settings(args: argparse.Namespace) -> list[Overrides]:
    """Return what to run: every number of workers with every prefetch_factor; without workers there is no prefetching.

    Raises:
        UsageError: the numbers are malformed, or prefetch_factor is swept without workers.
    """
    workers = _numbers(args.sweep_workers, "--sweep-workers", least=0) or [None]
    prefetch = _numbers(args.sweep_prefetch, "--sweep-prefetch", least=1) or [None]
    if workers == [None]:
        raise UsageError("--sweep-prefetch: give the numbers of workers too, with --sweep-workers 2,4")
    pairs = [(count, None if count == 0 else factor) for count in workers for factor in prefetch]
    return [Overrides(count, factor) for count, factor in dict.fromkeys(pairs)]


def _numbers(text: str | None, flag: str, *, least: int) -> list[int | None]:
    if not text:
        return []
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) >= least for word in words):
        raise UsageError(f"{flag} {text}: expected integers of at least {least}, as in 1,2,4")
    return [*sorted({int(word) for word in words})]


def _sweep(args: argparse.Namespace, config: Config, job: Run, target: Target) -> int:
    swept = sweep_target(target.command, sweep_settings(args), job.folder, args.batches, quiet=args.json)
    limit = parse_size(args.memory_limit) if args.memory_limit else None
    results = sweep.assess(swept.points, limit_bytes=limit)
    missing: list[dict[str, Any]] = []
    record = Record(
        command="profile",
        argv=args.argv,
        started=job.started,
        wall_s=round(time.perf_counter() - job.clock, 3),
        completed=swept.whole and swept.delivered == swept.expected,
        environment=job.environment,
        warnings=[*job.warnings, *swept.warnings],
        workers={"expected": swept.expected, "delivered": swept.delivered, "missing": missing},
        results={"engine": "none", "target": job.target, "workload": job.workload, "sweep": results},
    )
    shutil.rmtree(job.folder / FOLDER)
    measured = any(point.batches_per_s is not None for point in swept.points)
    if measured and importlib.util.find_spec("matplotlib"):
        draw_sweep(results, target.name, job.folder / "sweep.png")
        record.artifacts["plot"] = "sweep.png"
    _show(keep_record(record, job.folder, config.profiles), job.folder, args)
    return ExitCode.FINE if measured else ExitCode.NOT_MEASURED


def _watch(args: argparse.Namespace, config: Config) -> int:
    args.engine = "py-spy"
    job = new_run(args, config, f"pid-{args.pid}", {"pid": args.pid})
    began = time.monotonic()
    try:
        job.warnings += outside.watch_running(args.pid, args.duration, plan_of(args, job.folder))
    except CouldNotMeasureError:
        discard_run(job.folder)
        raise
    job.wall = {"with_engine_s": round(time.monotonic() - began, 3), "without_engine_s": None, "ratio": None}
    _show(finish(args, config, job), job.folder, args)
    return ExitCode.FINE


def _merge(args: argparse.Namespace, config: Config) -> int:
    if not (args.merge / FOLDER).is_dir():
        raise UsageError(f"{args.merge}: no folder '{FOLDER}' of a capture in it; give a run folder of `bench profile`")
    running = supervisor.running_target(args.merge / FOLDER)
    if running is not None:
        raise UsageError(f"{args.merge}: its target still runs (pid {running}); merge it once it has ended")
    conditions, warnings = environment.collect()
    warnings.append("merged after the fact: the environment is that of the merge")
    job = Run(args.merge, args.argv, args.engine, args.merge.parent.name, {}, utc_now(), environment=conditions)
    job.warnings, job.exited_well = warnings, False
    _show(finish(args, config, job), job.folder, args)
    return ExitCode.FINE


def _show(record: Record, folder: Path, args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps(record.to_json(), allow_nan=False))
    else:
        sys.stdout.flush()
        profile_text.print_profile(record, os.path.relpath(folder))

"""bench memory: how much a program and its workers truly hold, over time, and what will be needed with more workers.

Runs the target unmodified under supervision and watches the tree from outside; writes record.json, then prints from it.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.capture import library, outside, supervisor
from bench_harness.capture.finishing import drop_segments
from bench_harness.capture.pipeline.context import Overrides
from bench_harness.capture.plan import Plan
from bench_harness.capture.requested import add_target_arguments, resolve_target
from bench_harness.config import load_config
from bench_harness.errors import CouldNotMeasureError, ExitCode, UsageError
from bench_harness.memory.forecast import Run, fit
from bench_harness.memory.marks import read_marks
from bench_harness.memory.process_memory import read_held
from bench_harness.memory.sampler import TreeSampler
from bench_harness.memory.timeline import Watched
from bench_harness.profiles.merging import labels_of, warnings_of, workers_of
from bench_harness.profiles.phases import read_process
from bench_harness.record import Record, utc_now
from bench_harness.report import memory_plot, memory_text
from bench_harness.run_folders import keep_record, run_folder
from bench_harness.segments import FOLDER, Segment, read_segments
from bench_harness.vram.target import parse_size

FORECAST_WORKERS = (1, 2, 4, 8, 16)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench memory`."""
    parser.usage = "bench memory [options] (script.py | -m module | @target) [arguments ...]"
    add = parser.add_argument
    add_target_arguments(parser)
    add("--interval", type=float, default=1.0, metavar="S", help="seconds between full looks (default: 1; each reads "
        "smaps_rollup of every process)")  # fmt: skip
    add("--limit", metavar="SIZE", help="how many workers fit into it? 16GB")
    add(
        "--sweep-workers",
        metavar="N,N,...",
        help="for the forecast: run the target once per num_workers of its DataLoaders, as in 0,1,2",
    )
    add("--batches", type=int, metavar="N", help="end the target after N batches of its busiest DataLoader")
    add("--out", type=Path, metavar="DIR", help="the run folder (default: a new one below profiles/)")
    add("--pid", type=int, metavar="PID", help="no target: watch a program that runs already, for --duration")
    add("--duration", type=float, default=10.0, metavar="S", help="seconds to watch --pid for (default: 10)")
    add("--json", action="store_true", help="print the record, one JSON object; what the target prints goes to stderr")


def run(args: argparse.Namespace) -> int:
    """Run and watch the target, keep the record, print it; return the target's own exit code."""
    check_flags(args)
    if read_held() is None:
        raise CouldNotMeasureError("what processes share is told by Linux alone (/proc/PID/smaps_rollup), not here")
    started, clock = utc_now(), time.perf_counter()
    conditions, warnings = environment.collect()
    name = f"pid-{args.pid}" if args.pid is not None else resolve_target(args).name
    folder = _folder(args, name, started, conditions)
    results: dict[str, Any] = {"target": name}
    if args.pid is not None:
        watched = watch_pid(args.pid, args.duration, args.interval)
        outcome, workers = supervisor.Outcome(0, None, args.duration, 0.0), None
    else:
        runs, outcome, watched, workers, said = _run_target(args, folder)
        warnings += said
        results |= {"exit": {"code": outcome.code, "signal": outcome.signal}, "forecast": forecast_of(args, runs)}
    results = {"exit": {}, **results, **watched.results()}
    record = Record(
        command="memory",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=outcome.code == 0 and not (workers or {}).get("missing"),
        environment=conditions,
        warnings=warnings,
        workers=workers,
        results=results,
    )
    if watched.sampler.samples and importlib.util.find_spec("matplotlib"):
        memory_plot.draw_memory(results, name, folder / "memory.png", folder / "memory.svg")
        record.artifacts |= {"plot": "memory.png", "plot_svg": "memory.svg"}
    written = keep_record(record, folder, load_config().profiles)
    if (folder / FOLDER).exists():
        drop_segments(folder)
    if args.json:
        print(json.dumps(written.to_json(), allow_nan=False))
    else:
        sys.stdout.flush()
        memory_text.print_memory(written, os.path.relpath(folder))
    return outcome.code if watched.sampler.samples else ExitCode.NOT_MEASURED


def check_flags(args: argparse.Namespace) -> None:
    """Raise UsageError where flags are malformed or do not fit together."""
    given = bool(args.target or args.module)
    if args.pid is not None and given:
        raise UsageError("--pid takes no target: leave it out")
    if args.pid is None and not given:
        raise UsageError("whose memory? give script.py, -m module or @target (`bench list` shows those), or --pid")
    if args.pid is not None:
        outside.check_running(args.pid)
    for flag in ("interval", "duration"):
        value = getattr(args, flag)
        if not 0 < value < 86400:
            raise UsageError(f"--{flag} {value}: expected seconds above 0")
    if args.batches is not None and args.batches < 1:
        raise UsageError(f"--batches {args.batches}: expected at least 1")
    if args.limit:
        parse_size(args.limit)
    sweep_of(args)


def sweep_of(args: argparse.Namespace) -> list[int | None]:
    """Return with how many workers to run the target, None as it is."""
    if not args.sweep_workers:
        return [None]
    words = args.sweep_workers.split(",")
    if not all(word.strip().isdigit() for word in words):
        raise UsageError(f"--sweep-workers {args.sweep_workers}: expected integers of at least 0, as in 0,1,2")
    return [*sorted({int(word) for word in words})]


def _folder(args: argparse.Namespace, name: str, started: str, conditions: dict[str, Any]) -> Path:
    commit, machine = (conditions.get("git") or {}).get("commit"), conditions.get("machine")
    folder: Path = args.out or run_folder(name, load_config().profiles, started=started, commit=commit, machine=machine)
    return library.prepare_folder(folder, "memory")


def watch_pid(pid: int, duration_s: float, interval_s: float) -> Watched:
    """Watch a program that runs already, to its end or for `duration_s`."""
    sampler = TreeSampler(interval_s)
    begin_s = time.monotonic()
    with sampler.watching(pid):
        while time.monotonic() - begin_s < duration_s and Path(f"/proc/{pid}").exists():
            time.sleep(0.05)
    return Watched(sampler, [], [], {}, begin_s, time.monotonic())


def _run_target(
    args: argparse.Namespace, folder: Path
) -> tuple[list[Run], supervisor.Outcome, Watched, dict[str, Any], list[str]]:
    """Run the target once per number of workers asked for; what is told is of the last run."""
    target = resolve_target(args)
    runs: list[Run] = []
    for workers in sweep_of(args):
        library.prepare_folder(folder, "memory")
        plan = Plan(
            str((folder / FOLDER).resolve()),
            "none",
            overrides=Overrides(workers),
            stop_after_batches=args.batches,
            phases=True,
        )
        sampler = TreeSampler(args.interval)
        begin_s = time.monotonic()
        outcome = supervisor.run_target(plan, target.command, sampler.watching, quiet=args.json)
        segments = read_segments(plan.folder)
        watched = Watched(sampler, segments, labels_of(segments), read_marks(plan.folder), begin_s, time.monotonic())
        done = watched.run()
        if done is not None:
            runs.append(done)
        if outcome.code:
            break
    delivered, said = _workers(segments, watched.labels)
    return runs, outcome, watched, delivered, [*outcome.warnings, *said]


def _workers(segments: Sequence[Segment], labels: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    processes = [read_process(segment, label) for segment, label in zip(segments, labels, strict=True)]
    return workers_of(processes), warnings_of(processes)


def forecast_of(args: argparse.Namespace, runs: list[Run]) -> dict[str, Any] | None:
    """Return what more workers would need; None where no run had any."""
    found = fit(runs)
    if found is None:
        return None
    limit = parse_size(args.limit) if args.limit else None
    return {
        "runs": [{"workers": run.workers, "peak_pss_bytes": run.peak_pss_bytes} for run in runs],
        "base_bytes": found.base_bytes,
        "per_worker_bytes": found.per_worker_bytes,
        "rows": [{"workers": count, "peak_pss_bytes": found.peak_bytes(count)} for count in FORECAST_WORKERS],
        "limit_bytes": limit,
        "most_workers": None if limit is None else found.most_workers(limit),
    }

"""bench memory: how much a program and its workers truly hold, over time, and what will be needed with more workers.

Runs the target unmodified under supervision and watches the tree from outside; writes record.json, then prints from it.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.capture import attributing, bootstrap, library, outside, supervisor
from bench_harness.capture.endings import LastSample, deaths_of, with_causes
from bench_harness.capture.finishing import discard_run, drop_segments
from bench_harness.capture.pipeline.context import Overrides
from bench_harness.capture.plan import Plan
from bench_harness.capture.requested import add_target_arguments, resolve_target
from bench_harness.config import load_config
from bench_harness.errors import AttributionError, CouldNotMeasureError, ExitCode, UsageError
from bench_harness.memory.attribution import census_file
from bench_harness.memory.attribution.advice import advise, general_advice
from bench_harness.memory.attribution.before_fork import CHILD
from bench_harness.memory.attribution.pagemap import self_test
from bench_harness.memory.attribution.result import attribute
from bench_harness.memory.forecast import Run, forecast_results
from bench_harness.memory.marks import read_marks
from bench_harness.memory.memray_pages import KINDS, write_pages
from bench_harness.memory.memray_run import FILE_NAME, MemrayOptions
from bench_harness.memory.memray_table import read_table
from bench_harness.memory.oom_kills import count_oom_kills
from bench_harness.memory.process_memory import read_held
from bench_harness.memory.sampler import TreeSampler
from bench_harness.memory.timeline import Watched
from bench_harness.optional import require
from bench_harness.profiles.merging import labels_of, warnings_of, workers_of
from bench_harness.profiles.phases import read_process
from bench_harness.record import Record, utc_now
from bench_harness.report import memory_plot, memory_text
from bench_harness.run_folders import keep_record, run_folder
from bench_harness.segments import FOLDER, Identity, Segment, read_segments
from bench_harness.vram.target import parse_size

MEMRAY = "memray"  # folder of captures in that of the run


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
    add("--attribute", action="store_true", help="whose objects do the workers copy? by owner and type (copy-on-write)")
    add("--memray", action="store_true", help="count allocations with memray too: main and each worker, in one table")
    add("--native", action="store_true", help="with --memray: name functions of C and C++ too")
    add("--memray-html", action="store_true", help="with --memray: its pages per process, over time and of leaks")
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
    if args.pid is not None:
        library.prepare_folder(folder, "memory")
        seen = _watch(args)
    else:
        seen = run_target(args, folder)
    watched, outcome = seen.watched, seen.outcome
    results = {
        "target": name,
        "exit": {"code": outcome.code, "signal": outcome.signal},
        **watched.results(),
        "forecast": forecast_results(seen.runs, parse_size(args.limit) if args.limit else None),
        **seen.results,
    }
    if results["forecast"] is None and any(run.workers for run in seen.runs):
        seen.warnings.append("no forecast: no look saw the workers, they came and went too fast")
    elif results["forecast"] is None and args.limit:
        seen.warnings.append("no forecast, and no answer to --limit: no DataLoader had workers")
    workers = seen.workers or {}
    died = workers.get("missing") or any(row["role"] == "worker" for row in workers.get("deaths", ()))
    record = Record(
        command="memory",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=outcome.code == 0 and not died,
        environment=conditions,
        warnings=[*warnings, *seen.warnings],
        workers=seen.workers,
        artifacts=seen.artifacts,
        results=results,
    )
    if watched.sampler.samples and importlib.util.find_spec("matplotlib"):
        _draw(record, name, folder)
    written = keep_record(record, folder, load_config().profiles)
    drop_segments(folder)
    if args.json:
        print(json.dumps(written.to_json(), allow_nan=False))
    else:
        sys.stdout.flush()
        memory_text.print_memory(written, os.path.relpath(folder))
    return outcome.code if watched.sampler.samples else ExitCode.NOT_MEASURED


def _draw(record: Record, name: str, folder: Path) -> None:
    plots = {"plot": "memory.png", "plot_svg": "memory.svg"}
    try:
        memory_plot.draw_memory(record.results, name, *(folder / file for file in plots.values()))
    except UsageError as error:  # the figures are what matters
        record.warnings.append(f"no plot: {error}")
    else:
        record.artifacts |= plots


def check_flags(args: argparse.Namespace) -> None:
    """Raise UsageError where flags are malformed or do not fit together."""
    given = bool(args.target or args.module)
    if args.pid is not None and given:
        raise UsageError("--pid takes no target: leave it out")
    if args.pid is None and not given:
        raise UsageError("whose memory? give script.py, -m module or @target (`bench list` shows those), or --pid")
    if args.pid is not None:
        of_a_target = ("attribute", "memray", "batches", "sweep_workers", "limit")
        needless = [f"--{name.replace('_', '-')}" for name in of_a_target if getattr(args, name)]
        if needless:
            raise UsageError(f"{', '.join(needless)} with --pid: they need a target that bench memory starts itself")
        outside.check_running(args.pid)
    for flag in ("interval", "duration"):
        value = getattr(args, flag)
        if not 0 < value < 86400:
            raise UsageError(f"--{flag} {value}: expected seconds above 0")
    if args.batches is not None and args.batches < 1:
        raise UsageError(f"--batches {args.batches}: expected at least 1")
    if (args.native or args.memray_html) and not args.memray:
        raise UsageError("--native and --memray-html belong to --memray: give that too")
    if args.memray:
        require("memray", "memray")
        _refuse_strangers(args.out)
    if args.limit:
        parse_size(args.limit)
    sweep_of(args)


def _refuse_strangers(out: Path | None) -> None:
    """Raise UsageError where a folder of captures would be removed that no run has made."""
    captures = out / MEMRAY if out is not None else None
    if captures is None or not captures.exists():
        return
    ours = (FILE_NAME, *(f"{kind}-" for kind in KINDS))
    strange = (
        captures
        if not captures.is_dir()
        else next((path for path in captures.iterdir() if path.is_dir() or not path.name.startswith(ours)), None)
    )
    if strange is not None:
        raise UsageError(f"{strange} is of no earlier run, and is not removed; give another --out")


def sweep_of(args: argparse.Namespace) -> list[int | None]:
    """Return with how many workers to run the target, None as it is."""
    if not args.sweep_workers:
        return [None]
    words = args.sweep_workers.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise UsageError(f"--sweep-workers {args.sweep_workers}: expected integers of at least 0, as in 0,1,2")
    return [*sorted({int(word) for word in words})]


def _folder(args: argparse.Namespace, name: str, started: str, conditions: dict[str, Any]) -> Path:
    commit, machine = (conditions.get("git") or {}).get("commit"), conditions.get("machine")
    folder: Path = args.out or run_folder(name, load_config().profiles, started=started, commit=commit, machine=machine)
    return folder


def watch_pid(pid: int, duration_s: float, interval_s: float) -> Watched:
    """Watch a program that runs already, to its end, for `duration_s` or until Ctrl-C."""
    sampler = TreeSampler(interval_s)
    begin_s = time.monotonic()
    with sampler.watching(pid), contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() - begin_s < duration_s and Path(f"/proc/{pid}").exists():
            time.sleep(0.05)
    main = Segment(Identity("main", pid=pid), None, None, {}, None)
    return Watched(sampler, [main], ["main"], {}, begin_s, time.monotonic())


@dataclass
class Seen:
    """What was seen of a run; `runs` are those of the sweep, the rest is of the last of them."""

    watched: Watched
    outcome: supervisor.Outcome
    runs: list[Run] = field(default_factory=list)
    workers: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)


def _watch(args: argparse.Namespace) -> Seen:
    watched = watch_pid(args.pid, args.duration, args.interval)
    watched_s = watched.end_s - watched.begin_s
    seen = Seen(watched, supervisor.Outcome(0, None, watched_s, 0.0))
    if watched_s < args.duration and Path(f"/proc/{args.pid}").exists():
        seen.warnings.append(f"interrupted after {watched_s:.1f} of {args.duration:g} s")
    return seen


def run_target(args: argparse.Namespace, folder: Path) -> Seen:
    """Run the target, once per number of workers asked for, and watch it."""
    target = resolve_target(args)
    unsupported = self_test() if args.attribute else None
    runs: list[Run] = []
    for workers in sweep_of(args):
        plan = _plan(args, folder, workers, attribute=args.attribute and unsupported is None)
        sampler, begin_s, killed_before = TreeSampler(args.interval), time.monotonic(), count_oom_kills()
        outcome = supervisor.run_target(plan, target.command, sampler.watching, quiet=args.json)
        killed = count_oom_kills().since(killed_before)
        _leave_out_census(plan, sampler)
        segments = read_segments(plan.folder)
        watched = Watched(sampler, segments, labels_of(segments), read_marks(plan.folder), begin_s, time.monotonic())
        if not (outcome.code and runs):  # one that was cut short says less than those before it
            runs += filter(None, [watched.run()])
        if outcome.code:
            break
    if (plan.folder / bootstrap.REFUSED).exists():
        why = (plan.folder / bootstrap.REFUSED).read_text()
        if plan.memray is not None:
            shutil.rmtree(plan.memray.folder, ignore_errors=True)
        discard_run(folder)
        raise UsageError(why)
    processes = [read_process(segment, label) for segment, label in zip(segments, watched.labels, strict=True)]
    deaths = deaths_of(plan.folder, killed, main_signal=outcome.signal, samples=_last_samples(watched))
    seen = Seen(watched, outcome, runs, with_causes(workers_of(processes), deaths))
    seen.warnings += [*outcome.warnings, *warnings_of(processes)]
    if outcome.code and workers is not None and workers != sweep_of(args)[-1]:
        seen.warnings.append(f"the run with {workers} workers ended with {outcome.code}: those with more were not run")
    if unsupported is not None:
        seen.warnings.append(f"--attribute is unsupported here: {unsupported}")
    if plan.attribute:
        _attribute(plan.folder, segments, seen)
    if plan.memray is not None:
        _read_memray(args, folder, segments, seen)
    return seen


def _plan(args: argparse.Namespace, folder: Path, workers: int | None, *, attribute: bool) -> Plan:
    library.prepare_folder(folder, "memory")
    segments = (folder / FOLDER).resolve()
    memray = None
    if args.memray:
        captures = (folder / MEMRAY).resolve()
        shutil.rmtree(captures, ignore_errors=True)
        captures.mkdir()
        memray = MemrayOptions(str(captures), native=args.native)
    return Plan(
        str(segments),
        "none",
        overrides=Overrides(workers),
        stop_after_batches=args.batches,
        phases=True,
        attribute=attribute,
        memray=memray,
    )


def _leave_out_census(plan: Plan, sampler: TreeSampler) -> None:
    for path in (plan.folder / attributing.FOLDER).glob(f"*/{CHILD}"):
        with contextlib.suppress(OSError, ValueError):
            sampler.leave_out(int(path.read_text()))


def _last_samples(watched: Watched) -> dict[int, LastSample]:
    samples: dict[int, LastSample] = {}
    for sample in watched.sampler.samples:
        for pid, held in sample.processes.items():
            samples[pid] = LastSample(held.uss_bytes, "USS", round(sample.time_s - watched.begin_s, 3))
    return samples


def _attribute(segments_folder: Path, segments: Sequence[Segment], seen: Seen) -> None:
    expected: dict[str, list[str]] = {}  # serials of workers, by that of who started them
    for segment in segments:
        if segment.identity.role == "worker":
            expected.setdefault(segment.identity.serial.rpartition(".")[0], []).append(segment.identity.serial)
    if not expected:
        seen.warnings.append("--attribute: no DataLoader started workers, so nothing was copied")
        return
    # Ranks have different pages: one of them stands for all, that with most workers.
    folder = segments_folder / attributing.FOLDER
    shown = max(expected, key=lambda serial: (census_file.is_written(folder / serial), len(expected[serial])))
    if len(expected) > 1:
        label = next((each.identity.label() for each in segments if each.identity.serial == shown), shown)
        seen.warnings.append(f"--attribute shows 1 of {len(expected)} processes that started workers: {label}")
    try:
        found = attribute(folder / shown, expected[shown])
    except AttributionError as error:
        seen.warnings.append(f"--attribute: {error}")
        return
    seen.warnings += found.warnings
    seen.results |= found.to_json()
    seen.results["attribution_about"] |= {
        "headline": found.headline(),
        "advice": [*(advice.line() for advice in advise(found)), *general_advice(found)],
    }


def _read_memray(args: argparse.Namespace, folder: Path, segments: Sequence[Segment], seen: Seen) -> None:
    table = read_table(folder / MEMRAY, [segment.identity for segment in segments])
    seen.results["memray"] = table.to_json()
    seen.warnings += table.warnings()
    seen.artifacts["memray"] = MEMRAY
    if args.memray_html:
        pages = write_pages(folder / MEMRAY, table.processes, folder / MEMRAY)
        seen.artifacts |= {name: path.relative_to(folder).as_posix() for name, path in pages.files.items()}
        seen.warnings += pages.warnings

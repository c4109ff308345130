"""Turn the segments of a run into its artifacts and its record."""

import contextlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.capture.endings import deaths_of, with_causes
from bench_harness.capture.pipeline.aggregate import read_pipeline
from bench_harness.config import load_config
from bench_harness.memory.oom_kills import OomKills
from bench_harness.profiles.merged import Merged
from bench_harness.profiles.merging import merge
from bench_harness.record import Record
from bench_harness.segments import FOLDER


@dataclass
class Run:
    """What is known about a run beside its segments.

    Args:
        folder: of the run.
        argv: the command line of `bench`, or what stands for it.
        target: what was run, for people: train.py, -m package, @name.
        workload: what must be equal for two runs to be compared: arguments and settings of the target.
        started: UTC, as records spell it; clock: time.perf_counter() then.
        environment, warnings: of the record.
        exited_well: whether the target ended with exit code 0.
        exit: its exit code and signal; wall: seconds with and without the engine; gpu: of GpuSampler.
        oom_kills: by the kernel while it ran.
    """

    folder: Path
    argv: list[str]
    engine: str
    target: str
    workload: dict[str, Any]
    started: str
    clock: float = field(default_factory=time.perf_counter)
    environment: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    exited_well: bool = True
    exit: dict[str, Any] = field(default_factory=dict)
    wall: dict[str, Any] = field(default_factory=dict)
    gpu: dict[str, Any] | None = None
    oom_kills: OomKills = field(default_factory=OomKills)


def finish_run(
    run: Run, *, roots: Sequence[Path] = (), log_functions: Sequence[str] = (), keep_all: bool = False
) -> Record:
    """Merge the segments of a run, write its artifacts, and return its record, not yet written.

    Raises:
        NothingMeasuredError: there is no segment.
    """
    head = [f"target: {run.target}, engine: {run.engine}, started {run.started}"]
    merged = merge(run.folder, roots=roots, log_functions=log_functions, text_head=head, keep_all=keep_all)
    pipeline = read_pipeline(run.folder / FOLDER)
    deaths = deaths_of(run.folder / FOLDER, run.oom_kills, main_signal=run.exit.get("signal"))
    return Record(
        command="profile",
        argv=run.argv,
        started=run.started,
        wall_s=round(time.perf_counter() - run.clock, 3),
        completed=run.exited_well and not merged.workers["missing"] and not any(map(_is_worker, deaths)),
        environment=run.environment,
        warnings=[*run.warnings, *merged.warnings, *pipeline.warnings],
        workers=with_causes(merged.workers, deaths),
        artifacts=merged.artifacts,
        results=_results(run, merged, pipeline.results, pipeline.counts),
    )


def _is_worker(death: Mapping[str, Any]) -> bool:
    return bool(death["role"] == "worker")


def discard_run(folder: Path) -> None:
    """Remove the folder of a run that came to nothing, and those above it that were made for it."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    root = load_config().profiles.resolve()
    with contextlib.suppress(OSError):  # those that are empty: nothing of the user's is removed
        folder.rmdir()
        for above in folder.resolve().parents:
            if above == root or root in above.parents:
                above.rmdir()


def drop_segments(folder: Path) -> None:
    """Remove the segments of a run once its record is written: what they say is in it and in the artifacts.

    Under another name first: who is killed in the middle of it must not leave half of them to be merged.
    """
    dropped = folder / f".{FOLDER}"
    shutil.rmtree(dropped, ignore_errors=True)
    (folder / FOLDER).rename(dropped)
    shutil.rmtree(dropped, ignore_errors=True)


def _results(run: Run, merged: Merged, pipeline: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **merged.results(),
        "engine": run.engine,
        "target": run.target,
        "workload": run.workload,
        "exit": run.exit,
        "counts": {**counts, "log_events": merged.log_events},
        "wall": run.wall,
        "pipeline": {**pipeline, "gpu": run.gpu} if pipeline.get("loaders") else {},
    }

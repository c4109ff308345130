"""Run a target with several numbers of workers, nothing but the pipeline's hooks in it."""

import contextlib
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench_harness.capture import supervisor
from bench_harness.capture.pipeline import sweep
from bench_harness.capture.pipeline.aggregate import read_pipeline
from bench_harness.capture.pipeline.context import Overrides
from bench_harness.capture.plan import Plan
from bench_harness.segments import FOLDER, Segment, read_segments


@dataclass
class Swept:
    """What a sweep left.

    Args:
        points: one per run, as far as it came.
        warnings: of the runs; each told once.
        expected, delivered: worker processes over all runs.
        whole: whether every setting was run, and every run ended well.
    """

    points: list[sweep.Point] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    expected: int = 0
    delivered: int = 0
    whole: bool = True


def sweep_target(
    target: Sequence[str], settings: Iterable[Overrides], folder: Path, batches: int | None, *, quiet: bool
) -> Swept:
    """Run the target once per setting, one after the other; an interrupt ends the sweep, not what was measured.

    Args:
        target: as of supervisor.run_target.
        settings: what to override in every DataLoader.
        folder: of the run; what the single runs leave is removed from it.
        batches: end each run after so many.
        quiet: send what the target prints to stderr.
    """
    swept = Swept()
    for setting in settings:
        name = "-".join(f"{key}-{value}" for key, value in vars(setting).items() if value is not None)
        print(f"bench: {name}", file=sys.stderr, flush=True)
        segments = (folder / FOLDER / name).resolve()
        segments.mkdir(parents=True)
        plan = Plan(str(segments), "none", overrides=setting, stop_after_batches=batches)
        outcome = supervisor.run_target(plan, target, lambda pid: contextlib.nullcontext(), quiet=quiet)
        _note(swept, setting, outcome, segments)
        shutil.rmtree(segments)
        if outcome.signal in ("SIGINT", "SIGTERM", "SIGHUP"):
            swept.warnings.append(f"the sweep was ended by {outcome.signal}: later settings were not run")
            swept.whole = False
            break
    return swept


def _note(swept: Swept, setting: Overrides, outcome: supervisor.Outcome, segments: Path) -> None:
    pipeline, found = read_pipeline(segments), read_segments(segments)
    workers = [segment for segment in found if segment.identity.role == "worker"]
    ended = outcome.signal or f"exit code {outcome.code}"
    swept.points.append(
        sweep.point(
            setting.num_workers or 0,
            pipeline.results,
            prefetch=setting.prefetch_factor,
            worker_uss_bytes=[segment.state.uss_bytes for segment in workers if segment.state],
            main_pss_bytes=_pss_of_main(found),
            problem=f"the target ended with {ended}" if outcome.code else None,
        )
    )
    swept.expected += len(workers)
    swept.delivered += sum(segment.is_final for segment in workers)
    swept.whole &= outcome.code == 0
    told = [line for segment in found if segment.state for line in segment.state.warnings]
    for line in (*told, *pipeline.warnings, *outcome.warnings):
        if line not in swept.warnings:
            swept.warnings.append(line)


def _pss_of_main(found: Iterable[Segment]) -> int | None:
    return next(
        (segment.state.pss_bytes for segment in found if segment.state and segment.identity.role == "main"), None
    )

"""The profilers of `--profiler`: Lightning's, with epochs apart, and those that other packages offer."""

from __future__ import annotations

import logging
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from bench_core.errors import RunError

notices = logging.getLogger("bench_core.training")
GROUP = "bench_core.profilers"
"""Entry points that take the folder of a segment and return a Profiler which files what it finds there."""
_EPOCH = "run_training_epoch"


class _EpochsApart(Profiler):
    """Reports what each epoch took by itself; what runs before the first counts with it, what runs after all apart.

    Lightning's own profilers add up over all epochs, so that the first, with its imports and caches, hides in the rest.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self._reports: list[str] = []
        self._epoch: int | None = None
        self._under_way: list[str] = []
        self._seen: set[str] = set()

    def start(self, action_name: str) -> None:
        epoch = self._current_epoch()
        if epoch != self._epoch and not self._under_way:
            if self._epoch is not None:
                self._end_report()
            self._epoch = epoch
        self._under_way.append(action_name)
        self._seen.add(action_name)
        super().start(action_name)  # type: ignore[safe-super]

    def stop(self, action_name: str) -> None:
        super().stop(action_name)  # type: ignore[safe-super]
        self._under_way.remove(action_name)

    def summary(self) -> str:
        self._end_report()
        return "\n".join(self._reports)

    def _current_epoch(self) -> int | None:
        module = getattr(self, "_lightning_module", None)  # the trainer sets it before it calls `setup`
        return None if module is None else module.trainer.current_epoch

    def _end_report(self) -> None:
        if not self._seen:
            return
        title = f"epoch {self._epoch}" if _EPOCH in self._seen else "outside epochs"
        self._reports.append(f"{title}\n{super().summary()}")
        self._seen.clear()
        self._forget()

    def _forget(self) -> None:
        """Begin anew with nothing recorded."""


class SimpleByEpoch(_EpochsApart, SimpleProfiler):
    """Lightning's SimpleProfiler; percentages are of the epoch's own time."""

    def _forget(self) -> None:
        self.recorded_durations.clear()
        self.start_time = time.perf_counter()


class AdvancedByEpoch(_EpochsApart, AdvancedProfiler):
    """Lightning's AdvancedProfiler: one cProfile per action, each of which ends where the first one within it begins.

    Only innermost actions are whole; `workers` has no such gaps.
    """

    def _forget(self) -> None:
        self.profiled_actions.clear()


def profiler(name: str, segment: Path) -> Profiler | None:
    """Return the profiler that `--profiler` names, which files what it finds in the folder of the segment.

    Each segment has a new folder: Lightning's would append to a file that is there.

    Raises:
        RunError: no package that is installed offers it.
    """
    match name:
        case "none":
            return None
        case "simple":
            return SimpleByEpoch(dirpath=segment, filename="profile")
        case "advanced":
            return AdvancedByEpoch(dirpath=segment, filename="profile")
        case "pytorch":
            return PyTorchProfiler(dirpath=segment, filename="profile")
    for found in entry_points(group=GROUP, name=name):
        made: Profiler = found.load()(segment)
        return made
    raise RunError(f"--profiler {name} is not installed: `pip install bench_harness` offers it ({GROUP})")


def report_anyway(profiler: Profiler) -> None:
    """Let a profiler write what it has of a run that ended by an exception, after which Lightning does not ask it."""
    try:
        profiler.describe()
    except Exception as error:
        # Whatever it is, the reason why the run ended is the one to tell.
        notices.warning(f"--profiler: no report of the run until then: {type(error).__name__}: {error}")

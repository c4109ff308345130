"""The same views, arm after arm, view after view: CPU times, differences and slices from the workers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from comparison.processes import ProcessError, Worker

BUDGET_S = 15.0
"""Wall time an arm may take in one case; it sits out the views that are left then."""

WARM_UPS = 2
"""Draws of the first view that do not count: lazy imports, and what torch compiles at its second call."""

FEWEST_VIEWS = 3
REPLY_TIMEOUT_S = 60.0


@dataclass
class Lane:
    """One arm of one worker in one case."""

    subject: str
    worker: Worker
    arm: str
    cpu_ns: dict[int, float] = field(default_factory=dict)
    spent_s: float = 0.0
    failure: str | None = None

    def measure(self, view: int) -> None:
        """Time one view, unless the budget is spent or the arm failed before."""
        if self.failure is not None or (self.spent_s > BUDGET_S and len(self.cpu_ns) >= FEWEST_VIEWS):
            return
        start_s = time.monotonic()
        try:
            reply = self.worker.ask("time", REPLY_TIMEOUT_S, arm=self.arm, view=view)
        except ProcessError as error:
            self.failure = str(error)
            return
        self.spent_s += time.monotonic() - start_s
        self.cpu_ns[view] = reply["cpu_ns"]

    def result(self, ours: Lane) -> dict[str, Any]:
        """Medians in µs, and the ratio to ours over the views that both drew."""
        shared = sorted(self.cpu_ns.keys() & ours.cpu_ns.keys())
        named = {"subject": self.subject, "arm": self.arm}
        if self.failure is not None or not shared:
            return {**named, "failure": self.failure or "no view was drawn"}
        theirs_ns = [self.cpu_ns[view] for view in shared]
        ours_ns = [ours.cpu_ns[view] for view in shared]
        pairs = zip(theirs_ns, ours_ns, strict=True)
        return {
            **named,
            "median_us": statistics.median(theirs_ns) / 1e3,
            "views": len(shared),
            "ratio": statistics.median(theirs_ns) / statistics.median(ours_ns),
            "ratio_by_view": statistics.median(a / b for a, b in pairs),
        }


def lanes_of(subject: str, worker: Worker, arms: Iterable[str]) -> list[Lane]:
    """A lane for each arm."""
    return [Lane(subject, worker, arm) for arm in arms]


def load(worker: Worker, case_file: Path) -> list[str]:
    """Give a worker its views; return the names of its arms.

    Raises:
        ProcessError: it could not.
    """
    arms: list[str] = worker.ask("load", REPLY_TIMEOUT_S, file=str(case_file))["arms"]
    return arms


def interleave(lanes: Sequence[Lane], n_views: int) -> None:
    """Time every lane on every view, each view starting with another lane."""
    for lane in lanes:
        for _ in range(WARM_UPS):
            lane.measure(0)
        lane.cpu_ns.clear()
        lane.spent_s = 0.0
    for view in range(n_views):
        first = view % len(lanes)
        for lane in (*lanes[first:], *lanes[:first]):
            lane.measure(view)


def largest_differences(worker: Worker, reference: str, arms: Sequence[str], n_views: int) -> dict[str, float]:
    """Largest difference of any voxel of any view from the reference's, for each arm.

    Raises:
        ProcessError: the worker could not draw them.
    """
    largest = dict.fromkeys(arms, 0.0)
    for view in range(n_views):
        found = worker.ask("differences", REPLY_TIMEOUT_S, reference=reference, arms=list(arms), view=view)["largest"]
        # Not `max`: a NaN must not be lost.
        largest = {arm: float(np.maximum(largest[arm], found[arm])) for arm in arms}
    return largest


def slice_of(worker: Worker, arm: str, view: int, channel: int, index: int, file: Path) -> npt.NDArray[np.float64]:
    """One slice of one channel of one view, (x, y).

    Raises:
        ProcessError: the worker could not draw it.
    """
    worker.ask("slice", REPLY_TIMEOUT_S, arm=arm, view=view, channel=channel, index=index, file=str(file))
    drawn: npt.NDArray[np.float64] = np.load(file)
    return drawn

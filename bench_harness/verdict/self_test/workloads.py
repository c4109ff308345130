"""The workloads of the self-test, and how a slowdown of a wanted size is planted in one.

A body takes EXTRA more units of work. That is EXTRA of its time where it does nothing else by the clock; a loader also
starts workers and moves batches, and callgrind counts the interpreter's start. There the share of the units in what is
measured comes from runs with twice the units, and EXTRA is the wanted slowdown divided by it. What a slowdown truly was
is measured again, on all verdicts (`rates`).
"""

from __future__ import annotations

import importlib.util
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_harness.errors import CouldNotMeasureError
from bench_harness.verdict.command_side import CommandSide

_CALIBRATING_ROUNDS = 9
_EXACT_ROUNDS = 1


@dataclass(frozen=True)
class Workload:
    """A script of this folder and how Python runs it.

    Args:
        script: body_SCRIPT.py.
        all_work: its clock runs only while it works.
    """

    name: str
    script: str
    flags: tuple[str, ...]
    all_work: bool = True

    def side(self, label: str, extra: float, metrics: Sequence[str]) -> CommandSide:
        """Return the side that does 1 + `extra` times the work."""
        script = Path(__file__).with_name(f"body_{self.script}.py")
        return CommandSide(label, [sys.executable, *self.flags, str(script), repr(extra)], metrics, self.name)

    def describe(self) -> str:
        """Return what it is in words."""
        words = {"python": "pure Python", "kernel": "zlib in C", "pool": "multiprocessing pool, 2 workers"}
        torch = self.name == "loader" and importlib.util.find_spec("torch") is not None
        return "torch DataLoader, 2 workers" if torch else words.get(self.name, words["pool"])


# Without the user's own packages; without site, half of the start, where it need not find torch. -I would do both, but
# ignore PYTHONHASHSEED too: instructions would vary by some tenths of a percent.
WORKLOADS = {
    "python": Workload("python", "python", ("-s", "-S")),
    "kernel": Workload("kernel", "kernel", ("-s", "-S")),
    "pool": Workload("pool", "loader", ("-s", "-S"), all_work=False),  # no site, no torch
    "loader": Workload("loader", "loader", ("-s",), all_work=False),
}


def share_of_units(workload: Workload, metric: str, timeout_s: float, seed: int) -> float:
    """Return which part of a metric grows with the units of work, from rounds with once and twice the units.

    Raises:
        CouldNotMeasureError: the workload fails, or more work does not take more.
    """
    if workload.all_work and metric != "instructions":
        return 1.0
    rounds = _EXACT_ROUNDS if metric == "instructions" else _CALIBRATING_ROUNDS
    sides = [workload.side("calibration", extra, [metric]) for extra in (0.0, 1.0)]
    chance = random.Random(seed)
    values: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(rounds):
        for index in chance.sample((0, 1), 2):
            taken = sides[index].measure(None, 0, timeout_s)
            if taken.failures:
                raise CouldNotMeasureError(f"self-test of {workload.name}: {next(iter(taken.failures.values()))}")
            values[index].append(next(iter(taken.values.values())))
    once, twice = (statistics.median(values[index]) for index in (0, 1))
    share = twice / once - 1
    if share < 0.05:
        raise CouldNotMeasureError(
            f"self-test of {workload.name}: twice the work took {twice / once:.2f} times the {metric}; the machine is "
            "too busy to calibrate, try again later"
        )
    return min(share, 1.0)

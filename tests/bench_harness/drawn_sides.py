"""Sides that draw their numbers instead of measuring: for the laws of the driver, at a clock of their own."""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import dataclass, field

from bench_harness.verdict.sides import Key, Taken

CPU = Key("body", (), "cpu_s", "s", "lower")


@dataclass
class Clock:
    """Seconds that pass only when a side measures."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Drawn:
    """A side that gives exp(noise) * mean for each of its keys.

    Args:
        means: by key.
        sd: of the noise, of each value on its own.
        costs_s: what one measurement takes.
        fails: by number of the measurement, from 0: the failures of that one.
    """

    label: str
    clock: Clock
    means: dict[Key, float]
    sd: float = 0.02
    costs_s: float = 0.03
    fails: dict[int, dict[str, str]] = field(default_factory=dict)
    always_fails: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    asked: list[tuple[frozenset[Key] | None, int]] = field(default_factory=list)
    several_at_once: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.label}{self.seed}")

    def measure(self, wanted: Collection[Key] | None, seed: int, timeout_s: float | None) -> Taken:
        """Let the clock run on, and draw."""
        failures = self.fails.get(len(self.asked), {}) | self.always_fails
        self.asked.append((None if wanted is None else frozenset(wanted), seed))
        self.clock.now_s += self.costs_s
        keys = [key for key in self.means if (wanted is None or key in wanted) and key.title not in failures]
        values = {key: self.means[key] * math.exp(self._random.gauss(0, self.sd)) for key in keys}
        return Taken(values, body_s=self.costs_s / 3, startup_s=self.costs_s * 2 / 3, failures=dict(failures))

"""What is compared: a side measures itself in one fresh process per round and hands back numbers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

WHOLE = "all"  # the metric of a benchmark that has no verdict: it stands for all its numbers


@dataclass(frozen=True)
class Key:
    """One number that is compared, the same on both sides.

    Args:
        benchmark: its name.
        params: names and values of its parameters, in the benchmark's own order.
        metric: what is measured, for example cpu_s.
        unit: of the values: s, bytes, or empty for a count.
        better: "lower" or "higher".
    """

    benchmark: str
    params: tuple[tuple[str, str], ...]
    metric: str
    unit: str
    better: str

    @classmethod
    def of_title(cls, title: str) -> Key:
        """Return the key that rules are asked for of a benchmark of which there is no number, only the title."""
        name, _, rest = title.removesuffix(")").partition("(")
        params = (pair.partition("=") for pair in rest.split(", ") if rest)
        return cls(name, tuple((param, value) for param, _, value in params), WHOLE, "", "lower")

    @property
    def title(self) -> str:
        """The benchmark with its parameters, as tables and messages name it."""
        return self.benchmark + (f"({', '.join(f'{name}={value}' for name, value in self.params)})" * bool(self.params))


@dataclass
class Taken:
    """What one round of one side gave.

    Args:
        values: one value per key, the round's replicate.
        body_s: wall seconds of the benchmarks themselves.
        startup_s: wall seconds of everything around them: starting interpreters, importing, setting up.
        failures: by benchmark, as `Key.title` names it, why there is no value.
        skipped: the same for benchmarks that have none on purpose: skipped by themselves, or not there on this side.
    """

    values: dict[Key, float] = field(default_factory=dict)
    body_s: float = 0.0
    startup_s: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


class Side(Protocol):
    """Base or head. It may be measured any number of times, and no measurement may see anything of the one before.

    Args:
        label: what it is called.
        several_at_once: whether one measurement may begin before another has ended.
    """

    label: str
    several_at_once: bool

    def measure(self, wanted: Collection[Key] | None, seed: int, timeout_s: float | None) -> Taken:
        """Measure in a fresh process.

        Args:
            wanted: the keys that are still to be decided; others may be left out. None: everything there is.
            seed: for whatever is random in there; both sides of a round get the same.
            timeout_s: a benchmark that takes longer has failed; None: no limit.
        """
        ...

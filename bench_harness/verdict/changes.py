"""From values of two sides to relative changes: logarithms of ratios, or differences where no ratio can be taken."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench_harness.statistics.intervals import Center, log_ratios, mean_interval, trimmed_center
from bench_harness.verdict.rule import Rule

# Of the rounds left out on each side, from 7 rounds on: with one process in ten disturbed by others it halves the
# rounds a verdict takes, and costs 7 % more of them where none is.
_TRIMMED = 0.15


def center_of(changes: Sequence[float]) -> Center:
    """Return the trimmed mean of the rounds' changes."""
    return trimmed_center(changes, _TRIMMED)


@dataclass(frozen=True)
class Scale:
    """What a change is measured in: natural logarithms of b / a, or (b - a) / `unit`.

    Args:
        unit: None for logarithms; else the size of the base, |mean of a|.
    """

    unit: float | None = None

    def ratio(self, change: float) -> float:
        """Return the change as a ratio; 1 + (b - a) / |a| where values of both signs or zeros forbid b / a."""
        if self.unit is not None:
            return 1 + change
        return math.inf if change > 700 else math.exp(change)

    def margins(self, rule: Rule) -> tuple[float, float]:
        """Return the changes between which nothing matters."""
        reach = rule.log_margin if self.unit is None else rule.effect
        return -reach, reach


@dataclass(frozen=True)
class Pairs:
    """The rounds in which both sides gave a number, with how many others there were."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    left_out: int

    @classmethod
    def of(cls, a: Sequence[float], b: Sequence[float]) -> "Pairs":
        """Pair the values of each round.

        Raises:
            ValueError: different lengths.
        """
        if len(a) != len(b):
            raise ValueError(f"{len(a)} values of a and {len(b)} of b are not rounds")
        kept = [(x, y) for x, y in zip(a, b, strict=True) if is_number(x) and is_number(y)]
        return cls(tuple(x for x, _ in kept), tuple(y for _, y in kept), len(a) - len(kept))

    def __len__(self) -> int:
        return len(self.a)

    def constant(self, enough: int) -> bool:
        """Tell whether each side gave the same value in every round.

        Two rounds show it for whole numbers; others may agree by the grain of a clock, hence only after `enough`.
        """
        whole = all(value == int(value) for value in (*self.a[:1], *self.b[:1]))
        return len(self) >= (2 if whole else enough) and len(set(self.a)) == len(set(self.b)) == 1

    def changes(self) -> tuple[list[float], Scale] | None:
        """Return the relative change of each round; None where the base cannot be told from zero."""
        if all(value > 0 for value in (*self.a, *self.b)):
            return log_ratios(self.a, self.b), Scale()
        unit = base_size(self.a)
        if unit is None:
            return None
        changes = [(y - x) / unit for x, y in zip(self.a, self.b, strict=True)]
        return (changes, Scale(unit)) if all(map(is_number, changes)) else None


def is_number(value: float) -> bool:
    """Tell whether a value is one to calculate with: what is beyond 1e100 has diverged, and squares of it overflow."""
    return abs(value) <= 1e100


def base_size(values: Sequence[float]) -> float | None:
    """Return |mean|, or None where its 99 % interval holds zero: a change relative to nothing means nothing."""
    if len(values) < 2:
        return None
    span = mean_interval(values, 0.99)
    size = abs(math.fsum(values) / len(values))
    return size if span.low > 0 or span.high < 0 else None

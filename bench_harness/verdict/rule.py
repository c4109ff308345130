"""What counts as a change, and how often a verdict may be wrong."""

import math
from dataclasses import dataclass, replace
from enum import Enum

from bench_harness.errors import UsageError

_BETTER = ("lower", "higher")


class Verdict(str, Enum):
    """The answer to "is head (b) worse than base (a)?"; `regression` means that b is worse."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    FINE = "fine"
    UNDECIDED = "undecided"

    @property
    def alarm(self) -> bool:
        """Whether b was seen to differ by more than the effect, in either direction."""
        return self in (Verdict.REGRESSION, Verdict.IMPROVEMENT)


@dataclass(frozen=True)
class Rule:
    """How one metric of one benchmark is judged.

    The ratio b / a is compared with the margins 1 / (1 + effect) and 1 + effect:

    - `regression` or `improvement`: the whole interval lies beyond a margin, and fresh rounds confirm it.
    - `fine`: the whole interval lies between the margins (two one-sided tests).
    - `undecided`: the interval holds a margin. A change of exactly `effect` stays so, however long one measures; one of
      twice the effect or more, and none, are what a rule decides fast.

    Args:
        effect: the smallest relative change that matters: 0.02 is 2 %.
        better: "lower" or "higher" values.
        screening_error: how often the interval of the screening may miss the ratio, on each side, over all its looks.
        confirming_error: how often fresh rounds may call no change at all a change. It bounds the false alarms of a
            benchmark whatever went wrong in its screening, and, by Holm's method, those of a whole comparison.
        must_decide: whether rounds are added until this metric is decided, and `undecided` is the result of a run.
    """

    effect: float = 0.02
    better: str = "lower"
    screening_error: float = 0.05
    confirming_error: float = 0.005
    must_decide: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.effect < 10:
            raise UsageError(f"effect {self.effect:g}: expected a relative change above 0, such as 2% or 0.02")
        if self.better not in _BETTER:
            raise UsageError(f"better {self.better!r}: expected 'lower' or 'higher'")
        if not (0 < self.screening_error < 0.5 and 0 < self.confirming_error < 0.5):
            raise UsageError("a rate of error: expected a number between 0 and 0.5, such as 0.05")

    @property
    def log_margin(self) -> float:
        """The logarithm of 1 + effect."""
        return math.log1p(self.effect)

    @property
    def percent(self) -> str:
        """The effect as messages say it: "2 %"."""
        return f"{100 * self.effect:.3g} %"

    def second_gate(self) -> "Rule":
        """Return the rule for wall time where CPU time is judged by this one.

        Wall time of the same code varied four times as much as its CPU time on a shared machine, and with the load of
        others: five times the effect, at least 10 %, keeps their jobs from deciding. It is there for what CPU time
        cannot see, waiting for locks, disks and starved workers, which comes in large steps. It never holds a run up.
        """
        return replace(self, effect=max(5 * self.effect, 0.10), must_decide=False)

    def for_counter(self) -> "Rule":
        """Return the rule for exact counters (instructions, calls, allocations) where times are judged by this one.

        They have no noise to stay clear of, but a hash seed or a build moves them by some hundredths of a percent.
        """
        return replace(self, effect=self.effect / 4)

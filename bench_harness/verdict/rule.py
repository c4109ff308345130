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

    The ratio b / a is held against the margins 1 / (1 + effect) and 1 + effect:

    - `fine`: its whole interval lies between them. A change of `effect` or more passes for that in 5 of 100 cases.
    - `regression` or `improvement`: it lies beyond one of them, which happens to a change of exactly `effect` in 20 of
      100 cases; and fresh rounds alone see it beyond that margin again, with a difference that no change at all shows
      in 0.5 of 100 cases.
    - `undecided`: anything else. Changes around `effect` stay so for long; none, or twice the effect, are soon decided.

    Args:
        effect: the smallest relative change that matters: 0.02 is 2 %.
        better: "lower" or "higher" values.
        screening_error: how often a change of exactly `effect` may be called fine, over all looks.
        alarm_error: how often it may raise an alarm, over all looks, which fresh rounds then confirm or not.
        confirming_error: how often fresh rounds may take no change at all for a change. It bounds the false alarms of a
            benchmark whatever went wrong in its screening, and, by Holm's method, those of a whole comparison.
        must_decide: whether rounds are added until this metric is decided, and `undecided` is the result of a run.
    """

    effect: float = 0.02
    better: str = "lower"
    screening_error: float = 0.05
    alarm_error: float = 0.2
    confirming_error: float = 0.005
    must_decide: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.effect < 10:
            raise UsageError(f"effect {self.effect:g}: expected a relative change above 0, such as 2% or 0.02")
        if self.better not in _BETTER:
            raise UsageError(f"better {self.better!r}: expected 'lower' or 'higher'")
        if not all(0 < error < 0.5 for error in (self.screening_error, self.alarm_error, self.confirming_error)):
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

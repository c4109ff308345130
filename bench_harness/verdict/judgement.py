"""A verdict with its interval, and the words for it."""

import math
from dataclasses import dataclass

from bench_harness.statistics.intervals import Center
from bench_harness.statistics.student import t_quantile, t_tail
from bench_harness.verdict.changes import Scale
from bench_harness.verdict.rule import Rule, Verdict

_MANY = 10_000  # rounds that nobody waits for
_POWER_REACH = 0.8416  # normal quantile of a power of 80 %
_POWER_REACH_OF_TWO = 1.2816  # of 90 %: where each of two bounds may be missed, both hold in 80 %


@dataclass(frozen=True)
class Judgement:
    """What rounds say of one metric of one benchmark.

    Args:
        ratio: b / a; None where it cannot be taken, for example because a is 0.
        ci_low, ci_high: its interval; None likewise, infinite where too few rounds leave it open.
        confidence: of that interval; 0.9 holds over all looks of a screening.
        rounds: that the numbers come from.
        p_value: one-sided, of no change at all in the direction seen.
        words: the verdict in one line.
        confirmed: whether these are fresh rounds that agree with an earlier alarm.
        rounds_needed: where undecided, about how many rounds would decide; None: unknown, or more than anybody takes.
    """

    verdict: Verdict
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    confidence: float
    rounds: int
    p_value: float
    words: str
    confirmed: bool = False
    rounds_needed: int | None = None


def without_ratio(words: str, rounds: int, confidence: float) -> Judgement:
    """Return an undecided judgement that has no numbers."""
    return Judgement(Verdict.UNDECIDED, None, None, None, confidence, rounds, 1.0, words)


def p_of_no_change(center: Center) -> float:
    """Return the one-sided p value of no change, in the direction of the estimate."""
    if center.value == 0 or math.isinf(center.standard_error):
        return 0.5
    if center.standard_error == 0:
        return 0.0
    return t_tail(abs(center.value) / center.standard_error, center.degrees)


@dataclass(frozen=True)
class Levels:
    """The one-sided errors of a single look: of calling a change of the effect fine, and of raising an alarm at it."""

    fine: float
    alarm: float

    def place(self, center: Center, scale: Scale, rule: Rule) -> Verdict:
        """Return where the interval lies: between the margins, beyond one of them, or over one."""
        low, high = scale.margins(rule)
        span = center.interval(1 - 2 * self.fine)
        if low <= span.low and span.high <= high:
            return Verdict.FINE
        span = center.interval(1 - 2 * self.alarm)
        if span.low > high:
            return direction(rule, larger=True)
        return direction(rule, larger=False) if span.high < low else Verdict.UNDECIDED

    def rounds_needed(self, center: Center, scale: Scale, rule: Rule) -> int | None:
        """Return about how many rounds would decide with a chance of 80 %.

        As long as no change is in the interval: were there none. Else: were the estimate true. None: more than 10,000.
        """
        margin = scale.margins(rule)[1]
        span = center.interval(1 - 2 * self.fine)
        distance = -margin if span.low <= 0 <= span.high else abs(center.value) - margin
        per_round = center.standard_error * math.sqrt(center.n)
        if distance == 0 or not math.isfinite(per_round):
            return None
        error, power = (self.alarm, _POWER_REACH) if distance > 0 else (self.fine, _POWER_REACH_OF_TWO)
        reach = t_quantile(1 - error, max(center.degrees, 20)) + power
        needed = max(center.n + 1, math.ceil((reach * per_round / distance) ** 2))
        return needed if needed <= _MANY else None


def direction(rule: Rule, *, larger: bool) -> Verdict:
    """Return what it means that b is larger, or smaller, than a."""
    return Verdict.REGRESSION if larger == (rule.better == "lower") else Verdict.IMPROVEMENT


def measured(center: Center, scale: Scale, *, confidence: float, shown: float) -> Judgement:
    """Return the numbers, still without verdict and words; the interval of `confidence` stands there as `shown`."""
    span = center.interval(confidence)
    nothing = 0.0 if scale.unit is None else -math.inf
    return Judgement(
        verdict=Verdict.UNDECIDED,
        ratio=scale.ratio(center.value),
        ci_low=scale.ratio(span.low) if math.isfinite(span.low) else nothing,
        ci_high=scale.ratio(span.high),
        confidence=shown,
        rounds=center.n,
        p_value=p_of_no_change(center),
        words="",
    )


def interval_words(judgement: Judgement) -> str:
    """Return "ratio 1.052, 90 % CI 1.031 to 1.074"."""
    if judgement.ratio is None:
        return "no ratio"
    return f"ratio {number(judgement.ratio)}, {span_words(judgement)}"


def span_words(judgement: Judgement) -> str:
    """Return "90 % CI 0.994 to 1.011"."""
    return f"{100 * judgement.confidence:.3g} % CI {number(judgement.ci_low)} to {number(judgement.ci_high)}"


def number(ratio: float | None) -> str:
    """Return a ratio with three decimals, more where it is close to 1 and fewer where it is large."""
    if ratio is None or not math.isfinite(ratio):
        return "anything"
    return f"{ratio:.4f}" if 0 < abs(ratio - 1) < 0.002 else f"{ratio:.3f}" if abs(ratio) < 10 else f"{ratio:.4g}"

"""The ratio of two means with its interval, and the verdict on it."""

import dataclasses
import math
from dataclasses import dataclass

from bench_harness.changelog.estimates import CONFIDENCE, NO_SAMPLES, Estimate
from bench_harness.history.anchors import Chain
from bench_harness.statistics.student import t_quantile, t_tail

FEWEST = 3  # below this many replicates no verdict
MARGIN = 0.05
EQUIVALENCE = 0.90  # this interval inside the margins is two one-sided tests at 5 %
_POWER = 0.80
_MOST = 10_000

UP, DOWN = "up", "down"
INCONCLUSIVE = "inconclusive"
# (where the value went down, where it went up), by unit; any other unit is lower or higher.
WORDS = {"seconds": ("faster", "slower"), "bytes": ("smaller", "larger")}


@dataclass(frozen=True)
class Comparison:
    """A row against the comparable row before it.

    Args:
        ratio: this mean over the earlier one; None where that is not positive.
        low: of the 95 % interval, `high` likewise; None where there is none.
        verdict: in words.
        direction: "up" or "down" where the verdict is that the value changed by more than the margin, else None.
        p_value: one-sided, of the change being no more than the margin; only with a direction.
        same_job: whether `bench compare` measured the ratio, with both commits in one job.
    """

    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    direction: str | None = None
    p_value: float | None = None
    same_job: bool = False


def compare(before: Estimate, after: Estimate, unit: str | None, margin: float = MARGIN) -> Comparison:
    """Return the ratio of two means, and what can be said of it where differences up to `margin` do not matter."""
    ratio = after.mean / before.mean if before.mean > 0 and after.mean > 0 else None
    reason = _incomparable(before, after)
    if ratio is None or reason is not None:
        return Comparison(ratio, None, None, f"not comparable: {reason or 'a mean is not positive'}")
    outer, inner = fieller(before, after, CONFIDENCE), fieller(before, after, EQUIVALENCE)
    found = _judged(ratio, outer, inner, unit, margin)
    if found.direction is not None:
        return dataclasses.replace(found, p_value=_p_beyond(before, after, _edge(found, margin)))
    if found.verdict == INCONCLUSIVE:
        return dataclasses.replace(found, verdict=f"{INCONCLUSIVE}{_needed(before, after, margin)}")
    return found


def compare_in_one_job(chain: Chain, unit: str | None, margin: float = MARGIN) -> Comparison:
    """Return the same of two commits that were compared side by side, which takes the place of the two means."""
    found = _judged(chain.ratio, chain.interval(CONFIDENCE), chain.interval(EQUIVALENCE), unit, margin)
    p_value = chain.p_value(_edge(found, margin)) if found.direction is not None else None
    return dataclasses.replace(found, p_value=p_value, same_job=True)


def _judged(
    ratio: float, outer: tuple[float, float], inner: tuple[float, float], unit: str | None, margin: float
) -> Comparison:
    (low, high), (inner_low, inner_high) = outer, inner
    least, most = 1 / (1 + margin), 1 + margin
    words = WORDS.get(unit or "", ("lower", "higher"))
    if least <= inner_low and inner_high <= most:
        return Comparison(ratio, low, high, f"no relevant difference within +-{_percent(margin)}")
    if high < least:
        return Comparison(ratio, low, high, words[0], DOWN)
    if low > most:
        return Comparison(ratio, low, high, words[1], UP)
    if high < 1 or low > 1:
        return Comparison(ratio, low, high, f"probably {words[low > 1]}, size uncertain")
    return Comparison(ratio, low, high, INCONCLUSIVE)


def _edge(found: Comparison, margin: float) -> float:
    return 1 + margin if found.direction == UP else 1 / (1 + margin)


def has_enough(one: Estimate) -> bool:
    """Tell whether there are replicates enough for a verdict."""
    return one.n is not None and one.n >= FEWEST


def _incomparable(before: Estimate, after: Estimate) -> str | None:
    if before.n is None or after.n is None:
        return f"{NO_SAMPLES}{' of the row before' if after.n is not None else ''}"
    n, where = min((after.n, ""), (before.n, " in the row before"))
    if n < FEWEST:
        return f"n = {n}{where}, needs {FEWEST}"
    return None


def fieller(before: Estimate, after: Estimate, confidence: float) -> tuple[float, float]:
    """Return the interval of mean(after) / mean(before), independent samples with variances of their own.

    Fieller (1954), with Satterthwaite's degrees of freedom at the ratio found (Tamhane, Logan 2004); (0, infinity)
    where the earlier mean does not differ from 0.
    """
    a, b = before.mean, after.mean
    variance_a, variance_b = _variance(before), _variance(after)
    if variance_a == variance_b == 0:
        return b / a, b / a
    ratio = b / a
    t = t_quantile((1 + confidence) / 2, _degrees(before, after, ratio))
    g = t * t * variance_a / (a * a)
    if g >= 1:
        return 0.0, math.inf
    reach = t / a * math.sqrt(variance_b * (1 - g) + ratio * ratio * variance_a)
    return max(0.0, (ratio - reach) / (1 - g)), (ratio + reach) / (1 - g)


def _variance(one: Estimate) -> float:
    return (one.sd or 0.0) ** 2 / (one.n or 1)


def _degrees(before: Estimate, after: Estimate, ratio: float) -> float:
    parts = ((ratio**2 * _variance(before), before.n), (_variance(after), after.n))
    total = sum(variance for variance, _ in parts)
    return total**2 / sum(variance**2 / ((n or 2) - 1) for variance, n in parts)


def _p_beyond(before: Estimate, after: Estimate, bound: float) -> float:
    """Return the one-sided p value of the ratio not lying beyond `bound`, on the side where it was found."""
    error = math.sqrt(_variance(after) + bound * bound * _variance(before))
    if error == 0:
        return 0.0
    return t_tail(abs(after.mean - bound * before.mean) / error, _degrees(before, after, bound))


def _needed(before: Estimate, after: Estimate, margin: float) -> str:
    spread = math.hypot(*((one.sd or 0.0) / one.mean for one in (before, after)))
    n = replicates_needed(spread, margin)
    return f" (needs n of about {n:,})" if n else f" (needs n of more than {_MOST:,})"


def replicates_needed(spread: float, margin: float) -> int | None:
    """Return the replicates a side with which equal means would be told equal within the margin, in 80 % of cases.

    Args:
        spread: sqrt of the summed squares of both sides' relative standard deviations.
        margin: 0.05 for 5 %.

    Returns:
        None where it takes more than 10,000.
    """

    # Of equal means both one-sided tests of level 5 % must succeed: each with half of the allowed failures.
    def enough(n: int) -> bool:
        degrees = 2 * n - 2
        reach = t_quantile((1 + EQUIVALENCE) / 2, degrees) + t_quantile((1 + _POWER) / 2, degrees)
        return reach * spread / math.sqrt(n) <= math.log1p(margin)

    low, high = 2, _MOST
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return max(low, FEWEST)


def _percent(margin: float) -> str:
    return f"{100 * margin:.3g} %"

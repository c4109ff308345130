"""Means, ratios and proportions with their confidence intervals. All of them take two-sided confidences in (0, 1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench_harness.statistics.beta import beta_quantile
from bench_harness.statistics.student import t_quantile


@dataclass(frozen=True)
class Interval:
    """A confidence interval; infinite where the sample says nothing."""

    low: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """Head over base with its interval; `n` is the number of pairs, or of values on the smaller side."""

    ratio: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Center:
    """An estimate of a location whose error follows Student's t with `degrees` degrees of freedom."""

    value: float
    standard_error: float
    degrees: float
    n: int

    def interval(self, confidence: float) -> Interval:
        """Return the two-sided interval; with an infinite standard error, all numbers."""
        reach = t_quantile((1 + _checked(confidence)) / 2, self.degrees) * self.standard_error
        return Interval(self.value - reach, self.value + reach)


def sd(values: Sequence[float]) -> float:
    """Return the standard deviation with n - 1, NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def mean_center(values: Sequence[float]) -> Center:
    """Return the mean with its standard error.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"expected one finite number or more, got {list(values)[:5]}")
    n = len(values)
    error = sd(values) / math.sqrt(n) if n > 1 else math.inf
    return Center(math.fsum(values) / n, error, max(n - 1, 1), n)


def trimmed_center(values: Sequence[float], share: float) -> Center:
    """Return the mean without the floor(share n) smallest and as many largest values, with Yuen's standard error.

    That error is sqrt(S / (h (h - 1))) for h values kept, where S is the sum of squares of the sample with its ends
    winsorized; it has h - 1 degrees of freedom (Tukey and McLaughlin 1963; Yuen 1974). Where nothing is to be left out
    it is the plain mean.

    Raises:
        ValueError: as `mean_center`, or a share that leaves nothing.
    """
    if not 0 <= share < 0.5:
        raise ValueError(f"share {share}: expected a number from 0 to below 0.5")
    n = len(values)
    cut = int(share * n)
    if not cut:
        return mean_center(values)
    if not all(map(math.isfinite, values)):
        raise ValueError(f"expected finite numbers, got {list(values)[:5]}")
    ordered = sorted(values)
    kept = ordered[cut : n - cut]
    ends = [kept[0]] * cut + kept + [kept[-1]] * cut
    h = len(kept)
    if h < 2:
        return Center(kept[0], math.inf, 1, n)
    squares = sd(ends) ** 2 * (n - 1)
    return Center(math.fsum(kept) / h, math.sqrt(squares / (h * (h - 1))), h - 1, n)


def mean_interval(values: Sequence[float], confidence: float) -> Interval:
    """Return Student's interval of the mean."""
    return mean_center(values).interval(confidence)


def log_ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Return log(b_i / a_i).

    Raises:
        ValueError: different lengths, or values that are not positive and finite.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values are not paired")
    return [later - earlier for earlier, later in zip(_logs(a), _logs(b), strict=True)]


def paired_ratio(a: Sequence[float], b: Sequence[float], confidence: float) -> Ratio:
    """Return the geometric mean of b_i / a_i over pairs, with Student's interval on the logarithms.

    Raises:
        ValueError: different lengths, no value, or values that are not positive and finite.
    """
    return exponentiated(mean_center(log_ratios(a, b)), confidence)


def welch_ratio(a: Sequence[float], b: Sequence[float], confidence: float) -> Ratio:
    """Return the ratio of the geometric means of two samples that are not paired, with Welch's interval.

    Raises:
        ValueError: no value on a side, or values that are not positive and finite.
    """
    return exponentiated(welch_center(_logs(a), _logs(b)), confidence)


def welch_center(a: Sequence[float], b: Sequence[float]) -> Center:
    """Return mean(b) - mean(a) with Welch's standard error and Satterthwaite's degrees of freedom."""
    return difference(mean_center(a), mean_center(b))


def difference(one: Center, other: Center) -> Center:
    """Return `other` - `one`, of independent samples, with Satterthwaite's degrees of freedom."""
    n = min(one.n, other.n)
    if n < 2:
        return Center(other.value - one.value, math.inf, 1, n)
    parts = one.standard_error**2, other.standard_error**2
    total = sum(parts)
    weight = parts[0] ** 2 / one.degrees + parts[1] ** 2 / other.degrees
    degrees = total**2 / weight if weight else one.degrees + other.degrees
    return Center(other.value - one.value, math.sqrt(total), degrees, n)


def exponentiated(center: Center, confidence: float) -> Ratio:
    """Return the ratio that a difference of logarithms is."""
    span = center.interval(confidence)
    return Ratio(math.exp(center.value), _exp(span.low), _exp(span.high), center.n)


def proportion_interval(successes: int, n: int, confidence: float) -> Interval:
    """Return the interval of Clopper and Pearson; each side errs with at most (1 - confidence) / 2."""
    error = (1 - _checked(confidence)) / 2
    return Interval(1 - _upper(n - successes, n, error), _upper(successes, n, error))


def proportion_upper_bound(successes: int, n: int, confidence: float) -> float:
    """Return the one-sided upper bound of Clopper and Pearson; 0 of 600 at 95 % gives 0.50 %."""
    return _upper(successes, n, 1 - _checked(confidence))


def _upper(successes: int, n: int, error: float) -> float:
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, got {successes} of {n}")
    return 1.0 if successes == n else beta_quantile(1 - error, successes + 1, n - successes)


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: expected a number between 0 and 1, such as 0.95")
    return confidence


def _logs(values: Sequence[float]) -> list[float]:
    if not all(0 < value < math.inf for value in values):
        raise ValueError("a ratio needs values that are positive and finite")
    return [math.log(value) for value in values]


def _exp(value: float) -> float:
    return math.inf if value > 709 else math.exp(value)

"""Student's t distribution; infinite degrees of freedom are the normal one."""

import functools
import math

from bench_harness.statistics.beta import incomplete_beta

_NORMAL_FROM = 1e7  # degrees from which on the two differ by less than 1e-6 of a probability


def t_tail(t: float, degrees: float) -> float:
    """Return P(T > t), with its full relative precision however small it is (DLMF 8.17 and the definition of T).

    Args:
        t: any number, infinite ones too.
        degrees: degrees of freedom, > 0, not necessarily whole.
    """
    if not degrees > 0 or math.isnan(t):
        raise ValueError(f"t_tail({t}, {degrees}): expected a number and degrees of freedom > 0")
    if degrees >= _NORMAL_FROM or math.isinf(t):
        return math.erfc(t / math.sqrt(2)) / 2
    square = t * t
    half = incomplete_beta(degrees / 2, 0.5, degrees / (degrees + square), square / (degrees + square)) / 2
    return half if t > 0 else 1.0 - half


def t_cdf(t: float, degrees: float) -> float:
    """Return P(T <= t)."""
    return t_tail(-t, degrees)


@functools.lru_cache(maxsize=4096)
def t_quantile(p: float, degrees: float) -> float:
    """Return t with P(T <= t) = p, by bisection to the last bit.

    Raises:
        ValueError: p is not in [0, 1], or degrees of freedom are not positive.
    """
    if not (0 <= p <= 1 and degrees > 0):
        raise ValueError(f"t_quantile({p}, {degrees}): expected p in [0, 1] and degrees of freedom > 0")
    if p in (0, 1):
        return math.inf if p else -math.inf
    return -_upper_quantile(p, degrees) if p < 0.5 else _upper_quantile(1.0 - p, degrees)


def _upper_quantile(tail: float, degrees: float) -> float:
    """Return t >= 0 with P(T > t) = tail <= 1/2."""
    low, high = 0.0, 1.0
    while t_tail(high, degrees) > tail:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if t_tail(middle, degrees) > tail else (low, middle)
    return high if tail < 0.5 else 0.0

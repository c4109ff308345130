"""The regularized incomplete beta function, of which the distributions of Student and of the binomial are cases."""

import math

_TINY = 1e-300
_PRECISION = 1e-15
_STEPS = 20_000  # about 5 sqrt(max(a, b)) are needed


def incomplete_beta(a: float, b: float, x: float, y: float | None = None) -> float:
    """Return I_x(a, b), to about 1e-12 of its value.

    Args:
        a, b: positive.
        x: in [0, 1].
        y: 1 - x where it is known better than by that difference.

    Raises:
        ValueError: an argument out of its range.
    """
    y = 1.0 - x if y is None else y
    if not (a > 0 and b > 0 and 0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"incomplete_beta({a}, {b}, {x}): expected a, b > 0 and x in [0, 1]")
    if x == 0 or y == 0:
        return float(y == 0)
    # The fraction converges fast on this side of the mean; the other side is its mirror image (DLMF 8.17.4).
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _front(b, a, y, x) * _fraction(b, a, y)
    return _front(a, b, x, y) * _fraction(a, b, x)


def _front(a: float, b: float, x: float, y: float) -> float:
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    return math.exp(logarithm) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of DLMF 8.17.22 by the modified method of Lentz."""
    value = upper = 1.0
    lower = 0.0
    for step in range(1, _STEPS):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1.0 / (1.0 + term * lower or _TINY)
        upper = 1.0 + term / upper or _TINY
        value *= upper * lower
        if abs(upper * lower - 1.0) < _PRECISION:
            break
    return 1.0 / value


def beta_quantile(p: float, a: float, b: float) -> float:
    """Return x with I_x(a, b) = p, by bisection to the last bit."""
    if not 0 <= p <= 1:
        raise ValueError(f"beta_quantile({p}, {a}, {b}): expected p in [0, 1]")
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if incomplete_beta(a, b, middle) < p else (low, middle)
    return high

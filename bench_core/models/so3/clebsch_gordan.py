"""Clebsch-Gordan coefficients of SO(3) in the basis of the real harmonics."""

from __future__ import annotations

import functools
from fractions import Fraction
from math import factorial, sqrt

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@functools.cache
def clebsch_gordan(m: int, n: int, j: int) -> Array:
    """Return C (2 m + 1, 2 n + 1, 2 j + 1), which couples degrees m and n to degree j.

    sum_ab C[a, b, c] (D_m u)[a] (D_n v)[b] = (D_j w)[c], with w what C makes of u and v. C is real up to a factor i,
    which is left out where m + n + j is odd; its sign is that of the Condon-Shortley convention, as py3nj and escnn
    with it have it. Orthonormal: sum_ab C[a, b, c] C[a, b, d] = 1 if c = d, else 0.

    Raises:
        ValueError: j is not within |m - n| .. m + n.
    """
    if not abs(m - n) <= j <= m + n:
        raise ValueError(f"degrees {m} and {n} couple to {abs(m - n)}..{m + n}, not to {j}")
    coefficients = np.zeros((2 * m + 1, 2 * n + 1, 2 * j + 1))
    for a in range(-m, m + 1):
        for b in range(-n, n + 1):
            if abs(a + b) <= j:
                coefficients[m + a, n + b, j + a + b] = _coupling(m, n, j, a, b)
    real = np.einsum(
        "abc,am,bn,cj->mnj", coefficients, _complex_of_real(m), _complex_of_real(n), _complex_of_real(j).conj()
    )
    chosen: Array = real.real if (m + n + j) % 2 == 0 else real.imag
    chosen = np.ascontiguousarray(chosen)
    chosen.setflags(write=False)
    return chosen


def _coupling(m: int, n: int, j: int, a: int, b: int) -> float:
    """Return <m a, n b | j a+b> by Racah's closed form (Varshalovich et al. 1988, 8.2.1), summed exactly."""
    c = a + b
    square = Fraction((2 * j + 1) * factorial(j + m - n) * factorial(j - m + n) * factorial(m + n - j))
    square /= factorial(m + n + j + 1)
    for degree, order in ((m, a), (n, b), (j, c)):
        square *= factorial(degree + order) * factorial(degree - order)
    total = Fraction(0)
    for k in range(max(0, n - j - a, m - j + b), min(m + n - j, m - a, n + b) + 1):
        bottom = factorial(k) * factorial(m + n - j - k) * factorial(m - a - k)
        bottom *= factorial(n + b - k) * factorial(j - n + a + k) * factorial(j - m - b + k)
        total += Fraction((-1) ** k, bottom)
    return float(total) * sqrt(square)


def _complex_of_real(degree: int) -> npt.NDArray[np.complex128]:
    """Return U (2 l + 1, 2 l + 1): complex harmonics (Condon-Shortley) = U @ real ones."""
    out = np.zeros((2 * degree + 1, 2 * degree + 1), dtype=np.complex128)
    out[degree, degree] = 1.0
    for m in range(1, degree + 1):
        sign = (-1) ** m
        out[degree + m, degree + m] = sign / sqrt(2)
        out[degree + m, degree - m] = 1j * sign / sqrt(2)
        out[degree - m, degree + m] = 1 / sqrt(2)
        out[degree - m, degree - m] = -1j / sqrt(2)
    return out

"""Write bench_core/data/so3: the constants of SO(3) that are slow to compute.

    OMP_NUM_THREADS=1 python docs/make/so3_constants.py

takes 35 s (minutes with more threads, which get into each other's way) and needs escnn
(`pip install --no-deps escnn==1.0.11`, `pip install joblib`). Conventions stand in bench_core/models/constants.py;
tests/bench_core/test_so3_constants.py holds the files against escnn.

The tensors are Racah's sum in exact fractions, so nothing but the last rounding is inexact: a new run writes the same
bytes. The grids are what escnn's own optimiser finds: ten descents of a repulsive potential in float32, from points of
numpy.random.RandomState(42). Rounding decides where they end, so that each instruction set of a processor has a grid
of its own, as good as the others. A model is bound to the grid that it was trained with, hence a new run of this part
makes old checkpoints worthless: `main` keeps a grid file that exists.
"""

from __future__ import annotations

import importlib
from fractions import Fraction
from math import factorial, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.models.constants import BLOCKS, MAX_DEGREE
from bench_core.models.stock.importing import import_escnn
from bench_core.models.stock.wigner import complex_to_real

FOLDER = Path(__file__).parents[2] / "bench_core" / "data" / "so3"


def complex_coefficient(m: int, m1: int, n: int, n1: int, j: int, j1: int) -> float:
    """Return <m m1; n n1 | j j1> with the Condon-Shortley sign, by Racah's formula."""
    if m1 + n1 != j1:
        return 0.0
    return float(_racah_sum(m, m1, n, n1, j)) * sqrt(_racah_factor(m, m1, n, n1, j, j1))


def _racah_factor(m: int, m1: int, n: int, n1: int, j: int, j1: int) -> Fraction:
    triangle = Fraction(factorial(j + m - n) * factorial(j - m + n) * factorial(m + n - j), factorial(m + n + j + 1))
    orders = [factorial(degree + sign * order) for degree, order in ((m, m1), (n, n1), (j, j1)) for sign in (1, -1)]
    return (2 * j + 1) * triangle * int(np.prod(np.array(orders, dtype=object)))


def _racah_sum(m: int, m1: int, n: int, n1: int, j: int) -> Fraction:
    total = Fraction(0)
    for k in range(m + n - j + 1):
        arguments = (k, m + n - j - k, m - m1 - k, n + n1 - k, j - n + m1 + k, j - m - n1 + k)
        if min(arguments) >= 0:
            total += Fraction((-1) ** k, int(np.prod(np.array([factorial(a) for a in arguments], dtype=object))))
    return total


def real_tensor(m: int, n: int, j: int) -> np.ndarray:
    """Return the coefficients (2m+1, 2n+1, 1, 2j+1) between real harmonics."""
    orders = [range(-degree, degree + 1) for degree in (m, n, j)]
    table = np.array(
        [[[complex_coefficient(m, a, n, b, j, c) for c in orders[2]] for b in orders[1]] for a in orders[0]]
    )
    to_real_m, to_real_n, to_real_j = complex_to_real(m), complex_to_real(n), complex_to_real(j)
    tensor = np.einsum("abc,ia,kb,dc->ikd", table, to_real_m.conj(), to_real_n.conj(), to_real_j)
    # Up to rounding, it is real or imaginary throughout.
    part = tensor.real if (m + n + j) % 2 == 0 else tensor.imag
    part = np.where(abs(part) < 1e-14, 0.0, part)
    return part[:, :, np.newaxis, :]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    degrees = range(MAX_DEGREE + 1)
    triples = [(m, n, j) for m in degrees for n in degrees for j in degrees if abs(m - n) <= j <= m + n]
    tensors: dict[str, Any] = {f"{m}_{n}_{j}": real_tensor(m, n, j) for m, n, j in triples}
    np.savez_compressed(FOLDER / "clebsch_gordan.npz", **tensors)
    if not (FOLDER / "thomson_cube.npz").exists():
        np.savez_compressed(FOLDER / "thomson_cube.npz", **thomson_cube_grids())


def thomson_cube_grids() -> dict[str, Any]:
    """Return the grids as escnn computes them here, by the names that they have in the file."""
    import_escnn()
    grids = importlib.import_module("escnn.group.groups.so3_utils")
    return {f"quaternions_{blocks}": grids.thomson_cube_so3.__wrapped__(blocks) for blocks in BLOCKS}


if __name__ == "__main__":
    main()

"""Real spherical harmonics, and the rotation matrices that act on them."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre

Array = npt.NDArray[np.float64]


def spherical_harmonics(degree: int, points: npt.ArrayLike) -> Array:
    """Return the real spherical harmonics of one degree: (..., 3) unit vectors to (..., 2 l + 1).

    Order m = -l .. l, sines (m < 0) before cosines (m > 0), no Condon-Shortley sign, and a norm of 1 everywhere: at
    the pole +z the vector is the unit vector of m = 0. The harmonics of degree 0 are 1 at the origin too; of all
    others, a point that is (0, 0, 0) gets the limit 0.
    """
    points = np.asarray(points, dtype=np.float64)
    x, y, z = np.moveaxis(points, -1, 0)
    out = np.empty((*points.shape[:-1], 2 * degree + 1))
    polynomial = legendre.leg2poly([0.0] * degree + [1.0])
    in_plane = x + 1j * y
    for m in range(degree + 1):
        # The m-th derivative of the Legendre polynomial, without the factor sin(theta)^m that is in (x + iy)^m.
        along_z = np.polynomial.polynomial.polyval(z, polynomial)
        norm = math.sqrt((2.0 if m else 1.0) * math.factorial(degree - m) / math.factorial(degree + m))
        wave = in_plane**m * (norm * along_z)
        out[..., degree + m] = wave.real
        if m:
            out[..., degree - m] = wave.imag
        polynomial = np.polynomial.polynomial.polyder(polynomial)
    if degree:
        out[~points.any(axis=-1)] = 0.0
    return out


def wigner_d(degree: int, rotations: npt.ArrayLike) -> Array:
    """Return D with Y(R x) = D(R) Y(x): (..., 3, 3) rotation matrices to (..., 2 l + 1, 2 l + 1), to about 1e-14.

    Solved for from the harmonics at enough fixed points: D(R) D(S) = D(R S) holds by construction.
    """
    points, solver = _sample_points(degree)
    turned = np.einsum("...ij,nj->...ni", np.asarray(rotations, dtype=np.float64), points)
    matrices: Array = np.einsum("...nm,nk->...mk", spherical_harmonics(degree, turned), solver)
    return matrices


@functools.lru_cache
def _sample_points(degree: int) -> tuple[Array, Array]:
    """Return unit vectors (n, 3), and the (n, 2 l + 1) matrix that solves for D from the harmonics there."""
    points = np.random.default_rng(0).normal(size=(8 * degree + 4, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    harmonics = spherical_harmonics(degree, points)
    return points, np.linalg.pinv(harmonics).T

"""Matrices between a field's coefficients and its values at sampled rotations or directions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench_core.models.so3.harmonics import spherical_harmonics, wigner_d
from bench_core.models.so3.kernels import regular_degrees, size_of

Array = npt.NDArray[np.float64]


def sampling_matrix(band_limit: int, rotations: npt.ArrayLike) -> Array:
    """Return A, (rotations, channels): the values of a spectral regular field at rotations (n, 3, 3).

    A[g, (l, c, m)] = sqrt((2 l + 1) / channels) D_l(g)[m, c], as escnn's FourierPointwise has it with normalize=True.
    """
    channels = size_of(regular_degrees(band_limit))
    columns = []
    for degree in range(band_limit + 1):
        turned = np.swapaxes(wigner_d(degree, rotations), -1, -2)
        columns.append(turned.reshape(len(turned), -1) * np.sqrt((2 * degree + 1) / channels))
    return np.concatenate(columns, axis=1)


def analysis_matrix(sampling: Array) -> Array:
    """Return the least-squares inverse of a sampling matrix, (channels, samples), regularised by 1e-8 as escnn does."""
    return np.linalg.solve(sampling.T @ sampling + 1e-8 * np.eye(sampling.shape[1]), sampling.T)


def sphere_matrix(band_limit: int, directions: npt.ArrayLike) -> Array:
    """Return the values of a spectral quotient field, a function on the sphere, at unit vectors (n, 3).

    Row p, (l, m): Y_l(p)[m] / sqrt(band limit + 1), as escnn's QuotientFourierPointwise has it.
    """
    columns = [spherical_harmonics(degree, directions) for degree in range(band_limit + 1)]
    values: Array = np.concatenate(columns, axis=1) / np.sqrt(band_limit + 1)
    return values


def view_matrix(band_limit: int, directions: npt.ArrayLike) -> Array:
    """Return `sphere_matrix` for directions (n, 3) in the axes of an image, (x, y, z) = array axes (D, H, W).

    Kernels are sampled in axes of their own (`so3.kernels.voxel_points`), which are a reflection of those: rotations
    of an image are conjugated by it, and a function on the sphere is read at the reflected direction.
    """
    return sphere_matrix(band_limit, np.asarray(directions) @ KERNEL_AXES.T)


KERNEL_AXES = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])
"""p in the axes of kernels = KERNEL_AXES @ p in the axes of an image."""

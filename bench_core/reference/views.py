"""A view in steps, in NumPy: cull, transform, look up channels and radii.

So views were made before `voxelize_views` did all of it in one call of C; tests hold the one against the other.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench_core.grid import ImageSpec
from bench_core.voxel_inputs import (
    AtomArrays,
    FloatArray,
    Spheres,
    check_atom_arrays,
    check_finite_coords,
    check_frame,
)

_FLOAT64 = np.dtype(np.float64)
_CULL_SLACK = 1e-5
"""Added to the culling distance, as a share of all lengths involved: more than float32 coordinates and frames that were
computed in float32 are off."""


def view_spheres(atoms: AtomArrays, image: ImageSpec, frame: ArrayLike | None = None) -> Spheres:
    """All of `voxelize_view` that comes before the drawing: cull, transform, look up channels and radii."""
    check_atom_arrays(atoms)
    rigid = check_frame(frame)
    atom_ids = cull_atoms(atoms, image, rigid)
    elements = atoms.elements.take(atom_ids)
    return Spheres(
        transform_coords(atoms.coords_A.take(atom_ids, axis=0), rigid),
        image.radii_A(elements),
        image.channel_masks(elements),
        atoms.occupancies.take(atom_ids).astype(np.float64),
        image.grid,
        image.n_channels,
        image.fill,
        image.aggregate,
    )


def cull_atoms(atoms: AtomArrays, image: ImageSpec, frame: NDArray[np.float64] | None) -> NDArray[np.intp]:
    """Indices of the atoms that may reach into the image, (n,) intp, ascending.

    Works in the frame of the atoms, so that only the few that stay need be rotated: those within
    sqrt(3) L h / 2 + the largest radius of the image's centre, a superset of those that touch it.

    Args:
        frame: as `check_frame` returned it; not checked again.

    Raises:
        VoxelError: a coordinate, near the view or not, is NaN or infinite.
    """
    center_A = np.array(image.grid.center_A)
    if frame is not None:
        center_A = (center_A - frame[:3, 3]) @ frame[:3, :3]
    reach_A = math.sqrt(3.0) / 2.0 * image.grid.length_A + image.max_radius_A
    coords_A = atoms.coords_A
    limit_A = reach_A + _CULL_SLACK * (reach_A + float(np.abs(center_A).max()))
    # Distances are computed in the type of the coordinates: float32 takes three quarters of the time of float64.
    working = np.dtype(np.float32) if coords_A.dtype == np.float32 else _FLOAT64
    with np.errstate(over="ignore", invalid="ignore"):
        # Column by column: a quarter of the time of broadcasting over (N, 3) and einsum.
        center = center_A.astype(working)
        distances_A2 = np.square(coords_A[:, 0] - center[0])
        for axis in (1, 2):
            distances_A2 += np.square(coords_A[:, axis] - center[axis])
        near = distances_A2 <= limit_A * limit_A
    if distances_A2.size and not distances_A2.max() < math.inf:
        check_finite_coords(coords_A)
    return np.flatnonzero(near)


def transform_coords(coords_A: FloatArray, frame: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """R x + t of each row, (n, 3) -> (n, 3) float64, C-contiguous, Å; `frame` as `check_frame` returned it."""
    coords = np.ascontiguousarray(coords_A, dtype=np.float64)
    if frame is None:
        return coords
    moved: NDArray[np.float64] = coords @ frame[:3, :3].T
    moved += frame[:3, 3]
    return moved

"""The rotations at which fields are sampled, read from bench_core/data/so3: computing them takes minutes. NumPy only.

`thomson_cube_grid(blocks)` holds 24 * blocks unit quaternions (x, y, z, w), closed under multiplication from the left
by the 24 rotations of the cube: rows blocks*g .. blocks*g + blocks - 1 are cube rotation g times the generators. escnn
computes another one, as good, on every kind of processor; weights belong to the grid they were trained with.

Written by docs/make/so3_grids.py: `thomson_cube.npz` has the float32 arrays "quaternions_4" (96, 4) and
"quaternions_8" (192, 4).
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from bench_core.errors import ModelError

Array = npt.NDArray[np.float64]

BLOCKS = (4, 8)


@cache
def thomson_cube_grid(blocks: int = 4) -> Array:
    """Return unit quaternions (24 * blocks, 4), scalar last, spread evenly over SO(3) with the symmetry of the cube.

    The array is read-only: every caller gets the same one.

    Raises ModelError for a number of blocks that is not shipped.
    """
    if blocks not in BLOCKS:
        raise ModelError(f"grids thomson_cube are shipped with N = {' and '.join(map(str, BLOCKS))}, not {blocks}")
    path = resources.files("bench_core") / "data" / "so3" / "thomson_cube.npz"
    with path.open("rb") as stream, np.load(stream) as arrays:
        quaternions: Array = arrays[f"quaternions_{blocks}"].astype(np.float64)
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    quaternions.setflags(write=False)
    return quaternions


def rotation_grid(band_limit: int) -> Array:
    """Return the rotations at which fields of a band limit are sampled, (n, 3, 3): 96 up to band limit 2, 192 for 3.

    At band limit 3, the 84 coefficients hold the octahedral irrep A2 seven times, but functions on 4 orbits of the
    cube's rotations hold it four times: no placement of 96 samples tells them apart, and 192 samples do.

    Raises ModelError for a higher band limit.
    """
    if band_limit not in GRID_BLOCKS:
        raise ModelError(f"rotations are shipped for band limits up to {max(GRID_BLOCKS)}, not {band_limit}")
    from scipy.spatial.transform import Rotation

    matrices: Array = Rotation.from_quat(thomson_cube_grid(GRID_BLOCKS[band_limit])).as_matrix()
    return matrices


GRID_BLOCKS = {0: 4, 1: 4, 2: 4, 3: 8}
"""Band limit -> N of the grid thomson_cube, 24 N samples of SO(3)."""

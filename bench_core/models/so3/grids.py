"""Constants of SO(3) that are slow to compute, read from bench_core/data/so3. NumPy only.

Conventions, which are those of escnn 1.0.11:

- The irrep of degree l has the 2l + 1 real harmonics Y_-l..Y_l as its basis: Y_m goes with cos(m phi), Y_-m with
  sin(m phi), none has the Condon-Shortley sign. Degree 1 is (y, z, x). Its matrices D_l(R) obey Y(R v) = D_l(R) Y(v)
  and are orthogonal (`bench_core.models.stock.wigner`).
- `clebsch_gordan(m, n, j)` is Q (2m+1, 2n+1, 1, 2j+1) with sum_ab D_m[i,a] D_n[k,b] Q[a,b,0,c] =
  sum_d Q[i,k,0,d] D_j[d,c]: it embeds degree j into the tensor product of degrees m and n. Its 2j + 1 columns, each
  flattened over the first two axes, are orthonormal. The third axis is the multiplicity, 1 where |m-n| <= j <= m+n,
  otherwise 0. The sign is the one of the usual complex coefficients (Condon-Shortley: <m m; n j-m | j j> > 0), as
  escnn has them with py3nj; its numerical fallback leaves the sign to chance.
- `thomson_cube_grid(blocks)` holds 24 * blocks unit quaternions (x, y, z, w), closed under multiplication from the left
  by the 24 rotations of the cube: rows blocks*g .. blocks*g + blocks - 1 are cube rotation g times the generators.
  escnn computes another one, as good, on every kind of processor; weights belong to the grid they were trained with.

Written by docs/make/so3_constants.py: `clebsch_gordan.npz` has one float64 array "m_n_j" for each allowed triple of
degrees up to 6, `thomson_cube.npz` one float32 array "quaternions_4" (96, 4) and "quaternions_8" (192, 4).
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from bench_core.errors import ModelError

Array = npt.NDArray[np.float64]

MAX_DEGREE = 6
BLOCKS = (4, 8)


@cache
def clebsch_gordan(m: int, n: int, j: int) -> Array:
    """Return the tensor (2m+1, 2n+1, multiplicity, 2j+1) that embeds degree j into degrees m times n, read-only.

    Raises ModelError for a degree beyond those shipped.
    """
    if not 0 <= min(m, n, j) <= max(m, n, j) <= MAX_DEGREE:
        raise ModelError(f"Clebsch-Gordan tensors are shipped for degrees 0 to {MAX_DEGREE}, not ({m}, {n}, {j})")
    if not abs(m - n) <= j <= m + n:
        return np.zeros((2 * m + 1, 2 * n + 1, 0, 2 * j + 1))
    return _read("clebsch_gordan.npz")[f"{m}_{n}_{j}"]


@cache
def thomson_cube_grid(blocks: int = 4) -> Array:
    """Return unit quaternions (24 * blocks, 4), scalar last, spread evenly over SO(3) with the symmetry of the cube.

    Raises ModelError for a number of blocks that is not shipped.
    """
    if blocks not in BLOCKS:
        raise ModelError(f"grids thomson_cube are shipped with N = {' and '.join(map(str, BLOCKS))}, not {blocks}")
    quaternions = _read("thomson_cube.npz")[f"quaternions_{blocks}"].astype(np.float64)
    return _frozen(quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True))


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


@cache
def _read(file: str) -> dict[str, Array]:
    path = resources.files("bench_core") / "data" / "so3" / file
    with path.open("rb") as stream, np.load(stream) as arrays:
        return {name: _frozen(arrays[name]) for name in arrays.files}


def _frozen(array: Array) -> Array:
    array.flags.writeable = False  # every caller gets the same array
    return array

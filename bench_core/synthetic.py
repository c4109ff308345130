"""Synthetic structures at the scale of the PDB, each a pure function of a numpy Generator.

Reference, real chains without hydrogens and waters: within 5 A of an atom, itself included, there are 23.0 to 25.1
atoms on average (10/50/90 % quantiles 14-17 / 24-26 / 32-33); 44 to 57 % of the atoms have 25 or more; the nearest
neighbour is at 1.2 / 1.36 / 1.55 A (1/50/99 %). `ball_crop` is the most realistic generator; `jittered_grid_atoms`
needs no input.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench_core.atoms import Atoms
from bench_core.errors import VoxelError
from bench_core.frames import random_rotation

if TYPE_CHECKING:
    import numpy.typing as npt

SPACING_A = 2.59
"""Edge of a grid cell: one atom per cell is 0.0575 atoms per cubic angstrom, as in proteins."""

ELEMENT_FREQUENCIES = {6: 0.63, 7: 0.17, 8: 0.195, 16: 0.005}
"""Share of carbon, nitrogen, oxygen and sulphur among the heavy atoms of proteins, by atomic number."""

CROP_RADII_A = (14.0, 24.0)
"""Range of the radii that `ball_crop` draws: some 400 to 2500 atoms."""

_JITTER_A = 0.65
_LUMP_RATIO = 0.2
_DIGITS = string.digits + string.ascii_uppercase


class SyntheticOrigins(NamedTuple):
    """N origins in T tags, sorted by tag: what a store is built from."""

    xyz_A: npt.NDArray[np.float32]
    """(N, 3), rounded to 0.001 A as in structure files."""
    offsets: npt.NDArray[np.int64]
    """(T + 1,); tag t has the rows offsets[t] to offsets[t + 1]."""
    tags: tuple[str, ...]
    """T names of 12 characters, in the form of "pisces/3KSNA"."""


def jittered_grid_atoms(rng: np.random.Generator, n_atoms: int) -> Atoms:
    """Fill a lumpy ellipsoid around (0, 0, 0) with atoms on a jittered grid, in some 0.5 ms per 1500 atoms.

    At 1500 atoms there are 24 neighbours within 5 A on average (quantiles 16 / 26 / 30) and 59 % of the atoms have 25
    or more: close to real chains. Bonds are not modelled; the nearest neighbour is at 1.5 / 2.0 / 2.8 A.

    Returns:
        `n_atoms` atoms; float32 coordinates, elements with ELEMENT_FREQUENCIES, occupancies 1.

    Raises:
        VoxelError: `n_atoms` is negative.
    """
    if n_atoms < 0:
        raise VoxelError(f"n_atoms must be 0 or more, got {n_atoms}")
    coords_A = _lumpy_grid(rng, n_atoms)
    coords_A += rng.uniform(-_JITTER_A, _JITTER_A, coords_A.shape)
    return Atoms(coords_A.astype(np.float32), _random_elements(rng, n_atoms))


def ball_crop(atoms: Atoms, rng: np.random.Generator, radius_A: float | None = None) -> Atoms:
    """Cut a ball around a random atom, move its centre to (0, 0, 0) and turn it by a random rotation.

    Balls of 14 to 24 A out of a real structure have 22 to 23 neighbours within 5 A (quantiles 13 / 23 / 31).

    Args:
        atoms: a structure, at best a real one (`bench_core.structures.read_embedded`).
        rng: draws the radius where none is given, the centre, the rotation.
        radius_A: of the ball; None draws one from CROP_RADII_A.

    Returns:
        At least one atom, in the order and with the coordinate type of `atoms`.

    Raises:
        VoxelError: `atoms` is empty.
    """
    if not len(atoms):
        raise VoxelError("ball_crop needs at least one atom, got none; choose another structure")
    if radius_A is None:
        radius_A = rng.uniform(*CROP_RADII_A)
    shifted_A = atoms.coords_A - atoms.coords_A[rng.integers(len(atoms))]
    inside = np.einsum("ij,ij->i", shifted_A, shifted_A) <= radius_A**2
    rotated_A = shifted_A[inside] @ random_rotation(rng).T
    return Atoms(rotated_A.astype(atoms.coords_A.dtype), atoms.elements[inside], atoms.occupancies[inside])


def synthetic_origins(rng: np.random.Generator, n_origins: int, n_tags: int) -> SyntheticOrigins:
    """Make the origins of a store: one jittered-grid structure per tag, the sizes lognormal (sigma 0.7).

    The reference is 16 million origins in 10 thousand tags, 1600 per tag; that takes some 4 s.

    Raises:
        VoxelError: there is no tag, or more tags than origins.
    """
    if not 1 <= n_tags <= min(n_origins, 36**4):
        raise VoxelError(f"n_tags must be 1 to min(n_origins, {36**4}), got {n_tags} tags for {n_origins} origins")
    offsets = _lognormal_offsets(rng, n_origins, n_tags)
    xyz_A = np.empty((n_origins, 3), np.float32)
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        centre_A = rng.uniform(-50, 50, 3)
        grid_A = _lumpy_grid(rng, stop - start)
        grid_A += centre_A + rng.uniform(-_JITTER_A, _JITTER_A, grid_A.shape)
        xyz_A[start:stop] = grid_A.round(3)
    return SyntheticOrigins(xyz_A, offsets, tuple(_tag(i) for i in range(n_tags)))


def _lumpy_grid(rng: np.random.Generator, n_points: int) -> npt.NDArray[np.float64]:
    """Return the (n_points, 3) grid points with the smallest distance, as a lumpy ellipsoid measures it."""
    axes = rng.uniform(0.75, 1.25, 3)
    semi_axes = axes / np.cbrt(np.prod(axes)) * np.cbrt(max(n_points, 1) * 3 / (4 * np.pi))
    # One step more than the highest lump needs, because few points never fill their ellipsoid exactly.
    steps = np.ceil(semi_axes * (1 + _LUMP_RATIO)).astype(int) + 1
    shift = rng.uniform(-0.5, 0.5, 3)
    grid = np.meshgrid(*(np.arange(-n, n + 1) + d for n, d in zip(steps, shift, strict=True)), indexing="ij")
    points = np.stack([axis.ravel() for axis in grid])
    scaled = random_rotation(rng) @ (points / semi_axes[:, None])
    distances = np.sqrt(np.einsum("ij,ij->j", scaled, scaled))
    # x y z on the unit sphere has eight lobes; this factor makes them -1 to 1.
    lobes = 27**0.5 * scaled[0] * scaled[1] * scaled[2] / distances**3
    chosen = np.argpartition(distances / (1 + _LUMP_RATIO * lobes), max(n_points - 1, 0))[:n_points]
    # Sorted, because the order that argpartition leaves is numpy's own business.
    return np.ascontiguousarray(points[:, np.sort(chosen)].T) * SPACING_A


def _random_elements(rng: np.random.Generator, n_atoms: int) -> npt.NDArray[np.uint8]:
    limits = np.cumsum(list(ELEMENT_FREQUENCIES.values()))
    numbers = np.array(list(ELEMENT_FREQUENCIES), np.uint8)
    return numbers[np.searchsorted(limits[:-1], rng.random(n_atoms), side="right")]


def _lognormal_offsets(rng: np.random.Generator, n_rows: int, n_groups: int) -> npt.NDArray[np.int64]:
    """Return (n_groups + 1,) offsets: lognormal sizes, scaled to the total, none of them empty."""
    shares = np.cumsum(rng.lognormal(sigma=0.7, size=n_groups))
    spare = n_rows - n_groups
    ends = np.floor(shares / shares[-1] * spare).astype(np.int64) + np.arange(1, n_groups + 1)
    return np.concatenate([np.zeros(1, np.int64), ends])


def _tag(number: int) -> str:
    digits = "".join(_DIGITS[number // 36**place % 36] for place in (3, 2, 1, 0))
    return f"pisces/{digits}A"

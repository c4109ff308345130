"""How crowded a place is: the rule that makes an atom an origin, and a place a valid centre of a second view.

The rule of both: the occupancy-weighted number of atoms within `RADIUS_A` of the place, an atom at the place included,
is at least `MIN_NEIGHBOURS` (5 Å and 25: the neighbour-location data set's values).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench_core._voxelizer import ffi, lib
from bench_core.atoms import Atoms
from bench_core.c_structures import CStructures
from bench_core.errors import VoxelError
from bench_core.simd import not_chosen_error

RADIUS_A = 5.0
MIN_NEIGHBOURS = 25.0


def neighbour_counts(atoms: Atoms, radius_A: float = RADIUS_A) -> npt.NDArray[np.float64]:
    """Return the occupancy-weighted number of atoms within `radius_A` (inclusive) of each atom, itself included.

    Returns:
        (N,) float64.
    """
    from scipy.spatial import cKDTree

    weights = np.asarray(atoms.occupancies, dtype=np.float64)
    if not len(weights):
        return weights
    pairs = cKDTree(np.asarray(atoms.coords_A, dtype=np.float64)).query_pairs(radius_A, output_type="ndarray")
    n = len(weights)
    counts = weights + np.bincount(pairs[:, 0], weights=weights[pairs[:, 1]], minlength=n)
    counts += np.bincount(pairs[:, 1], weights=weights[pairs[:, 0]], minlength=n)
    return np.asarray(counts)


def origins_among(
    atoms: Atoms, radius_A: float = RADIUS_A, min_neighbours: float = MIN_NEIGHBOURS
) -> npt.NDArray[np.float32]:
    """Return the places of the atoms that are origins: (n, 3) float32, Å."""
    crowded = neighbour_counts(atoms, radius_A) >= min_neighbours
    return np.asarray(atoms.coords_A[crowded], dtype=np.float32)


def crowded_places(
    atoms: Atoms,
    places_A: npt.NDArray[np.float64],
    radius_A: float = RADIUS_A,
    min_neighbours: float = MIN_NEIGHBOURS,
) -> npt.NDArray[np.bool_]:
    """Say which of a few places have enough atoms around them.

    Every atom is looked at, in C: for the handful of places of one example that is far cheaper than building a tree.

    Args:
        places_A: (places, 3) float64, Å, in the structure's coordinates.

    Returns:
        (places,) bool.

    Raises:
        VoxelError: places of another shape.
    """
    places = np.ascontiguousarray(places_A, dtype=np.float64)
    if places.ndim != 2 or places.shape[1] != 3:
        raise VoxelError(f"places_A must be of shape (places, 3), not {places.shape}")
    structure, counts = CStructures(1), np.zeros(len(places))
    structure.append(atoms)
    places_buffer, counts_buffer = ffi.from_buffer("double[]", places), ffi.from_buffer("double[]", counts)
    done = lib.voxelizer_crowd(structure.array, len(places), places_buffer, radius_A, counts_buffer)
    if done != lib.VOXELIZER_FINE:
        raise not_chosen_error()
    return counts >= min_neighbours

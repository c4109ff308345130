"""How crowded a place is: the rule that makes an atom an origin, and a place a valid centre of a second view.

The rule of both: the occupancy-weighted number of atoms within `RADIUS_A` of the place, an atom at the place included,
is at least `MIN_NEIGHBOURS` (5 Å and 25: the neighbour-location data set's values).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench_core.atoms import Atoms

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

    Brute force over atoms x places: for the handful of places of one example this is far cheaper than building a tree.

    Args:
        places_A: (places, 3) float64, Å, in the structure's coordinates.

    Returns:
        (places,) bool.
    """
    coords_A = np.asarray(atoms.coords_A, dtype=np.float64)
    crowded = np.empty(len(places_A), dtype=bool)
    for k, place_A in enumerate(places_A):
        offsets_A = coords_A - place_A
        near = np.einsum("ij,ij->i", offsets_A, offsets_A) <= radius_A * radius_A
        crowded[k] = atoms.occupancies[near].sum(dtype=np.float64) >= min_neighbours
    return crowded

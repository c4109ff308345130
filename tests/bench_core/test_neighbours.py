"""How crowded a place is, and which atoms that makes origins."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from bench_core import Atoms, embedded_structure, read_atoms
from bench_core.origins.neighbours import crowded_places, neighbour_counts, origins_among
from bench_core.simd import simd_variant, simd_variants, use_simd_variant


def test_neighbour_counts_against_brute_force() -> None:
    atoms = read_atoms(embedded_structure("1pfe"))
    x = atoms.coords_A.astype(np.float64)
    distances_A = np.linalg.norm(x[:, None] - x[None, :], axis=2)
    expected = (distances_A <= 5.0) @ atoms.occupancies.astype(np.float64)
    np.testing.assert_allclose(neighbour_counts(atoms), expected, rtol=1e-12)


def test_origins_are_crowded_and_nothing_else_is() -> None:
    atoms = read_atoms(embedded_structure("1a7g"))
    crowded = crowded_places(atoms, atoms.coords_A.astype(np.float64))
    np.testing.assert_array_equal(origins_among(atoms), atoms.coords_A[crowded].astype(np.float32))
    assert 0.3 < crowded.mean() < 0.7  # real chains: 0.44 to 0.57 of atoms


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("variant", simd_variants())
def test_crowded_places_against_brute_force(variant: str, dtype: type, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(functools.partial(use_simd_variant, simd_variant()))
    use_simd_variant(variant)
    rng = np.random.default_rng(0)
    for n_atoms in (1, 15, 16, 17, 999):
        # On whole angstroms many atoms are exactly 5 A away from a place.
        coords_A = rng.integers(-8, 9, (n_atoms, 3)).astype(dtype)
        atoms = Atoms(coords_A, np.full(n_atoms, 6, np.uint8), rng.random(n_atoms, np.float32))
        places_A = rng.integers(-8, 9, (6, 3)).astype(np.float64)
        distances_A2 = ((coords_A.astype(np.float64) - places_A[:, np.newaxis]) ** 2).sum(axis=2)
        counts = (distances_A2 <= 25.0) @ atoms.occupancies.astype(np.float64)
        for least in (0.5, 10.0, *counts):
            np.testing.assert_array_equal(crowded_places(atoms, places_A, 5.0, least - 1e-9), counts >= least - 1e-9)


def test_atoms_far_away_crowd_nothing() -> None:
    coords_A = np.array([[1e30, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0], [0, 0, 0]], np.float32)
    atoms = Atoms(coords_A, np.full(4, 6, np.uint8))
    assert crowded_places(atoms, np.zeros((1, 3)), 5.0, 1.0).tolist() == [True]
    assert crowded_places(atoms, np.zeros((1, 3)), 5.0, 1.5).tolist() == [False]


def test_occupancy_weighs_neighbours() -> None:
    cluster = np.zeros((30, 3), np.float32)
    carbon = np.full(30, 6, np.uint8)
    assert len(origins_among(Atoms(cluster, carbon, np.full(30, 0.9, np.float32)))) == 30
    assert len(origins_among(Atoms(cluster, carbon, np.full(30, 0.8, np.float32)))) == 0


def test_no_atoms_no_origins() -> None:
    nothing = Atoms(np.empty((0, 3), np.float32), np.empty(0, np.uint8))
    assert len(origins_among(nothing)) == 0
    assert not crowded_places(nothing, np.zeros((2, 3))).any()

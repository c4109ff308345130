"""The kernel under pytest-benchmark: images and views. Not timed in ordinary runs of the tests; gate.ini times it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench_core import Atoms, Grid, ImageSpec, voxelize_atoms, voxelize_view, voxelize_views

Benchmark = Callable[..., Any]  # pytest-benchmark's fixture: calls a function, often, and returns what it returned

GRID = Grid(21, 0.75)
HALF_WIDTH_A = 21 * 0.75 / 2
N_CHANNELS = 4
ATOMS_PER_A3 = 0.0575  # of protein


def ball(n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, 3) in A and channels (n,) of atoms at the density of protein, around the origin."""
    rng = np.random.default_rng(0)
    radius_A = (3 * n_atoms / (4 * np.pi * ATOMS_PER_A3)) ** (1 / 3)
    directions = rng.normal(size=(n_atoms, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * radius_A * rng.random((n_atoms, 1)) ** (1 / 3), rng.integers(0, N_CHANNELS, n_atoms)


def counts(coords_A: np.ndarray, radius_A: float) -> tuple[int, int]:
    """How many spheres lie in the image wholly, and at most in part: what it sums to is between the two."""
    reach_A = np.abs(coords_A).max(axis=1)
    return int((reach_A <= HALF_WIDTH_A - radius_A).sum()), int((reach_A < HALF_WIDTH_A + radius_A).sum())


@pytest.mark.parametrize("radius_A", [0.375, 1.7])
def test_image(benchmark: Benchmark, radius_A: float) -> None:
    """3000 atoms, most of them outside the image."""
    coords_A, channels = ball(3000)
    masks = np.left_shift(1, channels).astype(np.uint32)
    image = benchmark(voxelize_atoms, coords_A, np.full(3000, radius_A), masks, GRID, N_CHANNELS)
    wholly, in_part = counts(coords_A, radius_A)
    assert image.shape == (N_CHANNELS, 21, 21, 21)
    assert wholly <= image.sum(dtype=float) * (1 + 1e-5) <= in_part


@pytest.fixture
def structure() -> Atoms:
    """13,000 atoms, as the largest of the embedded structures has."""
    coords_A, channels = ball(13_000)
    return Atoms(coords_A, np.array([6, 7, 8, 16], np.uint8)[channels], np.ones(13_000, np.float32))


SPEC = ImageSpec(GRID, [["C"], ["N"], ["O"], ["S"]])


def test_view(benchmark: Benchmark, structure: Atoms) -> None:
    """Culling, rotating, choosing channels and filling, in one call."""
    image = benchmark(voxelize_view, structure, SPEC, np.eye(4))
    wholly, in_part = counts(np.asarray(structure.coords_A), 0.375)
    assert wholly <= image.sum(dtype=float) * (1 + 1e-5) <= in_part


def test_pair_of_views(benchmark: Benchmark, structure: Atoms) -> None:
    """What a worker does for each example."""
    aside = np.eye(4)
    aside[0, 3] = 15.0
    images = benchmark(voxelize_views, [(structure, None), (structure, aside)], SPEC)
    assert images.shape == (2, N_CHANNELS, 21, 21, 21)
    assert (images[0] == voxelize_view(structure, SPEC)).all()
    assert (images[1] == voxelize_view(structure, SPEC, aside)).all()

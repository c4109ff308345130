"""Synthetic structures: deterministic, of the size asked for, and as dense as proteins."""

from __future__ import annotations

import itertools
import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, cKDTree
from scipy.spatial.distance import pdist

from bench_core.atoms import Atoms
from bench_core.errors import VoxelError
from bench_core.structures import read_embedded
from bench_core.synthetic import ELEMENT_FREQUENCIES, ball_crop, jittered_grid_atoms, synthetic_origins

RADIUS_A = 5.0


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def neighbours(structures: list[Atoms]) -> npt.NDArray[np.int64]:
    """Number of atoms within 5 A of each atom, itself included."""
    trees = [(cKDTree(atoms.coords_A), atoms.coords_A) for atoms in structures]
    return np.concatenate([tree.query_ball_point(xyz, RADIUS_A, return_length=True) for tree, xyz in trees])


def nearest_A(structures: list[Atoms]) -> npt.NDArray[np.float64]:
    return np.concatenate([cKDTree(a.coords_A).query(a.coords_A, k=2)[0][:, 1] for a in structures])


@pytest.fixture(scope="module")
def real() -> list[Atoms]:
    return [read_embedded(name) for name in ("1bd2", "2xhe", "3kpr")]


class TestStatistics:
    """Against the reference in the module: real chains have a mean of 23.0 to 25.1 and quantiles 14-17/24-26/32-33."""

    def test_jittered_grid(self) -> None:
        structures = [jittered_grid_atoms(rng(0, i), 1518) for i in range(20)]
        counts = neighbours(structures)
        assert 23 <= counts.mean() <= 26
        assert np.percentile(counts, [10, 50, 90]) == pytest.approx([16, 26, 31], abs=2)
        assert 0.5 <= (counts >= 25).mean() <= 0.75
        assert np.percentile(nearest_A(structures), [1, 50, 99]) == pytest.approx([1.50, 2.05, 2.79], abs=0.1)

    def test_density(self) -> None:
        volumes_A3 = [ConvexHull(jittered_grid_atoms(rng(1, i), 20_000).coords_A).volume for i in range(3)]
        assert 20_000 / np.mean(volumes_A3) == pytest.approx(0.0575, rel=0.1)

    def test_element_frequencies(self) -> None:
        elements = jittered_grid_atoms(rng(2), 50_000).elements
        shares = {number: float((elements == number).mean()) for number in np.unique(elements).tolist()}
        assert shares == pytest.approx(ELEMENT_FREQUENCIES, abs=0.01)

    def test_ball_crop(self, real: list[Atoms]) -> None:
        structures = [ball_crop(real[i % 3], rng(3, i)) for i in range(60)]
        counts = neighbours(structures)
        assert 21 <= counts.mean() <= 25
        assert np.percentile(counts, [10, 50, 90]) == pytest.approx([13, 24, 32], abs=2)
        assert 0.35 <= (counts >= 25).mean() <= 0.55
        assert np.percentile(nearest_A(structures), [1, 50]) == pytest.approx([1.23, 1.38], abs=0.05)


class TestJitteredGrid:
    @given(st.integers(0, 400), st.integers(0, 2**32))
    def test_any_size(self, n_atoms: int, seed: int) -> None:
        atoms = jittered_grid_atoms(rng(seed), n_atoms)
        assert len(atoms) == n_atoms
        assert atoms.coords_A.dtype == np.float32
        assert len(np.unique(atoms.coords_A, axis=0)) == n_atoms
        assert np.linalg.norm(atoms.coords_A, axis=1).max(initial=0) < 10 + 3 * n_atoms ** (1 / 3)

    def test_is_a_function_of_the_seed(self) -> None:
        first, again, other = (jittered_grid_atoms(rng(0, i), 100) for i in (7, 7, 8))
        np.testing.assert_array_equal(first.coords_A, again.coords_A)
        np.testing.assert_array_equal(first.elements, again.elements)
        assert not np.array_equal(first.coords_A, other.coords_A)

    def test_a_negative_size(self) -> None:
        with pytest.raises(VoxelError, match="n_atoms must be 0 or more, got -1"):
            jittered_grid_atoms(rng(0), -1)


class TestBallCrop:
    def test_is_a_rigid_piece_of_the_structure(self, real: list[Atoms]) -> None:
        source = real[0]
        crop = ball_crop(source, rng(5), 9.0)
        # The same draws, without the rotation.
        centre_A = source.coords_A[rng(5).integers(len(source))]
        inside = np.linalg.norm(source.coords_A - centre_A, axis=1) <= 9.0
        np.testing.assert_array_equal(crop.elements, source.elements[inside])
        np.testing.assert_allclose(pdist(crop.coords_A), pdist(source.coords_A[inside]), atol=1e-9)
        assert np.linalg.norm(crop.coords_A, axis=1).max() <= 9.0 + 1e-9
        assert not np.allclose(crop.coords_A, source.coords_A[inside] - centre_A)

    def test_keeps_handedness_types_and_occupancies(self) -> None:
        coords_A = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
        source = Atoms.from_elements(coords_A, ["C", "N", "O", "S"], [1, 0.5, 0.25, 0.75])
        crop = ball_crop(source, rng(0), 100.0)
        assert crop.coords_A.dtype == np.float32
        assert crop.occupancies.tolist() == [1, 0.5, 0.25, 0.75]
        assert np.linalg.det(crop.coords_A[1:] - crop.coords_A[0]) == pytest.approx(6, rel=1e-5)

    def test_at_least_the_central_atom(self, real: list[Atoms]) -> None:
        assert len(ball_crop(real[0], rng(0), 0.0)) == 1

    def test_is_a_function_of_the_seed(self, real: list[Atoms]) -> None:
        crops = [ball_crop(real[0], rng(0, 1)) for _ in range(2)]
        np.testing.assert_array_equal(crops[0].coords_A, crops[1].coords_A)

    def test_no_atoms(self, real: list[Atoms]) -> None:
        with pytest.raises(VoxelError, match="at least one atom"):
            ball_crop(real[0][:0], rng(0))


class TestOrigins:
    @given(st.integers(1, 40), st.integers(0, 2000), st.integers(0, 2**32))
    def test_shapes(self, n_tags: int, more: int, seed: int) -> None:
        xyz_A, offsets, tags = synthetic_origins(rng(seed), n_tags + more, n_tags)
        assert xyz_A.shape == (n_tags + more, 3)
        assert xyz_A.dtype == np.float32
        assert offsets.dtype == np.int64
        assert (offsets[0], offsets[-1]) == (0, n_tags + more)
        assert np.diff(offsets).min() >= 1
        assert len(set(tags)) == n_tags
        assert list(tags) == sorted(tags)
        assert all(re.fullmatch(r"pisces/[0-9A-Z]{4}A", tag) for tag in tags)

    def test_sizes_are_lognormal(self) -> None:
        sizes = np.diff(synthetic_origins(rng(0), 200_000, 1000).offsets)
        logs = np.log(sizes)
        assert sizes.mean() == 200
        assert logs.std() == pytest.approx(0.7, abs=0.05)
        assert abs(((logs - logs.mean()) ** 3).mean() / logs.std() ** 3) < 0.2

    def test_a_tag_is_one_dense_structure(self) -> None:
        xyz_A, offsets, _ = synthetic_origins(rng(1), 6000, 3)
        for start, stop in itertools.pairwise(offsets):
            part_A = xyz_A[start:stop].astype(np.float64)
            np.testing.assert_allclose(part_A, part_A.round(3), atol=1e-5)
            tree = cKDTree(part_A)
            assert tree.query_ball_point(part_A, RADIUS_A, return_length=True).mean() > 18

    def test_is_a_function_of_the_seed(self) -> None:
        first, again = (synthetic_origins(rng(4), 500, 5) for _ in range(2))
        np.testing.assert_array_equal(first.xyz_A, again.xyz_A)
        assert first.tags == again.tags

    @pytest.mark.parametrize(("n_origins", "n_tags"), [(10, 0), (10, 11), (0, 0), (0, 1)])
    def test_impossible_counts(self, n_origins: int, n_tags: int) -> None:
        with pytest.raises(VoxelError, match=f"got {n_tags} tags for {n_origins} origins"):
            synthetic_origins(rng(0), n_origins, n_tags)

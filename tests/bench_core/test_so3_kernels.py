"""Harmonics, kernel bases and Fourier matrices: their laws, and the counts they give."""

import numpy as np
import numpy.typing as npt
import pytest
from equivariance import CUBE_ROTATIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench_core.models.so3.fourier import analysis_matrix, sampling_matrix, sphere_matrix
from bench_core.models.so3.grids import rotation_grid
from bench_core.models.so3.harmonics import spherical_harmonics, wigner_d
from bench_core.models.so3.kernels import (
    Degrees,
    kernel_basis,
    quotient_degrees,
    regular_degrees,
    size_of,
    voxel_points,
)

Array = npt.NDArray[np.float64]
REGULAR = regular_degrees(2)
degrees = st.integers(0, 6)
rotations = st.integers(0, 2**32 - 1).map(lambda seed: Rotation.random(rng=seed).as_matrix())


def field_rotation(field: Degrees, rotation: Array) -> Array:
    """Return the matrix by which a rotation acts on the channels of a field."""
    out = np.zeros((size_of(field),) * 2)
    start = 0
    for degree in field:
        stop = start + 2 * degree + 1
        out[start:stop, start:stop] = wigner_d(degree, rotation)
        start = stop
    return out


@given(degree=degrees, rotation=rotations, other=rotations)
@settings(max_examples=60, deadline=None)
def test_rotation_matrices_are_an_orthogonal_representation(degree: int, rotation: Array, other: Array) -> None:
    matrix = wigner_d(degree, rotation)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(2 * degree + 1), atol=1e-13)
    np.testing.assert_allclose(matrix @ wigner_d(degree, other), wigner_d(degree, rotation @ other), atol=1e-13)
    np.testing.assert_allclose(spherical_harmonics(degree, rotation[:, 2]), matrix[:, degree], atol=1e-13)


def test_degree_one_is_y_z_x_and_the_origin_has_only_degree_zero() -> None:
    np.testing.assert_allclose(spherical_harmonics(1, [0.6, 0.0, 0.8]), [0.0, 0.8, 0.6])
    assert spherical_harmonics(0, [0.0, 0.0, 0.0]).tolist() == [1.0]
    assert not any(spherical_harmonics(degree, np.zeros((2, 3))).any() for degree in range(1, 5))


@pytest.mark.parametrize(
    ("into", "out", "counts"),
    [
        ((0,), REGULAR, {1: 1, 3: 10, 5: 19}),
        (REGULAR, REGULAR, {1: 35, 3: 214, 5: 393}),
        (REGULAR, quotient_degrees(2), {1: 9}),
        (regular_degrees(3), regular_degrees(3), {1: 84, 3: 592, 5: 1100}),
    ],
)
def test_as_many_kernels_as_escnn_counts(into: Degrees, out: Degrees, counts: dict[int, int]) -> None:
    for kernel, count in counts.items():
        basis = kernel_basis(into, out, kernel)
        assert basis.dimension == count
        numbers = np.concatenate([block.weights.reshape(-1) for block in basis.blocks])
        assert sorted(numbers) == list(range(count))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("into", "out"), [((0,), REGULAR), (REGULAR, (0, 1, 2)), ((1, 3), (2, 3))])
def test_kernels_turn_with_their_fields(into: Degrees, out: Degrees, kernel: int) -> None:
    padded = kernel_basis(into, out, kernel).padded().astype(np.float64)
    norms = np.square(padded).sum(axis=(1, 2, 3))
    assert set(np.round(norms, 5)) <= {2.0 * degree + 1 for degree in out}
    points = voxel_points(kernel)
    for rotation in CUBE_ROTATIONS:
        # K(R p) = D_out(R) K(p) D_in(R)^T
        places = np.array([np.flatnonzero((points == point).all(axis=1))[0] for point in np.round(points @ rotation.T)])
        left, right = field_rotation(out, rotation), field_rotation(into, rotation)
        turned = np.einsum("oa,bais,ci->bocs", left, padded, right, optimize=True)
        np.testing.assert_allclose(padded[..., places], turned, atol=2e-7)


@pytest.mark.parametrize("band_limit", [1, 2, 3])
def test_samples_determine_a_field(band_limit: int) -> None:
    sampling = sampling_matrix(band_limit, rotation_grid(band_limit))
    channels = size_of(regular_degrees(band_limit))
    assert sampling.shape == ({1: 96, 2: 96, 3: 192}[band_limit], channels)
    np.testing.assert_allclose(np.linalg.norm(sampling, axis=1), 1.0)
    np.testing.assert_allclose(analysis_matrix(sampling) @ sampling, np.eye(channels), atol=1e-7)


def test_a_function_on_the_sphere_is_read_where_it_lies() -> None:
    rotation = Rotation.random(rng=3).as_matrix()
    directions = Rotation.random(5, rng=4).as_matrix()[:, 0]
    field = np.random.default_rng(0).normal(size=9)
    turned = field_rotation(quotient_degrees(2), rotation) @ field
    np.testing.assert_allclose(sphere_matrix(2, directions @ rotation.T) @ turned, sphere_matrix(2, directions) @ field)

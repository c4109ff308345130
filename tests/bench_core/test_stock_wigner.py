"""Wigner D matrices: a homomorphism into orthogonal matrices, in lie_learn's basis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench_core.models.stock.wigner import wigner_D_matrix

GOLDEN = Path(__file__).parent / "golden" / "lie_learn_wigner.npz"
DEGREES = range(9)

angles = st.tuples(*[st.floats(-7.0, 7.0)] * 3)


def representation(degree: int, rotation: Rotation) -> np.ndarray:
    return wigner_D_matrix(degree, *_angles(rotation))


def _angles(rotation: Rotation) -> np.ndarray:
    """Z, Y and Z angles; SciPy warns at beta = 0, where only the sum of the other two is defined."""
    x, y, z = rotation.as_matrix()[:, 2]
    alpha, beta = np.arctan2(y, x), np.arctan2(np.hypot(x, y), z)
    rest = (Rotation.from_euler("ZY", [alpha, beta]).inv() * rotation).as_matrix()
    return np.array([alpha, beta, np.arctan2(rest[1, 0], rest[0, 0])])


@pytest.mark.parametrize("degree", DEGREES)
@given(angles)
def test_orthogonal_of_determinant_1(degree: int, rotation: tuple[float, float, float]) -> None:
    matrix = wigner_D_matrix(degree, *rotation)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(2 * degree + 1), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("degree", DEGREES)
@given(angles, angles)
def test_homomorphism(degree: int, first: tuple[float, float, float], second: tuple[float, float, float]) -> None:
    rotations = [Rotation.from_euler("ZYZ", one) for one in (first, second)]
    product = representation(degree, rotations[0] * rotations[1])
    factors = [wigner_D_matrix(degree, *one) for one in (first, second)]
    np.testing.assert_allclose(factors[0] @ factors[1], product, atol=1e-12)


@pytest.mark.parametrize("degree", DEGREES)
def test_identity(degree: int) -> None:
    np.testing.assert_allclose(wigner_D_matrix(degree, 0.0, 0.0, 0.0), np.eye(2 * degree + 1), atol=1e-14)


@given(angles)
def test_degree_1_is_the_rotation_itself(rotation: tuple[float, float, float]) -> None:
    """In the order (y, z, x)."""
    matrix = Rotation.from_euler("ZYZ", rotation).as_matrix()
    order = [1, 2, 0]
    np.testing.assert_allclose(wigner_D_matrix(1, *rotation), matrix[np.ix_(order, order)], atol=1e-13)


@given(angles)
def test_degree_2_turns_the_quadratic_harmonics(rotation: tuple[float, float, float]) -> None:
    point = np.array([0.48, -0.6, 0.64])
    turned = Rotation.from_euler("ZYZ", rotation).apply(point)
    np.testing.assert_allclose(quadratic(turned), wigner_D_matrix(2, *rotation) @ quadratic(point), atol=1e-13)


def quadratic(point: np.ndarray) -> np.ndarray:
    """Real harmonics of degree 2, written out."""
    x, y, z = point
    root = np.sqrt(3.0)
    return np.array([root * x * y, root * y * z, z * z - (x * x + y * y) / 2, root * x * z, root * (x * x - y * y) / 2])


def test_the_same_as_lie_learn() -> None:
    with np.load(GOLDEN) as golden:
        for degree in DEGREES:
            expected = golden[f"degree_{degree}"]
            matrices = [wigner_D_matrix(degree, *rotation) for rotation in golden["angles"]]
            np.testing.assert_allclose(matrices, expected, atol=1e-12)


def test_another_field_is_refused() -> None:
    with pytest.raises(ValueError, match="real"):
        wigner_D_matrix(1, 0.0, 0.0, 0.0, field="complex")

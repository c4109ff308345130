"""Frames: rigid, invertible, uniform, and centred where they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench_core.frames import CUBE_FACES, centre_A, invert, random_rotation, translation, view_frame

seeds = st.integers(0, 2**32 - 1)


def apply(frame: np.ndarray, point_A: np.ndarray) -> np.ndarray:
    return frame[:3, :3] @ point_A + frame[:3, 3]


@given(seeds)
def test_random_rotation_is_proper(seed: int) -> None:
    rotation = random_rotation(np.random.default_rng(seed))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-14)


def test_random_rotations_are_uniform() -> None:
    rng = np.random.default_rng(0)
    rotations = np.array([random_rotation(rng) for _ in range(4000)])
    # Under the uniform (Haar) measure every entry has mean 0 and variance 1/3, and the angle has density
    # (1 - cos a) / pi, whose mean is pi/2 + 2/pi. Four standard errors each.
    assert np.abs(rotations.mean(axis=0)).max() < 4 * np.sqrt(1 / 3 / 4000)
    angles = Rotation.from_matrix(rotations).magnitude()
    assert angles.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=4 * angles.std() / np.sqrt(4000))


@given(seeds)
def test_view_frame_puts_the_origin_at_the_centre(seed: int) -> None:
    rng = np.random.default_rng(seed)
    origin_A = rng.uniform(-200, 200, 3)
    frame = view_frame(random_rotation(rng), origin_A)
    np.testing.assert_allclose(apply(frame, origin_A), 0, atol=1e-12)
    np.testing.assert_allclose(centre_A(frame), origin_A, atol=1e-12)


@given(seeds)
def test_invert(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = view_frame(random_rotation(rng), rng.uniform(-200, 200, 3))
    np.testing.assert_allclose(invert(frame) @ frame, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(invert(frame), np.linalg.inv(frame), atol=1e-12)


def test_translation_moves_and_nothing_else() -> None:
    np.testing.assert_array_equal(apply(translation(np.array([1.0, 2.0, 3.0])), np.zeros(3)), [1, 2, 3])


def test_cube_faces_order() -> None:
    assert CUBE_FACES.tolist() == [[0, -1, 0], [0, 1, 0], [-1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, -1]]

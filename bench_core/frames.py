"""Rigid transforms between a structure's coordinates and a view's.

A frame is a 4x4 float64 matrix acting on column vectors: x_view = R x + t. A view looks at the cube around the
origin of its own coordinates, so `view_frame(R, origin_A)` puts `origin_A` at the centre of the image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.float64]

CUBE_FACES: npt.NDArray[np.float64] = np.array(
    [[0, -1, 0], [0, 1, 0], [-1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64
)
"""Unit vectors of the six directions, in the order of the labels 0..5 (-y, +y, -x, +x, +z, -z).

The order is the one of the macromolecular-gym data sets, so that labels agree with models trained on those.
"""


def random_rotation(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw a (3, 3) rotation matrix, uniform over all rotations (Haar measure).

    A normalised 4-vector of normals is a uniform unit quaternion (Shoemake, Graphics Gems III, 1992).
    """
    w, x, y, z = rng.standard_normal(4).tolist()
    s = 2.0 / (w * w + x * x + y * y + z * z)
    return np.array(
        [
            [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
        ]
    )


def view_frame(rotation: npt.NDArray[np.float64], origin_A: npt.NDArray[np.floating]) -> Frame:
    """Return the frame that puts `origin_A` ((3,), Å, structure coordinates) at the centre, then rotates."""
    frame = np.zeros((4, 4))
    frame[:3, :3] = rotation
    frame[:3, 3] = -(rotation @ np.asarray(origin_A, dtype=np.float64))
    frame[3, 3] = 1.0
    return frame


def translation(offset_A: npt.NDArray[np.floating]) -> Frame:
    """Return the frame x + offset_A."""
    frame = np.eye(4)
    frame[:3, 3] = offset_A
    return frame


def invert(frame: Frame) -> Frame:
    """Return the inverse of a rigid frame: R^T x - R^T t (exact up to rounding, no linear solve)."""
    inverse = np.zeros((4, 4))
    inverse[:3, :3] = frame[:3, :3].T
    inverse[:3, 3] = -(frame[:3, :3].T @ frame[:3, 3])
    inverse[3, 3] = 1.0
    return inverse


def centre_A(frame: Frame) -> npt.NDArray[np.float64]:
    """Return the point ((3,), Å, structure coordinates) that the frame puts at the centre of the view."""
    return np.asarray(-(frame[:3, :3].T @ frame[:3, 3]))

"""What escnn takes from lie_learn: a real Wigner D matrix, by the angles of its rotation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench_core.models.so3.harmonics import wigner_d


def wigner_D_matrix(
    degree: int, alpha: float, beta: float, gamma: float, field: str = "real"
) -> npt.NDArray[np.float64]:
    """Return D (2l+1, 2l+1) of the rotation Rz(alpha) Ry(beta) Rz(gamma), angles in radians.

    Name and arguments are those of lie_learn 0.0.2, as far as escnn uses them. Raises ValueError for another field.
    """
    if field != "real":
        raise ValueError(f"Wigner D matrices are real here, not {field!r}")
    cos, sin = np.cos(beta), np.sin(beta)
    about_y = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    return wigner_d(degree, _about_z(alpha) @ about_y @ _about_z(gamma))


def _about_z(angle: float) -> npt.NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])

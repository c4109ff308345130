"""Real Wigner D matrices: how the real spherical harmonics of one degree turn under a rotation.

The basis of degree l is (Y_-l, ..., Y_0, ..., Y_l): Y_m goes with cos(m phi), Y_-m with sin(m phi), all without the
Condon-Shortley sign, and the sum of their squares is 1 on the unit sphere. Degree 1 is (y, z, x). A rotation R acts as
Y(R v) = D(R) Y(v), so D is a homomorphism into orthogonal matrices.

The y and z axes are exchanged by a half turn J about their bisector, hence D(Z(a) Y(b) Z(c)) = Z(a) J Z(b) J Z(c)
with rotations about z, which are sparse and written down directly. J itself is the parity of the angular momentum
along the bisector, whose eigenvalues are the integers -l..l: an eigenbasis is well conditioned at every degree.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def wigner_D_matrix(degree: int, alpha: float, beta: float, gamma: float, field: str = "real") -> Matrix:
    """Return D (2l+1, 2l+1) of the rotation Rz(alpha) Ry(beta) Rz(gamma), angles in radians.

    Name and arguments are those of lie_learn 0.0.2, as far as escnn uses them. Raises ValueError for another field.
    """
    if field != "real":
        raise ValueError(f"Wigner D matrices are real here, not {field!r}")
    exchange = _exchange_of_y_and_z(degree)
    about_y = exchange @ _about_z(degree, beta) @ exchange
    return np.asarray(_about_z(degree, alpha) @ about_y @ _about_z(degree, gamma))


def _about_z(degree: int, angle: float) -> Matrix:
    orders = np.arange(-degree, degree + 1)
    matrix: Matrix = np.diag(np.cos(orders * angle))
    # At m = 0 both diagonals meet, and cos is the one to keep.
    matrix[orders != 0, ::-1] += np.diag(np.sin(-orders * angle))[orders != 0]
    return matrix


@lru_cache(maxsize=64)
def _exchange_of_y_and_z(degree: int) -> Matrix:
    momentum, orders = _momentum_along_bisector(degree)
    eigenvectors = np.linalg.eigh(momentum)[1]
    # Functions of a turned point mix by the conjugate of what turns the states |l, m>.
    half_turn = ((eigenvectors * (-1.0) ** orders) @ eigenvectors.conj().T).conj()
    to_real = complex_to_real(degree)
    exchange: Matrix = (to_real @ half_turn @ to_real.conj().T).real
    exchange.flags.writeable = False  # shared by all callers
    return exchange


def _momentum_along_bisector(degree: int) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.int64]]:
    """Return (J_y + J_z) / sqrt(2) in the basis |l, m>, and its eigenvalues in ascending order."""
    orders = np.arange(-degree, degree + 1)
    raising = np.diag(np.sqrt(degree * (degree + 1.0) - orders[:-1] * (orders[:-1] + 1.0)), -1)
    momentum_y = (raising - raising.T) / 2j
    return (momentum_y + np.diag(orders)) / np.sqrt(2), orders


def complex_to_real(degree: int) -> npt.NDArray[np.complex128]:
    """Return the unitary U with real harmonics = U @ complex ones (which have the Condon-Shortley sign)."""
    matrix = np.zeros((2 * degree + 1, 2 * degree + 1), dtype=complex)
    matrix[degree, degree] = 1.0
    for order in range(1, degree + 1):
        sign = (-1) ** order
        matrix[degree + order, [degree - order, degree + order]] = np.array([1, sign]) / np.sqrt(2)
        matrix[degree - order, [degree - order, degree + order]] = np.array([1j, -1j * sign]) / np.sqrt(2)
    return matrix

"""Clebsch-Gordan coefficients: their laws, their signs, and that escnn computes the same."""

from __future__ import annotations

import functools
import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from sympy.physics.wigner import clebsch_gordan as coefficient_of_sympy

from bench_core.models.so3.clebsch_gordan import clebsch_gordan
from bench_core.models.so3.harmonics import wigner_d
from bench_core.models.stock.importing import import_escnn

Array = npt.NDArray[np.float64]
degrees = st.integers(0, 6)
rotations = st.integers(0, 2**32 - 1).map(lambda seed: Rotation.random(rng=seed).as_matrix())
TRIPLES = [(m, n, j) for m, n in itertools.product(range(4), repeat=2) for j in range(abs(m - n), m + n + 1)]


@given(m=degrees, n=degrees, j=degrees, rotation=rotations)
@settings(max_examples=60, deadline=None)
def test_coupling_is_orthonormal_and_turns_with_the_degrees(m: int, n: int, j: int, rotation: Array) -> None:
    if not abs(m - n) <= j <= m + n:
        with pytest.raises(ValueError, match=f"degrees {m} and {n} couple to {abs(m - n)}..{m + n}, not to {j}"):
            clebsch_gordan(m, n, j)
        return
    coupling = clebsch_gordan(m, n, j)
    np.testing.assert_allclose(np.einsum("abc,abd->cd", coupling, coupling), np.eye(2 * j + 1), atol=1e-13)
    turned = np.einsum("abc,ad,be->dec", coupling, wigner_d(m, rotation), wigner_d(n, rotation))
    np.testing.assert_allclose(turned, np.einsum("dek,ck->dec", coupling, wigner_d(j, rotation)), atol=1e-12)


@pytest.mark.parametrize("m", range(7))
def test_all_degrees_together_are_a_basis_of_the_product(m: int) -> None:
    for n in range(m + 1):
        columns = [clebsch_gordan(m, n, j).reshape(-1, 2 * j + 1) for j in range(m - n, m + n + 1)]
        whole = np.concatenate(columns, axis=1)
        np.testing.assert_allclose(whole @ whole.T, np.eye((2 * m + 1) * (2 * n + 1)), atol=1e-13)


def test_products_of_vectors() -> None:
    """Degrees 1 x 1 -> 0 and 1, in the order (y, z, x): the dot product and the cross product, up to a factor."""
    a, b = np.random.default_rng(0).normal(size=(2, 3))
    dot = np.einsum("a,b,abc->c", a[[1, 2, 0]], b[[1, 2, 0]], clebsch_gordan(1, 1, 0))
    cross = np.einsum("a,b,abc->c", a[[1, 2, 0]], b[[1, 2, 0]], clebsch_gordan(1, 1, 1))
    assert abs(dot[0]) == pytest.approx(abs(a @ b) / np.sqrt(3))
    np.testing.assert_allclose(np.abs(cross), np.abs(np.cross(a, b))[[1, 2, 0]] / np.sqrt(2))


def test_coefficients_cannot_be_overwritten() -> None:
    with pytest.raises(ValueError, match="read-only"):
        clebsch_gordan(1, 1, 2)[0] = 0


@functools.cache
def complex_coefficient(m: int, n: int, j: int, m1: int, n1: int, j1: int) -> float:
    """<m m1, n n1 | j j1>, with the Condon-Shortley sign."""
    return float(coefficient_of_sympy(m, n, j, m1, n1, j1))


def test_signs_are_those_that_escnn_has_with_py3nj(monkeypatch: pytest.MonkeyPatch) -> None:
    """escnn's own change from complex to real harmonics, with coefficients that py3nj would give."""
    import_escnn().group.so3_group(2)
    from escnn.group.groups import so3group

    def coefficients(*doubled: Any) -> Any:
        return np.vectorize(complex_coefficient)(*(np.asarray(number) // 2 for number in doubled))

    monkeypatch.setattr(so3group, "py3nj", SimpleNamespace(clebsch_gordan=coefficients))
    for m, n, j in TRIPLES:
        tensor = so3group._clebsh_gordan_tensor_so3(m, n, j)
        np.testing.assert_allclose(tensor, clebsch_gordan(m, n, j)[:, :, np.newaxis], atol=1e-12)


def test_escnn_takes_ours() -> None:
    """With an axis more: how often the degree is in the product, which is not at all where they do not couple."""
    group = import_escnn().group.so3_group(2)
    np.testing.assert_array_equal(group._clebsh_gordan_coeff(2, 1, 2)[:, :, 0], clebsch_gordan(2, 1, 2))
    assert group._clebsh_gordan_coeff(3, 3, 6).shape == (7, 7, 1, 13)
    assert group._clebsh_gordan_coeff(1, 2, 4).shape == (3, 5, 0, 9)


@pytest.mark.slow
def test_escnn_computes_the_same_up_to_sign() -> None:
    compute = import_escnn().group._clebsh_gordan._clebsh_gordan_tensor.__wrapped__
    import_escnn().group.so3_group(6)
    for m, n, j in TRIPLES:
        computed, own = compute((m,), (n,), (j,), "SO3")[:, :, 0], clebsch_gordan(m, n, j)
        sign = np.sign((computed * own).sum())
        np.testing.assert_allclose(sign * computed, own, atol=1e-6)

"""The shipped constants of SO(3): what they are by definition, and that escnn computes the same."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bench_core.errors import ModelError
from bench_core.models.constants import BLOCKS, MAX_DEGREE, clebsch_gordan, thomson_cube_grid
from bench_core.models.stock.importing import import_escnn
from bench_core.models.stock.wigner import wigner_D_matrix

SCRIPT = Path(__file__).parents[2] / "docs" / "make" / "so3_constants.py"
DATA = SCRIPT.parents[2] / "bench_core" / "data" / "so3"
DEGREES = range(MAX_DEGREE + 1)
TRIPLES = [(m, n, j) for m, n, j in itertools.product(DEGREES, repeat=3) if abs(m - n) <= j <= m + n]


@pytest.fixture(scope="module")
def script() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


def test_less_than_a_megabyte() -> None:
    assert sum(file.stat().st_size for file in DATA.iterdir()) < 200_000


@pytest.mark.parametrize("degree", DEGREES)
def test_tensors_embed_one_degree_into_two(degree: int) -> None:
    rotations = Rotation.random(3, random_state=degree).as_euler("ZYZ")
    matrices = [[wigner_D_matrix(other, *rotation) for other in DEGREES] for rotation in rotations]
    for m, n, j in (triple for triple in TRIPLES if triple[0] == degree):
        tensor = clebsch_gordan(m, n, j)
        for D in matrices:
            product = np.einsum("ia,kb,absc->iksc", D[m], D[n], tensor)
            np.testing.assert_allclose(product, tensor @ D[j], atol=1e-12)


@pytest.mark.parametrize("m", DEGREES)
def test_tensors_are_an_orthonormal_basis_of_the_product(m: int) -> None:
    for n in range(min(m, MAX_DEGREE - m) + 1):
        columns = [clebsch_gordan(m, n, j).reshape(-1, 2 * j + 1) for j in range(m - n, m + n + 1)]
        whole = np.concatenate(columns, axis=1)
        np.testing.assert_allclose(whole @ whole.T, np.eye((2 * m + 1) * (2 * n + 1)), atol=1e-13)


def test_tensors_outside_the_triangle_are_empty() -> None:
    assert clebsch_gordan(1, 2, 4).shape == (3, 5, 0, 9)
    assert clebsch_gordan(3, 3, 6).shape == (7, 7, 1, 13)


def test_products_of_vectors() -> None:
    """Degrees 1 x 1 -> 0 and 1, in the order (y, z, x): the dot product and the cross product, up to a factor."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3))
    dot = np.einsum("a,b,absc->c", a[[1, 2, 0]], b[[1, 2, 0]], clebsch_gordan(1, 1, 0))
    cross = np.einsum("a,b,absc->c", a[[1, 2, 0]], b[[1, 2, 0]], clebsch_gordan(1, 1, 1))
    assert abs(dot[0]) == pytest.approx(abs(a @ b) / np.sqrt(3))
    np.testing.assert_allclose(np.abs(cross), np.abs(np.cross(a, b))[[1, 2, 0]] / np.sqrt(2))


@pytest.mark.parametrize(("m", "n", "j"), [(7, 0, 0), (0, 7, 0), (0, 0, 7), (-1, 0, 0)])
def test_tensors_of_other_degrees_are_not_shipped(m: int, n: int, j: int) -> None:
    with pytest.raises(ModelError, match="degrees 0 to 6"):
        clebsch_gordan(m, n, j)


def test_constants_cannot_be_overwritten() -> None:
    for array in (clebsch_gordan(1, 1, 2), thomson_cube_grid(4)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("blocks", BLOCKS)
def test_grid_is_closed_under_the_rotations_of_the_cube(blocks: int) -> None:
    grid = Rotation.from_quat(thomson_cube_grid(blocks)).as_matrix()
    assert grid.shape == (24 * blocks, 3, 3)
    for cube_rotation in Rotation.create_group("O").as_matrix():
        turned = cube_rotation @ grid
        distances = np.abs(turned[:, np.newaxis] - grid).max(axis=(2, 3))
        nearest = distances.argmin(axis=1)
        assert distances.min(axis=1).max() < 1e-6
        assert sorted(nearest) == list(range(24 * blocks))


@pytest.mark.parametrize("blocks", BLOCKS)
def test_grid_rows_are_cube_rotations_times_generators(blocks: int) -> None:
    grid = Rotation.from_quat(thomson_cube_grid(blocks)).as_matrix().reshape(24, blocks, 3, 3)
    cube = Rotation.create_group("O").as_matrix()
    generators = cube[0].T @ grid[0]
    np.testing.assert_allclose(grid, np.einsum("gij,bjk->gbik", cube, generators), atol=1e-6)


def potential(quaternions: torch.Tensor) -> torch.Tensor:
    """Sum over pairs of rotations of one over the distance of their quaternions, of which either sign will do.

    Pairs that are half a turn apart are left out: the two signs are as far, and within an orbit they stay so.
    """
    cosines = (quaternions @ quaternions.T).abs()[tuple(torch.triu_indices(len(quaternions), len(quaternions), 1))]
    return (2 - 2 * cosines[cosines > 1e-5]).rsqrt().sum()


@pytest.mark.parametrize("blocks", BLOCKS)
def test_grid_is_near_a_minimum_of_the_repulsion(blocks: int) -> None:
    """Near it: escnn's descent ends while it still takes steps of Adam, up to a few degrees long."""
    grid = torch.tensor(thomson_cube_grid(blocks))
    start = grid[:blocks]
    generators = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([generators], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        energy = potential(octahedral(generators))
        energy.backward()
        return energy

    optimizer.step(loss)
    final = generators.detach() / generators.detach().norm(dim=1, keepdim=True)
    assert 1 < potential(grid) / potential(octahedral(final)) < 1.01
    assert (final - start).norm(dim=1).max() < 0.15


def octahedral(generators: torch.Tensor) -> torch.Tensor:
    """The 24 rotations of the cube times each generator, as quaternions."""
    unit = generators / generators.norm(dim=1, keepdim=True)
    products = [left_multiplication(cube) @ unit.T for cube in Rotation.create_group("O").as_quat()]
    return torch.cat([product.T for product in products])


def left_multiplication(quaternion: np.ndarray) -> torch.Tensor:
    x, y, z, w = quaternion
    return torch.tensor([[w, -z, y, x], [z, w, -x, y], [-y, x, w, z], [-x, -y, -z, w]])


def test_a_grid_that_is_not_shipped() -> None:
    with pytest.raises(ModelError, match="N = 4 and 8, not 5"):
        thomson_cube_grid(5)


def test_escnn_takes_the_shipped_constants() -> None:
    escnn = import_escnn()
    group = escnn.group.so3_group(2)
    grid = np.array([element.to("MAT") for element in group.grid(type="thomson_cube", N=4)])
    np.testing.assert_allclose(grid, Rotation.from_quat(thomson_cube_grid(4)).as_matrix(), atol=1e-12)
    np.testing.assert_array_equal(group._clebsh_gordan_coeff(2, 1, 2), clebsch_gordan(2, 1, 2))


def test_tensors_have_the_signs_that_escnn_has_with_py3nj(
    script: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """escnn's own change from complex to real harmonics, with coefficients that py3nj would give."""
    import_escnn().group.so3_group(2)
    from escnn.group.groups import so3group

    def coefficients(*doubled: Any) -> Any:
        m, n, j, m1, n1, j1 = (np.asarray(number) // 2 for number in doubled)
        return np.vectorize(script.complex_coefficient)(m, m1, n, n1, j, j1)

    monkeypatch.setattr(so3group, "py3nj", SimpleNamespace(clebsch_gordan=coefficients))
    for m, n, j in (triple for triple in TRIPLES if max(triple[:2]) <= 3):
        np.testing.assert_allclose(so3group._clebsh_gordan_tensor_so3(m, n, j), clebsch_gordan(m, n, j), atol=1e-12)


def test_the_script_makes_the_shipped_tensors(script: SimpleNamespace) -> None:
    for m, n, j in (triple for triple in TRIPLES if max(triple) <= 4):
        np.testing.assert_array_equal(script.real_tensor(m, n, j), clebsch_gordan(m, n, j))


@pytest.mark.slow
def test_tensors_are_those_that_escnn_computes_up_to_sign() -> None:
    compute = import_escnn().group._clebsh_gordan._clebsh_gordan_tensor.__wrapped__
    import_escnn().group.so3_group(MAX_DEGREE)
    for m, n, j in (triple for triple in TRIPLES if max(triple[:2]) <= 3):
        computed, shipped = compute((m,), (n,), (j,), "SO3"), clebsch_gordan(m, n, j)
        sign = np.sign((computed * shipped).sum())
        np.testing.assert_allclose(sign * computed, shipped, atol=1e-6)


@pytest.mark.slow
def test_escnn_computes_a_grid_as_good() -> None:
    """Not the same one: in float32, its descent ends elsewhere with every instruction set."""
    import_escnn()
    from escnn.group.groups import so3_utils

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with more, these small operations take many times as long
    try:
        computed = torch.tensor(so3_utils.thomson_cube_so3.__wrapped__(4)).double()
    finally:
        torch.set_num_threads(threads)
    assert potential(computed) == pytest.approx(float(potential(torch.tensor(thomson_cube_grid(4)))), rel=0.01)

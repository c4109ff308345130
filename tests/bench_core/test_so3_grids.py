"""The shipped grids of rotations: what they are by definition, and that escnn computes one as good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import bench_core
from bench_core.errors import ModelError
from bench_core.models.so3.grids import BLOCKS, thomson_cube_grid
from bench_core.models.stock.importing import import_escnn

DATA = Path(bench_core.__file__).parent / "data" / "so3"


def test_a_few_kilobytes() -> None:
    assert [file.name for file in DATA.iterdir()] == ["thomson_cube.npz"]
    assert (DATA / "thomson_cube.npz").stat().st_size < 10_000


def test_grids_cannot_be_overwritten() -> None:
    with pytest.raises(ValueError, match="read-only"):
        thomson_cube_grid(4)[0] = 0


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


def test_escnn_takes_the_shipped_grid() -> None:
    group = import_escnn().group.so3_group(2)
    grid = np.array([element.to("MAT") for element in group.grid(type="thomson_cube", N=4)])
    np.testing.assert_allclose(grid, Rotation.from_quat(thomson_cube_grid(4)).as_matrix(), atol=1e-12)


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

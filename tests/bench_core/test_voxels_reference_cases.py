"""Images whose values symmetry gives, for the C code and both of its ancestors, in both types."""

import math

import numpy as np
import pytest

from bench_core.errors import VoxelError
from bench_core.grid import Grid, ImageSpec
from bench_core.reference.voxels import near_image, voxelize_atoms_filtered, voxelize_atoms_naive
from bench_core.voxels import voxelize_atoms

pytestmark = pytest.mark.usefixtures("variant")

SPHERE_A3 = 4 / 3 * math.pi

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
all_backends = pytest.mark.parametrize("voxelize", [voxelize_atoms, voxelize_atoms_naive, voxelize_atoms_filtered])


def assert_image(image, expected):
    """`expected`: {(channel, x, y, z): value}; all others must be exactly 0."""
    assert {tuple(map(int, index)) for index in np.argwhere(image)} == set(expected)
    for index, value in expected.items():
        assert float(image[index]) == pytest.approx(value, rel=4 * float(np.finfo(image.dtype).eps))


@both_dtypes
@all_backends
@pytest.mark.parametrize(
    ("center_A", "voxels"),
    [
        ((0, 0, 0), [(1, 1, 1)]),
        ((0.5, 0, 0), [(1, 1, 1), (2, 1, 1)]),
        ((0, -0.5, 0), [(1, 0, 1), (1, 1, 1)]),
        ((0, 0, 0.5), [(1, 1, 1), (1, 1, 2)]),
        ((0.5, 0.5, 0), [(x, y, 1) for x in (1, 2) for y in (1, 2)]),
        ((-0.5, 0, 0.5), [(x, 1, z) for x in (0, 1) for z in (1, 2)]),
        ((0.5, 0.5, 0.5), [(x, y, z) for x in (1, 2) for y in (1, 2) for z in (1, 2)]),
        ((-0.5, -0.5, 0.5), [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (1, 2)]),
    ],
)
def test_center_face_edge_and_corner_share_equally(voxelize, dtype, center_A, voxels):
    image = voxelize([center_A], [0.5], [1], Grid(3, 1.0), 1, dtype=dtype)
    assert image.dtype == dtype
    assert_image(image, {(0, *voxel): 1 / len(voxels) for voxel in voxels})


@both_dtypes
@all_backends
def test_channels_and_occupancy(voxelize, dtype):
    grid, origin = Grid(1, 1.0), [[0, 0, 0]]
    assert_image(voxelize(origin, [0.5], [0b10], grid, 2, dtype=dtype), {(1, 0, 0, 0): 1})
    assert_image(voxelize(origin, [0.5], [0b101], grid, 3, dtype=dtype), {(0, 0, 0, 0): 1, (2, 0, 0, 0): 1})
    half = voxelize(origin, [0.5], [1], grid, 1, occupancies=[0.5], dtype=dtype)
    assert_image(half, {(0, 0, 0, 0): 0.5})


@both_dtypes
@all_backends
@pytest.mark.parametrize(
    ("fill", "value"), [("overlap_A3", SPHERE_A3), ("fraction_atom", 1.0), ("fraction_voxel", SPHERE_A3 / 8)]
)
def test_fills(voxelize, dtype, fill, value):
    assert_image(voxelize([[0, 0, 0]], [1.0], [1], Grid(3, 2.0), 1, fill=fill, dtype=dtype), {(0, 1, 1, 1): value})


@both_dtypes
@all_backends
@pytest.mark.parametrize(
    ("centers_A", "masks", "expected"),
    [
        # the same face, in two channels
        ([(0, -0.5, -0.5)] * 2, [1, 2], {(c, x, 0, 0): 1 / 2 for c in (0, 1) for x in (0, 1)}),
        # disjoint, partly coincident, coincident
        ([(-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)], [1, 1], {(0, 0, 0, 0): 1, (0, 1, 1, 1): 1}),
        ([(-0.5, -0.5, -0.5), (0, -0.5, -0.5)], [1, 1], {(0, 0, 0, 0): 3 / 2, (0, 1, 0, 0): 1 / 2}),
        ([(-0.5, -0.5, -0.5)] * 2, [1, 1], {(0, 0, 0, 0): 2}),
        # on the border half is lost, 0.5 outside it only touches
        ([(-1, -0.5, -0.5)], [1], {(0, 0, 0, 0): 1 / 2}),
        ([(0.5, 1, 0.5)], [1], {(0, 1, 1, 1): 1 / 2}),
        ([(-1, -1, 1)], [1], {(0, 0, 0, 1): 1 / 8}),
        ([(-1.5, -0.5, -0.5)], [1], {}),
        ([(0.5, 0.5, 1.5)], [1], {}),
    ],
)
def test_two_atoms_and_the_border(voxelize, dtype, centers_A, masks, expected):
    assert_image(voxelize(centers_A, [0.5] * len(masks), masks, Grid(2, 1.0), 2, dtype=dtype), expected)


@both_dtypes
@all_backends
@pytest.mark.parametrize(("aggregate", "shared"), [("sum", 3 / 2), ("max", 1)])
def test_aggregates(voxelize, dtype, aggregate, shared):
    centers_A = [(-0.5, -0.5, -0.5), (0, -0.5, -0.5)]
    image = voxelize(centers_A, [0.5, 0.5], [1, 1], Grid(2, 1.0), 1, aggregate=aggregate, dtype=dtype)
    assert_image(image, {(0, 0, 0, 0): shared, (0, 1, 0, 0): 1 / 2})


@all_backends
@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.complex128, "nonsense", ">f4"])
def test_other_dtypes_are_errors(voxelize, dtype):
    with pytest.raises(VoxelError, match="dtype must be float32 or float64"):
        voxelize([[0, 0, 0]], [0.5], [1], Grid(1, 1.0), 1, dtype=dtype)


@all_backends
@pytest.mark.parametrize("mask", [-1, 0b100, 2**31, 2**32])
def test_channels_beyond_the_image_are_errors(voxelize, mask):
    with pytest.raises(VoxelError, match="atom 1: channel mask"):
        voxelize([[0, 0, 0]] * 2, [0.5] * 2, np.array([1, mask]), Grid(1, 1.0), 2)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_early_filter_is_a_box(axis, side):
    coords_A = np.zeros((2, 3))
    coords_A[:, axis] = [side * 1.49, side * 1.51]
    assert near_image(coords_A, np.full(2, 0.5), Grid(2, 1.0)).tolist() == [True, False]


@both_dtypes
@all_backends
@pytest.mark.parametrize("center_A", [(-0.5, -0.5, -0.5), (-0.5, -0.5, 0.1), (-2.2, 0.3, 1.9), (1.6, 1.8, -2.4)])
def test_voxels_outside_the_occupied_slices_stay_zero(voxelize, dtype, center_A):
    grid = Grid(4, 1.0)
    image = voxelize([center_A], [0.49], [1], grid, 1, dtype=dtype)
    assert (image > 0).any()
    image[(0, *grid.occupied_slices(center_A, 0.49))] = 0
    assert not image.any()


@both_dtypes
@all_backends
def test_arrays_in_other_layouts_give_the_same_image(voxelize, dtype):
    rng = np.random.default_rng(0)
    coords_A, grid = rng.uniform(-3, 3, (20, 3)), Grid(5, 1.0)
    radii_A, masks, shares = rng.uniform(0.2, 1.5, 20), rng.integers(0, 4, 20).astype(np.uint32), rng.uniform(0, 1, 20)
    plain = voxelize(coords_A, radii_A, masks, grid, 2, occupancies=shares, dtype=dtype)
    columns = np.asfortranarray(coords_A), np.repeat(radii_A, 2)[::2], masks.astype(">i8"), shares.astype(">f8")[::1]
    other = voxelize(*columns[:3], grid, 2, occupancies=columns[3], dtype=dtype)
    assert not columns[0].flags.c_contiguous
    np.testing.assert_array_equal(plain, other)
    assert not voxelize(coords_A, radii_A, masks * 0, grid, 2, dtype=dtype).any()


def test_image_spec_and_atoms_agree_on_the_default_radius():
    image = ImageSpec(Grid(3, 2.0), [["C"]])
    assert image.radii_A(np.array([6], dtype=np.uint8)).tolist() == [1.0]

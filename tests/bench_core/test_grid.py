"""Grid arithmetic and channel rules (the numbers are the reference kinds of voxel placement)."""

import dataclasses
import pickle

import numpy as np
import pytest

from bench_core.elements import ATOMIC_NUMBERS
from bench_core.errors import VoxelError
from bench_core.grid import Grid, ImageSpec

GRID = Grid(21, 0.75)
CHANNELS = [["C"], ["N"], ["O"], ["S", "SE"], ["P"], ["*"]]


def atomic_numbers(*symbols):
    return np.array([ATOMIC_NUMBERS[symbol] for symbol in symbols], dtype=np.uint8)


@pytest.mark.parametrize(
    ("grid", "expected_A"),
    [
        (Grid(1, 1.0), [[0], [0], [0]]),
        (Grid(2, 1.0), [[-0.5, 0.5]] * 3),
        (Grid(3, 1.0), [[-1, 0, 1]] * 3),
        (Grid(2, 0.5), [[-0.25, 0.25]] * 3),
        (Grid(2, 1.0, (1, 2, 3)), [[0.5, 1.5], [1.5, 2.5], [2.5, 3.5]]),
        (Grid(2, 0.5, (1, 2, 3)), [[0.75, 1.25], [1.75, 2.25], [2.75, 3.25]]),
    ],
)
def test_voxel_centers(grid, expected_A):
    np.testing.assert_array_equal(grid.axis_centers_A(), expected_A)
    indices = np.arange(grid.length_voxels)[:, np.newaxis].repeat(3, axis=1)
    np.testing.assert_array_equal(grid.voxel_centers_A(indices), np.transpose(expected_A))


@pytest.mark.parametrize(
    ("grid", "x_A", "index"),
    [
        (Grid(2, 1.0), -0.01, 0),
        (Grid(2, 1.0), 0.01, 1),
        (Grid(3, 1.0), -0.51, 0),
        (Grid(3, 1.0), -0.49, 1),
        (Grid(3, 1.0), 0.49, 1),
        (Grid(3, 1.0), 0.51, 2),
        (Grid(3, 0.5, (1, 1, 1)), 0.74, 0),
        (Grid(3, 0.5, (1, 1, 1)), 0.76, 1),
        (Grid(3, 0.5, (1, 1, 1)), 1.24, 1),
        (Grid(3, 0.5, (1, 1, 1)), 1.26, 2),
        (Grid(3, 1.0), -0.5, 0),  # ties go to the even index
        (Grid(3, 1.0), 0.5, 2),
        (Grid(3, 1.0), -200.0, -199),  # outside: as it is
        (Grid(3, 1.0), 3e9, 3_000_000_001),
        (Grid(3, 1.0), 1e300, 2**63 - 1024),  # beyond int64: saturated
        (Grid(3, 1.0), -1e300, -(2**63)),
    ],
)
def test_index_of_a_coordinate(grid, x_A, index):
    assert grid.indices_of([x_A, x_A, x_A]).tolist() == [index] * 3
    assert grid.indices_of([[x_A, x_A, x_A]]).shape == (1, 3)


def test_index_of_nan_is_an_error():
    with pytest.raises(VoxelError, match="NaN"):
        GRID.indices_of([0.0, float("nan"), 0.0])


@pytest.mark.parametrize(
    ("grid", "center_A", "radius_A", "first", "last"),
    [
        (Grid(3, 1.0), (0, 0, 0), 0.49, [1, 1, 1], [1, 1, 1]),
        (Grid(3, 1.0), (0, 0, 0), 0.51, [0, 0, 0], [2, 2, 2]),
        (Grid(3, 1.0), (0.49, 0, 0), 0.98, [1, 0, 0], [2, 2, 2]),
        (Grid(3, 1.0), (0.5, -0.5, 0.0), 1e-300, [1, 0, 1], [2, 1, 1]),  # on a face: both sides
        (Grid(3, 1.0), (1e300, -1e300, 0.0), 0.5, [2**63 - 1024, -(2**63), 0], [2**63 - 1024, -(2**63), 2]),
        (Grid(21, 0.75), (-4.89861, 8.102, -7.10428), 0.375, [3, 20, 0], [4, 21, 1]),
    ],
)
def test_voxels_contacting_a_sphere(grid, center_A, radius_A, first, last):
    found = grid.voxels_contacting_sphere(center_A, radius_A)
    assert [indices.tolist() for indices in found] == [first, last]


@pytest.mark.parametrize(
    ("center_A", "expected"),
    [
        ((-0.5, -0.5, -0.5), ((1, 2), (1, 2), (1, 2))),
        ((-0.5, -0.5, 0.0), ((1, 2), (1, 2), (1, 3))),
        ((-2.0, 2.0, 0.0), ((0, 1), (3, 4), (1, 3))),
        ((-9.0, 9.0, 0.0), ((0, 0), (4, 4), (1, 3))),
        ((-1e300, 1e300, 0.0), ((0, 0), (4, 4), (1, 3))),
    ],
)
def test_occupied_slices_are_cut_to_the_image(center_A, expected):
    slices = Grid(4, 1.0).occupied_slices(center_A, 0.49)
    assert tuple((part.start, part.stop) for part in slices) == expected


@pytest.mark.parametrize("length", [0, -1, 1.5, 21.0, "21", True, None])
def test_grid_rejects_a_length(length):
    with pytest.raises(VoxelError, match="length_voxels") as caught:
        Grid(length, 1.0)
    assert repr(length) in str(caught.value)


@pytest.mark.parametrize("resolution", [0, -0.75, float("nan"), float("inf"), "1", None])
def test_grid_rejects_a_resolution(resolution):
    with pytest.raises(VoxelError, match="resolution_A") as caught:
        Grid(21, resolution)
    assert repr(resolution) in str(caught.value)


@pytest.mark.parametrize("center", [(0, 0), (0, 0, float("nan")), (0, 0, float("inf")), 0.0, "abc"])
def test_grid_rejects_a_center(center):
    with pytest.raises(VoxelError, match="center_A"):
        Grid(21, 1.0, center)


def test_grid_takes_numpy_numbers_and_rejects_an_infinite_image():
    grid = Grid(np.int64(21), np.float32(0.75), np.zeros(3))
    assert grid == GRID
    assert hash(grid) == hash(GRID)
    assert grid.length_A == 15.75
    with pytest.raises(VoxelError, match="finite length"):
        Grid(10, 1e308)


def test_masks_of_distinct_shared_and_any_elements():
    image = ImageSpec(GRID, [["C"], ["n", "O"], ["o", "Se"], ["*"]])
    masks = image.channel_masks(atomic_numbers("C", "N", "O", "SE", "S", "SI"))
    assert masks.dtype == np.uint32
    # SI and S are no substring matches of anything.
    assert masks.tolist() == [0b0001, 0b0010, 0b0110, 0b0100, 0b1000, 0b1000]


def test_unmatched_elements_raise_or_are_dropped():
    elements = atomic_numbers("C", "SI", "ZN", "SI")
    with pytest.raises(VoxelError, match=r"\['Si', 'Zn'\].*\[\['C'\], \['S', 'SE'\]\].*drop_unmatched"):
        ImageSpec(GRID, [["C"], ["S", "SE"]]).channel_masks(elements)
    dropping = ImageSpec(GRID, [["C"], ["S", "SE"]], drop_unmatched=True)
    assert dropping.channel_masks(elements).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("channels", "match"),
    [
        ("C", "list of lists"),
        (["C", "N"], "each channel"),
        ([], "1 to 32 groups, not 0"),
        ([["C"]] * 33, "1 to 32 groups, not 33"),
        ([[]], "empty"),
        ([["Qq"]], "'Qq'"),
        ([["S*"]], r"'S\*'"),
        ([[6]], "6"),
        (None, "None"),
        ([None], "None"),
    ],
)
def test_channels_are_checked(channels, match):
    with pytest.raises(VoxelError, match=match):
        ImageSpec(GRID, channels)


def test_radius_rules():
    elements = atomic_numbers("C", "S", "ZN")
    assert ImageSpec(GRID, CHANNELS).radii_A(elements).tolist() == [0.375] * 3
    assert ImageSpec(GRID, CHANNELS, radius_A=1).radii_A(elements).tolist() == [1.0] * 3
    by_element = ImageSpec(GRID, CHANNELS, radius_A={"c": 1.7, "S": 1.8, "*": 1.4})
    assert by_element.radii_A(elements).tolist() == [1.7, 1.8, 1.4]
    assert by_element.max_radius_A == 1.8


def test_an_element_without_radius_is_an_error_only_if_drawn():
    rule = {"C": 1.7, "ZN": 9.0}
    with pytest.raises(VoxelError, match=r"\['N'\]"):
        ImageSpec(GRID, [["C", "N"]], rule).radii_A(atomic_numbers("C", "N"))
    image = ImageSpec(GRID, [["C"]], rule, drop_unmatched=True)
    assert np.isfinite(image.radii_A(atomic_numbers("C", "N"))).all()
    assert image.max_radius_A == 1.7  # zinc is never drawn


@pytest.mark.parametrize("radius", [0, -1, float("nan"), float("inf"), "1", {"C": 0}, {"QQ": 1.0}, {"C": "x"}])
def test_radius_is_checked(radius):
    with pytest.raises(VoxelError, match="radius_A"):
        ImageSpec(GRID, CHANNELS, radius)


@pytest.mark.parametrize("rules", [{"fill": "volume"}, {"aggregate": "mean"}, {"grid": 21}])
def test_other_arguments_are_checked(rules):
    arguments = {"grid": GRID, "channels": CHANNELS} | rules
    with pytest.raises(VoxelError, match=next(iter(rules))):
        ImageSpec(**arguments)


@pytest.mark.parametrize("radius", [None, 1.5, {"C": 1.7, "*": 1.5}])
def test_an_image_is_hashable_picklable_and_replaceable(radius):
    image = ImageSpec(GRID, CHANNELS, radius, fill="overlap_A3", aggregate="max", drop_unmatched=True)
    copy = pickle.loads(pickle.dumps(image))
    assert copy == image
    assert hash(copy) == hash(image)
    assert copy.channel_masks(atomic_numbers("C", "ZN")).tolist() == [1, 32]
    assert dataclasses.replace(image, grid=Grid(3, 1.0)).shape == (6, 3, 3, 3)
    assert (image.n_channels, image.shape) == (6, (6, 21, 21, 21))

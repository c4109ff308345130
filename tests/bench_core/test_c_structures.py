"""What C is given of a structure: the arrays that were checked, of numbers, and sizes at the ends of their ranges."""

import types

import numpy as np
import pytest

from bench_core.atoms import Atoms
from bench_core.errors import VoxelError
from bench_core.grid import Grid, ImageSpec
from bench_core.origins.neighbours import crowded_places
from bench_core.voxels import voxelize_atoms, voxelize_view, voxelize_views

pytestmark = pytest.mark.usefixtures("variant")

IMAGE = ImageSpec(Grid(3, 1.0), [["C"]])


def carbons(n=4, **change):
    columns = {
        "coords_A": np.zeros((n, 3), np.float32),
        "elements": np.full(n, 6, np.uint8),
        "occupancies": np.ones(n, np.float32),
    }
    return types.SimpleNamespace(**(columns | change))


class Changing:
    """A structure that is another one each time it is asked, as a trajectory that is being read may be."""

    elements = np.full(4, 6, np.uint8)
    occupancies = np.ones(4, np.float32)

    def __init__(self):
        self.asked = 0

    @property
    def coords_A(self):
        self.asked += 1
        return np.zeros((4 if self.asked == 1 else 1, 3), np.float32)


def test_arrays_are_asked_for_once():
    changing = Changing()
    assert voxelize_view(changing, IMAGE).sum() == 4
    assert changing.asked == 1


@pytest.mark.parametrize("column", ["coords_A", "occupancies"])
@pytest.mark.parametrize("kind", ["c16", "m8[s]", "U3", "O"])
def test_columns_that_hold_no_real_numbers_are_errors(column, kind):
    atoms = carbons()
    setattr(atoms, column, np.zeros_like(getattr(atoms, column)).astype(kind))
    with pytest.raises(VoxelError, match=f"{column} must hold real numbers"):
        voxelize_view(atoms, IMAGE)


def test_a_batch_says_which_view_is_bad():
    bad = carbons(occupancies=np.array([1, 1, np.nan, 1], np.float32))
    with pytest.raises(VoxelError, match=r"^view 5, atom 2: occupancy"):
        voxelize_views([(carbons(), None)] * 5 + [(bad, None)], IMAGE)
    with pytest.raises(VoxelError, match=r"^atom 2: occupancy"):
        voxelize_views([(bad, None)], IMAGE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("h", [1e-160, 1e-40, 1e-25, 1e-10, 1e10, 1e20, 1e30, 1e160, 1e200])
@pytest.mark.parametrize("n", [1, 40])
def test_views_of_any_size(h, dtype, n):
    """The squares of distances leave the range of float32, then that of float64."""
    image = ImageSpec(Grid(3, h), [["C"]])
    assert voxelize_view(carbons(n, coords_A=np.zeros((n, 3), dtype)), image).sum() == pytest.approx(n, rel=1e-6)


def test_no_value_is_nan_where_a_volume_overflows():
    h = 1e100
    image = voxelize_atoms(
        [[1e-9 * h, 0.1 * h, 0.2 * h]], [h / 2], [1], Grid(3, h), 1, occupancies=[1e12], fill="overlap_A3", dtype="f8"
    )
    assert not np.isnan(image).any()


@pytest.mark.parametrize("places_A", [np.zeros(3), np.zeros((2, 2)), np.zeros((1, 3, 1)), np.zeros((3, 0))])
def test_places_are_points(places_A):
    atoms = Atoms(np.zeros((4, 3), np.float32), np.full(4, 6, np.uint8))
    with pytest.raises(VoxelError, match="places_A must be of shape"):
        crowded_places(atoms, places_A)


@pytest.mark.parametrize("n", [1, 15, 16, 17])
@pytest.mark.parametrize("radius_A", [0.0, 1e-30, 1e-200, 1e25, 1e200])
def test_a_radius_includes_its_end_whatever_its_size(n, radius_A):
    atoms = Atoms(np.zeros((n, 3), np.float32), np.full(n, 6, np.uint8))
    assert crowded_places(atoms, np.zeros((1, 3)), radius_A, n).tolist() == [True]
    assert crowded_places(atoms, np.zeros((1, 3)), radius_A, n + 1).tolist() == [False]

"""Frames and structures that a view takes, and those that it refuses before anything is written."""

import math
import types

import numpy as np
import pytest

from bench_core.errors import VoxelError
from bench_core.grid import Grid, ImageSpec
from bench_core.reference.views import cull_atoms
from bench_core.voxels import voxelize_view, voxelize_views

pytestmark = pytest.mark.usefixtures("variant")

IMAGE = ImageSpec(Grid(3, 1.0), [["C"], ["N"]])


def structure(**change):
    columns = {
        "coords_A": np.zeros((4, 3), np.float32),
        "elements": np.full(4, 6, np.uint8),
        "occupancies": np.ones(4, np.float32),
    }
    return types.SimpleNamespace(**(columns | change))


def rotation_frame(**change):
    frame = np.array([[0, -1, 0, 0.1], [1, 0, 0, 0.2], [0, 0, 1, 0.3], [0, 0, 0, 1.0]])
    for row_column, value in change.items():
        frame[int(row_column[1]), int(row_column[2])] = value
    return frame


@pytest.mark.parametrize(
    "frame",
    [
        np.eye(3),
        np.zeros((4, 4)),
        np.eye(4) * 2,
        np.diag([1.0, 1.0, -1.0, 1.0]),
        np.eye(4)[np.newaxis],
        rotation_frame(_00=1e-3),
        rotation_frame(_03=math.nan),
        rotation_frame(_13=math.inf),
        rotation_frame(_11=math.nan),
        rotation_frame(_30=1.0),
        rotation_frame(_33=2.0),
        [["a"] * 4] * 4,
    ],
)
def test_frames_that_are_not_rigid_are_errors(frame):
    with pytest.raises(VoxelError, match="frame"):
        voxelize_view(structure(), IMAGE, frame)


def test_frames_of_lists_and_float32_are_taken():
    expected = voxelize_view(structure(), IMAGE, rotation_frame())
    np.testing.assert_array_equal(voxelize_view(structure(), IMAGE, rotation_frame().tolist()), expected)
    np.testing.assert_allclose(voxelize_view(structure(), IMAGE, rotation_frame().astype("f4")), expected, atol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("frame", [None, rotation_frame()])
def test_coordinates_of_a_view_must_be_finite(value, frame):
    coords_A = np.zeros((4, 3), np.float32)
    coords_A[2, 1] = value
    with pytest.raises(VoxelError, match="atom 2: coordinates"):
        voxelize_view(structure(coords_A=coords_A), IMAGE, frame)


def test_errors_in_views_name_the_atom_of_the_structure():
    coords_A = np.array([[50, 0, 0], [0, 0, 0], [0, 0, 0], [1e30, 0, 0]], np.float32)
    occupancies = np.array([math.nan, 1, math.nan, 1], np.float32)  # atom 0 is culled before it is looked at
    out = np.full((2, *IMAGE.shape), 7, np.float32)
    damaged = structure(coords_A=coords_A, occupancies=occupancies)
    assert cull_atoms(damaged, IMAGE, None).tolist() == [1, 2]
    with pytest.raises(VoxelError, match="atom 2: occupancy"):
        voxelize_view(damaged, IMAGE, out=out[0])
    # The second view of the batch is bad: the first is not drawn either.
    with pytest.raises(VoxelError, match="atom 2: occupancy"):
        voxelize_views([(structure(), None), (damaged, None)], IMAGE, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    "change",
    [
        {"coords_A": np.zeros((3, 3))},
        {"coords_A": np.zeros(12)},
        {"elements": np.full((4, 1), 6, np.uint8)},
        {"occupancies": np.ones(5, np.float32)},
        {"elements": np.full(4, 6)},
    ],
)
def test_structures_whose_arrays_do_not_fit_are_errors(change):
    with pytest.raises(VoxelError, match=r"atoms must have|elements must be"):
        voxelize_view(structure(**change), IMAGE)


def test_elements_are_looked_up_for_the_atoms_near_the_view():
    elements = np.array([6, 7, 6, 8], np.uint8)
    near = structure(elements=elements)
    with pytest.raises(VoxelError, match=r"\['O'\]"):
        voxelize_view(near, IMAGE)
    coords_A = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [99, 0, 0]])
    assert voxelize_view(structure(elements=elements, coords_A=coords_A), IMAGE)[:, 1, 1, 1].tolist() == [2, 1]
    dropping = ImageSpec(IMAGE.grid, IMAGE.channels, drop_unmatched=True)
    assert voxelize_view(near, dropping)[:, 1, 1, 1].tolist() == [2, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far_A", [0.0, 7000.0])
def test_atoms_at_the_edge_of_the_culling_sphere_stay(dtype, far_A):
    # Atoms that just reach into the corners of the image, seen through a frame of float32 precision.
    image = ImageSpec(Grid(8, 1.0, (far_A, -far_A, far_A)), [["C"]], 1.0, fill="fraction_voxel")
    frame = rotation_frame(_03=far_A, _13=far_A)
    angles = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]], dtype=np.float32)
    frame[:3, :3] = (frame[:3, :3] @ angles).astype(np.float32)
    corners = np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(-1, 3)
    in_view_A = corners * (4 + 0.98 / 3**0.5) + image.grid.center_A
    coords_A = np.linalg.solve(frame[:3, :3], (in_view_A - frame[:3, 3]).T).T.astype(dtype)
    atoms = structure(coords_A=coords_A, elements=np.full(8, 6, np.uint8), occupancies=np.ones(8, np.float32))
    assert len(cull_atoms(atoms, image, frame)) == 8
    assert (voxelize_view(atoms, image, frame)[0][::7, ::7, ::7] > 0).all()

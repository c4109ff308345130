"""No atom that reaches into an image is culled: a view equals the image of all atoms, moved by hand, bit for bit.

An atom is looked for in the frame of the structure, in the precision of its coordinates, around a centre that the
transpose of the rotation gives: three roundings, each of a share of how far away the image is. So the atoms here
overlap the image by little, far away from the origin, and frames are no better than those computed in float32.
"""

import itertools

import numpy as np
import pytest

from bench_core import Atoms, Grid, ImageSpec
from bench_core.frames import random_rotation
from bench_core.voxels import voxelize_atoms, voxelize_view

pytestmark = pytest.mark.usefixtures("variant")

LENGTH, H_A = 4, 0.75
HALF_A = LENGTH * H_A / 2
RADII_A = (H_A / 2, 1.7)  # of the two ways in which spheres are drawn
DEPTHS_A = (1e-4, 1e-3, 1e-2)
PLACES = {"faces": 1, "edges": 2, "corners": 3}  # planes of the box that meet there


def atoms_around(place, radius_A, rng, n_each=24):
    """Centres of spheres that reach just a little beyond the faces, edges or corners of the box, (n, 3), Å."""
    places = [side for side in itertools.product((-1, 0, 1), repeat=3) if np.count_nonzero(side) == PLACES[place]]
    sides = np.repeat(np.array(places, dtype=np.float64), n_each, axis=0)
    along_A = rng.uniform(-0.9, 0.9, sides.shape) * HALF_A
    away = rng.uniform(0.2, 1, sides.shape) * sides
    away[::2] = sides[::2]  # half of them straight out: the farthest from the centre that any atom in reach can be
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    depths_A = rng.choice(DEPTHS_A, (len(sides), 1))
    return np.where(sides == 0, along_A, sides * HALF_A) + (radius_A - depths_A) * away


def frame_far_away(offset_A, scale, rng):
    """Looks at a place so far away in the structure: a frame computed in float32, or scaled as if by its rounding."""
    frame = np.eye(4)
    frame[:3, :3] = random_rotation(rng) * scale
    frame[:3, 3] = -frame[:3, :3] @ (offset_A * rng.choice([-1.0, 1.0], 3) * rng.uniform(0.5, 1, 3))
    return frame.astype(np.float32).astype(np.float64) if scale == 1 else frame


def moved_by_hand(coords_A, frame):
    """R x + t in float64, added up from left to right as C does: a product of matrices may round otherwise."""
    x, y, z = coords_A.astype(np.float64).T
    return np.stack([row[0] * x + row[1] * y + row[2] * z + row[3] for row in frame[:3]], axis=1)


def draw_by_hand(coords_A, image, radius_A, dtype):
    n, rules = len(coords_A), {"fill": image.fill, "dtype": dtype}
    return voxelize_atoms(coords_A, np.full(n, radius_A), np.ones(n, np.uint32), image.grid, 1, **rules)


def assert_no_atom_is_lost(coords_A, moved_A, image, frame, radius_A):
    """In float64 too: there no share, however small, is rounded away beside a larger one."""
    for dtype in (np.float32, np.float64):
        expected = draw_by_hand(moved_A, image, radius_A, dtype)
        assert expected.any()
        atoms = Atoms(coords_A, np.full(len(coords_A), 6, np.uint8))
        np.testing.assert_array_equal(voxelize_view(atoms, image, frame, dtype=dtype), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 1 - 3e-7, 1 + 3e-7])
@pytest.mark.parametrize("offset_A", [1e4, 1e5, 1e6])
@pytest.mark.parametrize("radius_A", RADII_A)
@pytest.mark.parametrize("place", PLACES)
def test_atoms_that_just_reach_an_image_far_away_are_drawn(place, radius_A, offset_A, scale, dtype):
    rng = np.random.default_rng((PLACES[place], int(offset_A)))
    image = ImageSpec(Grid(LENGTH, H_A, (1.0, -2.0, 0.5)), [["C"]], radius_A, "fraction_voxel")
    for _ in range(4):
        frame = frame_far_away(offset_A, scale, rng)
        around_A = atoms_around(place, radius_A, rng) + image.grid.center_A
        coords_A = np.linalg.solve(frame[:3, :3], (around_A - frame[:3, 3]).T).T.astype(dtype)
        assert_no_atom_is_lost(coords_A, moved_by_hand(coords_A, frame), image, frame, radius_A)


@pytest.mark.parametrize("offset_A", [1e4, 1e5, 1e6])
@pytest.mark.parametrize("radius_A", RADII_A)
@pytest.mark.parametrize("place", PLACES)
def test_atoms_that_just_reach_an_image_whose_centre_is_no_float32_are_drawn(place, radius_A, offset_A):
    rng = np.random.default_rng((PLACES[place], int(offset_A)))
    for _ in range(4):
        # Float32 coordinates cannot lie at a given depth there; where the image lies, can be chosen in float64.
        around_A = atoms_around(place, radius_A, rng)
        coords_A = (around_A + offset_A).astype(np.float32)
        for atom in range(0, len(around_A), 16):
            centre_A = coords_A[atom].astype(np.float64) - around_A[atom]
            image = ImageSpec(Grid(LENGTH, H_A, centre_A.tolist()), [["C"]], radius_A, "fraction_voxel")
            assert_no_atom_is_lost(coords_A, coords_A.astype(np.float64), image, None, radius_A)

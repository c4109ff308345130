"""Laws that every image obeys, over generated atoms; Hypothesis runs the same examples each time."""

import itertools
import threading
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.grid import AGGREGATES, FILLS, Grid, ImageSpec
from bench_core.reference.views import cull_atoms, view_spheres
from bench_core.reference.voxels import voxelize_atoms_filtered, voxelize_atoms_naive
from bench_core.voxels import voxelize_atoms, voxelize_view, voxelize_views

pytestmark = pytest.mark.usefixtures("variant")

laws = settings(derandomize=True, deadline=None, max_examples=200, database=None)

# Multiples of r / h at which the geometry changes: touching faces, edges, corners; holding whole voxels.
RADII = [0.01, 0.3, 0.5, 0.5**0.5, 0.75**0.5, 0.9, 1.0, 1.5, 2.27]


@st.composite
def scenes(draw, max_atoms=5, inside=False, radii=None):
    """Grid and atoms (coords_A, radii_A, masks); positions at random, on planes and next to planes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    length, h = draw(st.integers(1, 7)), draw(st.sampled_from([0.3, 0.75, 1.0, 2.0]))
    n = draw(st.integers(1, max_atoms))
    ratios = draw(st.lists(st.sampled_from(radii or RADII), min_size=n, max_size=n))
    ratios = np.array(ratios)
    if inside:
        length += 6
    half = length / 2 - ratios[:, np.newaxis] if inside else length / 2 + ratios[:, np.newaxis]
    positions = rng.uniform(-half, half, (n, 3))
    kind = draw(st.sampled_from(["anywhere", "on planes", "next to planes"]))
    if kind != "anywhere":
        # Half a voxel of margin: rounding must not move an inside sphere out.
        positions = np.clip(np.round(positions * 2) / 2, -half, half)
    if kind == "next to planes":
        positions *= 1 + rng.integers(-1, 2, (n, 3)) * 2.0**-52
    grid = Grid(length, h, tuple(draw(st.sampled_from([(0.0, 0.0, 0.0), (1.5, -20.25, 7.125)]))))
    return grid, positions * h + grid.center_A, ratios * h, rng.integers(0, 8, n).astype(np.uint32)


def draw_f64(grid, coords_A, radii_A, masks, **rules):
    return voxelize_atoms(coords_A, radii_A, masks, grid, 3, dtype=np.float64, **rules)


@laws
@given(scenes(inside=True))
def test_each_atom_inside_adds_up_to_its_occupancy(scene):
    grid, coords_A, radii_A, masks = scene
    occupancies = np.linspace(0.25, 1.5, len(radii_A))
    image = draw_f64(grid, coords_A, radii_A, masks, occupancies=occupancies)
    expected = [occupancies[masks >> channel & 1 == 1].sum() for channel in range(3)]
    np.testing.assert_allclose(image.sum(axis=(1, 2, 3)), expected, rtol=0, atol=1e-12)
    assert (image >= 0).all()


@laws
@given(scenes())
def test_no_atom_adds_more_than_its_occupancy(scene):
    grid, coords_A, radii_A, masks = scene
    image = draw_f64(grid, coords_A, radii_A, masks)
    assert (image >= 0).all()
    assert (image.sum(axis=(1, 2, 3)) <= [(masks >> channel & 1).sum() + 1e-12 for channel in range(3)]).all()


@laws
@given(scenes(max_atoms=2), st.sampled_from(FILLS), st.sampled_from(AGGREGATES), st.sampled_from(["f4", "f8"]))
def test_c_equals_the_reference(scene, fill, aggregate, dtype):
    grid, coords_A, radii_A, masks = scene
    rules = {"fill": fill, "aggregate": aggregate, "dtype": dtype}
    image, naive, filtered = (
        voxelize(coords_A, radii_A, masks, grid, 3, occupancies=np.linspace(0.5, 1, len(radii_A)), **rules)
        for voxelize in (voxelize_atoms, voxelize_atoms_naive, voxelize_atoms_filtered)
    )
    # The filter leaves out a sphere that touches but for rounding: 1e-32 of it.
    np.testing.assert_allclose(filtered, naive, rtol=0, atol=1e-25)
    sphere_A3 = 4 / 3 * np.pi * radii_A.max() ** 3
    unit = {"fraction_atom": 1.0, "overlap_A3": sphere_A3, "fraction_voxel": sphere_A3 / grid.resolution_A**3}[fill]
    tolerance = 1e-12 * unit if dtype == "f8" else 2.0**-22 * max(1.0, float(naive.max()))
    np.testing.assert_allclose(image, naive, rtol=0, atol=tolerance)


@laws
@given(scenes(max_atoms=8))
def test_images_add_and_order_does_not_matter(scene):
    grid, coords_A, radii_A, masks = scene
    whole = draw_f64(grid, coords_A, radii_A, masks)
    parts = sum(draw_f64(grid, coords_A[i : i + 1], radii_A[i : i + 1], masks[i : i + 1]) for i in range(len(masks)))
    np.testing.assert_allclose(whole, parts, rtol=0, atol=1e-14)
    backwards = draw_f64(grid, coords_A[::-1], radii_A[::-1], masks[::-1])
    np.testing.assert_allclose(whole, backwards, rtol=0, atol=1e-14)


def added_one_by_one(radii_A, occupancies, grid, **rules):
    """Concentric atoms, each drawn alone in float64, then added in their order: one rounding to float32 for each."""
    total = np.zeros((1, *(grid.length_voxels,) * 3), np.float32)
    for radius_A, occupancy in zip(radii_A, occupancies, strict=True):
        alone = voxelize_atoms([(0.1, 0, 0)], [radius_A], [1], grid, 1, occupancies=[occupancy], dtype="f8", **rules)
        total = (total.astype(np.float64) + alone).astype(np.float32)
    return total


def concentric(radii_A, occupancies, grid, **rules):
    n = len(radii_A)
    given = np.tile((0.1, 0, 0), (n, 1)), radii_A, np.ones(n, np.uint32), grid, 1
    return voxelize_atoms(*given, occupancies=occupancies, **rules)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_small_and_large_atoms_are_added_to_float32_images_in_their_order(precision):
    # Small spheres wait until there are enough of them for a vector; a large one between them must not overtake any.
    atoms, grid, images = [(0.4, 1e8), (0.3, -1e8), (0.9, 1.0), (0.5, 3.0), (1.3, -7e7)], Grid(3, 1.0), set()
    for order in itertools.permutations(atoms):
        image = concentric(*zip(*order, strict=True), grid, precision=precision)
        expected = added_one_by_one(*zip(*order, strict=True), grid, precision=precision)
        np.testing.assert_array_equal(image, expected)
        images.add(image.tobytes())
    assert len(images) > 1  # else the order would not matter


@pytest.mark.parametrize("share_of_large", [0.02, 0.5, 0.98])
def test_many_atoms_are_added_to_float32_images_in_their_order(share_of_large):
    rng = np.random.default_rng(7)
    radii_A = np.where(rng.random(300) < share_of_large, rng.uniform(0.51, 2, 300), rng.uniform(0.1, 0.5, 300))
    occupancies = rng.choice([-1.0, 1.0], 300) * 10.0 ** rng.uniform(0, 8, 300)
    grid = Grid(3, 1.0)
    image = concentric(radii_A, occupancies, grid)
    np.testing.assert_array_equal(image, added_one_by_one(radii_A, occupancies, grid))
    assert (image != concentric(radii_A[::-1], occupancies[::-1], grid)).any()


@laws
@given(scenes(max_atoms=8), st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_mirrors_and_axis_permutations_carry_over(scene, order, signs):
    grid, coords_A, radii_A, masks = scene
    grid = Grid(grid.length_voxels, grid.resolution_A)
    offsets_A = coords_A - coords_A.mean(axis=0)
    turned = draw_f64(grid, offsets_A[:, order] * signs, radii_A, masks)
    expected = draw_f64(grid, offsets_A, radii_A, masks).transpose(0, *(1 + axis for axis in order))
    mirrored = [1 + axis for axis in range(3) if signs[axis] < 0]
    np.testing.assert_allclose(turned, np.flip(expected, mirrored), rtol=0, atol=1e-12)


@laws
@given(scenes(), st.tuples(*[st.integers(-2, 2)] * 3))
def test_whole_voxel_moves_shift_the_image(scene, move):
    grid, coords_A, radii_A, masks = scene
    wide = Grid(grid.length_voxels + 4, grid.resolution_A, grid.center_A)
    image = draw_f64(wide, coords_A, radii_A, masks)
    moved = draw_f64(wide, coords_A + np.array(move) * grid.resolution_A, radii_A, masks)
    inner = slice(2, -2)
    shifted = tuple(slice(2 + step, 2 + step + grid.length_voxels) for step in move)
    np.testing.assert_allclose(moved[(slice(None), *shifted)], image[:, inner, inner, inner], rtol=0, atol=2e-12)


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.5**0.5, 0.75**0.5, 1.0, 1.5, 2.5])
def test_values_are_continuous_in_the_position(ratio):
    grid, base = Grid(7, 1.0), np.array([[0.5, 0.0, -0.5]])
    there = draw_f64(grid, base, [ratio], [1])
    for step in (-1e-9, -(2.0**-53), 2.0**-53, 1e-9):
        np.testing.assert_allclose(draw_f64(grid, base + step, [ratio], [1]), there, rtol=0, atol=1e-14 + 9 * abs(step))


def random_atoms(rng, n, spread_A=15.0, dtype=np.float32):
    return types.SimpleNamespace(
        coords_A=rng.uniform(-spread_A, spread_A, (n, 3)).astype(dtype),
        elements=rng.choice(np.array([6, 7, 8, 16, 15, 30], dtype=np.uint8), n),
        occupancies=rng.uniform(0.2, 1, n).astype(np.float32),
    )


def random_frame(rng):
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    frame = np.eye(4)
    frame[:3, :3] = rotation * np.linalg.det(rotation)
    frame[:3, 3] = rng.uniform(-5, 5, 3)
    return frame


CHANNELS = [["C"], ["N"], ["O"], ["S", "SE"], ["P"], ["*"]]
IMAGES = [
    ImageSpec(Grid(9, 0.75), CHANNELS),
    ImageSpec(Grid(8, 1.0, (1.0, -2.0, 3.0)), CHANNELS, 1.7, fill="fraction_voxel", aggregate="max"),
    ImageSpec(Grid(5, 1.0), [["C", "*"], ["N", "C"]], {"C": 0.3, "*": 2.0}, fill="overlap_A3"),
]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_view_is_the_image_of_all_transformed_atoms(image, dtype):
    rng = np.random.default_rng(0)
    for frame in (None, *(random_frame(rng) for _ in range(10))):
        atoms = random_atoms(rng, 500, dtype=dtype)
        rigid = np.eye(4) if frame is None else frame
        coords_A = atoms.coords_A.astype(np.float64) @ rigid[:3, :3].T + rigid[:3, 3]
        expected = voxelize_atoms(
            *(coords_A, image.radii_A(atoms.elements), image.channel_masks(atoms.elements), image.grid),
            image.n_channels,
            occupancies=atoms.occupancies,
            fill=image.fill,
            aggregate=image.aggregate,
            dtype=np.float64,
        )
        assert len(cull_atoms(atoms, image, frame)) < 400
        view = voxelize_view(atoms, image, frame, dtype=np.float64)
        np.testing.assert_allclose(view, expected, rtol=0, atol=1e-12 * max(1, expected.max()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_is_its_views_bit_for_bit(dtype):
    rng, image = np.random.default_rng(1), IMAGES[0]
    pairs = [(random_atoms(rng, 300), random_frame(rng)) for _ in range(5)] + [(random_atoms(rng, 0), None)]
    batch = voxelize_views(pairs, image, dtype=dtype)
    assert batch.shape == (6, *image.shape)
    for (atoms, frame), view in zip(pairs, batch, strict=True):
        np.testing.assert_array_equal(voxelize_view(atoms, image, frame, dtype=dtype), view)
    out = np.full((6, *image.shape), np.nan, dtype)
    assert voxelize_views(pairs, image, dtype=dtype, out=out) is out
    np.testing.assert_array_equal(out, batch)
    assert voxelize_views([], image).shape == (0, *image.shape)


@pytest.mark.parametrize("image", IMAGES)
def test_threads_equal_serial_bit_for_bit(image):
    rng = np.random.default_rng(2)
    spheres = [view_spheres(random_atoms(rng, 2000), image, random_frame(rng)) for _ in range(16)]
    arguments = [(s.coords_A, s.radii_A, s.channel_masks, s.grid, s.n_channels) for s in spheres]
    serial = np.stack([voxelize_atoms(*given) for given in arguments])
    threaded = np.empty_like(serial)

    def work(start):
        for i in range(start, 16, 2):
            voxelize_atoms(*arguments[i], out=threaded[i])

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(threaded, serial)

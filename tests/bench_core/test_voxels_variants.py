"""All kernels give the same images, to a few units in the last place; FMA is what they differ in.

Each atom may be off by 4 * 2^-52 of an atom in each voxel that it touches, and a float32 image by one of its own units
more. Kernels that have FMA give the same bits: the width of a vector decides nothing.
"""

import dataclasses
import itertools

import numpy as np
import pytest

from bench_core import Atoms, Grid, ImageSpec, read_embedded
from bench_core.frames import random_rotation, view_frame
from bench_core.grid import FILLS
from bench_core.origins.neighbours import origins_among
from bench_core.reference.views import view_spheres
from bench_core.simd import simd_variant, simd_variants, use_simd_variant
from bench_core.voxels import voxelize_atoms, voxelize_view

OTHERS = simd_variants()[1:]
WITH_FMA = [name for name in simd_variants() if name in ("avx2", "avx512")]
CHANNELS = [["C"], ["N"], ["O"], ["S", "SE"], ["P"], ["*"]]
ULPS = 4 * 2.0**-52

pytestmark = pytest.mark.skipif(not OTHERS, reason="one kernel: there is nothing to compare it with")


@dataclasses.dataclass
class Scene:
    """Arguments of voxelize_atoms."""

    grid: Grid
    coords_A: np.ndarray
    radii_A: np.ndarray
    masks: np.ndarray
    occupancies: np.ndarray
    n_channels: int

    def draw(self, **rules):
        given = self.coords_A, self.radii_A, self.masks, self.grid, self.n_channels
        return voxelize_atoms(*given, occupancies=self.occupancies, **rules)

    def allowance(self, fill="fraction_atom"):
        """How far two kernels may be apart in each voxel: what is allowed per atom, summed over those that touch it."""
        allowed = np.zeros((self.n_channels, *(self.grid.length_voxels,) * 3))
        spheres_A3 = 4 / 3 * np.pi * self.radii_A**3
        units = {"fraction_atom": np.ones_like(spheres_A3), "overlap_A3": spheres_A3}
        units["fraction_voxel"] = spheres_A3 / self.grid.resolution_A**3
        # An occupancy below 1 makes the error smaller; above it, larger.
        for atom, unit in enumerate(units[fill] * np.maximum(1.0, np.abs(self.occupancies))):
            slices = self.grid.occupied_slices(self.coords_A[atom], self.radii_A[atom])
            drawn = [channel for channel in range(self.n_channels) if int(self.masks[atom]) >> channel & 1]
            for channel in drawn:
                allowed[(channel, *slices)] += ULPS * unit
        return allowed


def images_by_variant(draw):
    """The image that each kernel draws; the one in use stays."""
    before = simd_variant()
    try:
        images = {}
        for name in simd_variants():
            use_simd_variant(name)
            images[name] = draw()
        return images
    finally:
        use_simd_variant(before)


def assert_the_same(images, allowed):
    reference = images["baseline"].astype(np.float64)
    assert reference.any()
    if images["baseline"].dtype == np.float32:
        allowed = allowed + np.spacing(np.abs(images["baseline"])).astype(np.float64)
    for name in OTHERS:
        apart = np.abs(images[name].astype(np.float64) - reference)
        assert (apart <= allowed).all(), f"{name}: {(apart - allowed).max()} too much"
    assert_the_same_bits_with_fma(images)


def assert_the_same_bits_with_fma(images):
    for one, other in itertools.pairwise(WITH_FMA):
        np.testing.assert_array_equal(images[one], images[other], err_msg=f"{one} and {other}")


def random_scene(seed, length, radii, h=0.75, n_atoms=60):
    """Atoms in and around an image; radii in voxels; every seventh on a plane, an edge or a corner."""
    rng = np.random.default_rng((seed, length))
    ratios = rng.choice(radii, n_atoms)
    reach = length / 2 + ratios[:, np.newaxis]
    positions = rng.uniform(-reach, reach, (n_atoms, 3))
    positions[::7] = np.round(2 * positions[::7]) / 2
    grid = Grid(length, h, (1.5, -20.25, 7.125))
    masks = rng.integers(0, 16, n_atoms).astype(np.uint32)
    return Scene(grid, positions * h + grid.center_A, ratios * h, masks, rng.uniform(-0.5, 1.5, n_atoms), 4)


MIXTURES = {
    "small": [0.01, 0.3, 0.5],
    "of half a voxel": [0.5],
    "larger": [0.51, 0.9, 1.0, 1.7, 2.5],
    "mixed": [0.2, 0.5, 0.5**0.5, 1.0, 4.0],
    "huge": [30.0, 100.0],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 2, 3, 9, 17])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_random_scenes(mixture, length, dtype):
    for seed, h in itertools.product(range(3), (0.75, 1.0)):
        scene = random_scene(seed, length, MIXTURES[mixture], h)
        assert_the_same(images_by_variant(lambda scene=scene: scene.draw(dtype=dtype)), scene.allowance())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("aggregate", ["sum", "max"])
@pytest.mark.parametrize("fill", FILLS)
def test_every_fill_and_aggregate(fill, aggregate, dtype):
    for length in (2, 8):
        scene = random_scene(5, length, MIXTURES["mixed"], n_atoms=100)
        scene.occupancies = np.abs(scene.occupancies)
        rules = {"fill": fill, "aggregate": aggregate, "dtype": dtype}
        assert_the_same(images_by_variant(lambda scene=scene, rules=rules: scene.draw(**rules)), scene.allowance(fill))


@pytest.mark.parametrize("n_atoms", [1, 2, 7, 31, 32, 33, 64, 65])
def test_groups_that_do_not_fill_a_vector(n_atoms):
    scene = random_scene(n_atoms, 9, [0.5, 0.4], n_atoms=n_atoms)
    scene.masks[:] = 15
    scene.coords_A[0] = scene.grid.center_A
    assert_the_same(images_by_variant(lambda: scene.draw(dtype=np.float64)), scene.allowance())


@pytest.mark.parametrize("n_channels", [1, 5, 32])
@pytest.mark.parametrize("ratio", [0.5, 1.3])
def test_masks_of_any_number_of_channels(n_channels, ratio):
    scene = random_scene(8, 6, [ratio])
    scene.n_channels = n_channels
    scene.masks = np.random.default_rng(n_channels).integers(0, 2**n_channels, len(scene.masks), dtype=np.uint32)
    assert_the_same(images_by_variant(lambda: scene.draw(dtype=np.float64)), scene.allowance())


@pytest.mark.parametrize("radius_A", [None, 0.75, 1.7, {"C": 0.3, "*": 1.1}])
@pytest.mark.parametrize(("length", "h"), [(21, 0.75), (24, 1.0), (3, 2.0)])
@pytest.mark.parametrize("name", ["1pfe", "4cup"])
def test_views_of_real_structures(name, length, h, radius_A):
    atoms = read_embedded(name)
    rng = np.random.default_rng((length, len(atoms)))
    image = ImageSpec(Grid(length, h), CHANNELS, radius_A)
    frame = view_frame(random_rotation(rng), rng.choice(origins_among(atoms)))
    spheres = view_spheres(atoms, image, frame)
    scene = Scene(
        image.grid, spheres.coords_A, spheres.radii_A, spheres.channel_masks, spheres.occupancies, image.n_channels
    )
    for dtype in (np.float32, np.float64):
        images = images_by_variant(lambda dtype=dtype: voxelize_view(atoms, image, frame, dtype=dtype))
        assert_the_same(images, scene.allowance())


def test_atoms_at_the_cut_of_a_view_are_culled_alike():
    # Around the box and the ball that decide which atoms are near: none that reaches the image may be lost.
    rng = np.random.default_rng(4)
    image = ImageSpec(Grid(4, 1.0), [["C"]], 0.5, fill="fraction_voxel")
    coords_A = rng.uniform(-2.6, 2.6, (6000, 3))
    coords_A[::3] *= 2.5 / np.abs(coords_A[::3]).max(axis=1, keepdims=True)  # touching the image from outside
    for dtype in (np.float32, np.float64):
        atoms = Atoms(coords_A.astype(dtype), np.full(6000, 6, np.uint8))
        given = atoms.coords_A, np.full(6000, 0.5), np.ones(6000, np.uint32), image.grid, 1
        expected = voxelize_atoms(*given, fill="fraction_voxel", dtype=np.float64)
        for view in images_by_variant(lambda atoms=atoms: voxelize_view(atoms, image, dtype=np.float64)).values():
            np.testing.assert_allclose(view, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [2, 3, 9])
def test_float32_maths(length):
    scene = random_scene(11, length, MIXTURES["small"])
    exact = scene.draw(dtype=np.float64)
    images = images_by_variant(lambda: scene.draw(dtype=np.float64, precision="float32"))
    assert_the_same_bits_with_fma(images)
    allowed = scene.allowance() / ULPS * 2e-7
    for image in images.values():
        assert np.abs(image - exact).max() > 0
        assert (np.abs(image - exact) <= allowed).all()


@pytest.fixture
def restored():
    before = simd_variant()
    yield
    use_simd_variant(before)


@pytest.mark.parametrize("name", simd_variants())
def test_a_kernel_gives_the_same_bits_each_time_and_wherever_the_image_lies(name, restored):
    use_simd_variant(name)
    scene = random_scene(6, 7, MIXTURES["mixed"])
    first = scene.draw(dtype=np.float32)
    for offset in (0, 1, 2, 3, 5, 8):
        memory = np.empty(first.size + offset, np.float32)
        again = scene.draw(dtype=np.float32, out=memory[offset:].reshape(first.shape))
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", range(1, 10))
@pytest.mark.parametrize("name", simd_variants())
def test_nothing_is_touched_beside_the_image(name, length, dtype, restored):
    use_simd_variant(name)
    # Vectors that reach beyond the last voxel would add 0 there: harmless, but for another thread that draws there.
    # Of all numbers only -0 shows it: -0 + 0 is 0.
    size, shape = 2 * length**3, (2, *(length,) * 3)
    for radius in (0.5, 0.45 * length, 0.7 * length, 9.0 * length):
        for center in ((0, 0, 0), (length / 2,) * 3):
            memory = np.full(size + 32, -0.0, dtype)
            out = memory[16 : 16 + size].reshape(shape)
            voxelize_atoms([center], [radius], [3], Grid(length, 1.0), 2, dtype=dtype, out=out)
            assert out[1, -1, -1, -1] > 0 or radius < length / 2
            assert np.signbit(memory[:16]).all()
            assert np.signbit(memory[16 + size :]).all()

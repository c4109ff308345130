"""Adversarial input: the answer that each must have, or the error before anything is written."""

import math

import numpy as np
import pytest

from bench_core.errors import VoxelError
from bench_core.grid import Grid
from bench_core.reference.voxels import voxelize_atoms_filtered, voxelize_atoms_naive
from bench_core.voxels import voxelize_atoms

pytestmark = pytest.mark.usefixtures("variant")

SPHERE = 4 / 3 * math.pi

all_backends = pytest.mark.parametrize("voxelize", [voxelize_atoms, voxelize_atoms_naive, voxelize_atoms_filtered])


def one(center_A, radius_A, grid, voxelize=voxelize_atoms, **rules):
    """The image of one atom, (L, L, L) float64."""
    return voxelize([center_A], [radius_A], [1], grid, 1, dtype=np.float64, **rules)[0]


# Exact shares and touches


@all_backends
@pytest.mark.parametrize("length", [3, 21])
@pytest.mark.parametrize("h", [0.1, 0.75, 1.0])
def test_a_centred_atom_touches_six_faces_and_stays_in_its_voxel(voxelize, length, h):
    image = one((0, 0, 0), h / 2, Grid(length, h), voxelize)
    assert image.max() == pytest.approx(1, abs=1e-15)
    assert np.count_nonzero(image) == 1


@all_backends
@pytest.mark.parametrize("ulps", [-1, 0, 1])
@pytest.mark.parametrize(("center_A", "n"), [((0.5, 0, 0), 2), ((0.5, 0.5, 0), 4), ((0.5, 0.5, 0.5), 8)])
def test_faces_edges_and_corners_to_the_last_bit(voxelize, center_A, n, ulps):
    center_A = np.array(center_A) * (1 + ulps * 2.0**-52)
    image = one(center_A, 0.5, Grid(3, 1.0), voxelize)
    np.testing.assert_allclose(image[image > 1e-3], [1 / n] * n, rtol=0, atol=1e-15)
    assert image[image <= 1e-3].sum() < 1e-15


@all_backends
@pytest.mark.parametrize(("ratio", "n_voxels"), [(0.5**0.5, 7), (0.75**0.5, 19), (1.5, 27), (2.5, 117)])
def test_spheres_that_touch_edges_and_corners(voxelize, ratio, n_voxels):
    image = one((0, 0, 0), ratio, Grid(7, 1.0), voxelize)
    assert image.sum() == pytest.approx(1, abs=1e-14)
    # sqrt(1/2) and sqrt(3/4) are rounded: by an ulp the sphere may reach beyond the touch, by 1e-32 of its volume.
    assert np.count_nonzero(image > (0 if ratio > 1 else 1e-15)) == n_voxels
    assert image.min() >= 0


@all_backends
@pytest.mark.parametrize("ratio", [1.5, 2.5, 100.0, 300.0])
@pytest.mark.parametrize(("fill", "unit"), [("fraction_atom", 1.0), ("overlap_A3", None), ("fraction_voxel", None)])
def test_voxels_inside_a_sphere_are_exact(voxelize, ratio, fill, unit):
    h = 0.5
    image = one((0, 0, 0), ratio * h, Grid(3, h), voxelize, fill=fill)
    value = {"fraction_atom": 1 / (SPHERE * ratio**3), "overlap_A3": h**3, "fraction_voxel": 1.0}[fill]
    assert image[1, 1, 1] == pytest.approx(value, rel=1e-14 if voxelize is not voxelize_atoms else 4e-16)
    if ratio >= 100:
        np.testing.assert_allclose(image, value, rtol=1e-14)


@pytest.mark.parametrize("radius_A", [1e6, 1e150, 1e300])
@pytest.mark.parametrize(("fill", "value"), [("fraction_atom", None), ("overlap_A3", 0.125), ("fraction_voxel", 1.0)])
def test_work_and_values_are_bounded_by_the_image(radius_A, fill, value):
    inside = one((0, 0, 0), radius_A, Grid(24, 0.5), fill=fill)
    if value:
        np.testing.assert_allclose(inside, value)
    # The surface crosses the image: every value stays between 0 and that of a whole voxel.
    crossed = one((radius_A, 0, 0), radius_A, Grid(24, 0.5), fill=fill)
    assert np.isfinite(crossed).all()
    assert (crossed >= 0).all()
    assert (crossed <= inside).all()


def test_nothing_stays_nothing_where_the_volume_of_a_voxel_overflows():
    assert not one((0, 0, 0), 1e130, Grid(3, 1e120), fill="overlap_A3", occupancies=[0]).any()


@pytest.mark.parametrize("ratio", [10.0, 100.0, 300.0])
def test_a_large_sphere_crossing_the_image(ratio):
    grid, center_A = Grid(6, 1.0), np.array([0.31, 0.47, -0.11]) + ratio / 3**0.5
    image, expected = (one(center_A, ratio, grid, voxelize) for voxelize in (voxelize_atoms, voxelize_atoms_naive))
    assert 0 < np.count_nonzero(image) < image.size
    np.testing.assert_allclose(image, expected, rtol=0, atol=2e-15)


@pytest.mark.parametrize("radius_A", [1e-3, 1e-6, 1e-9, 1e-12, 1e-100, 1e-200, 1e-300, 5e-324])
@pytest.mark.parametrize("center_A", [(0, 0, 0), (0.5, 0, 0), (0.5, 0.5, 0), (0.5, 0.5, 0.5), (0.1, -0.2, 0.3)])
@pytest.mark.parametrize("occupancy", [1.0, 0.25])
def test_tiny_spheres_keep_their_mass(radius_A, center_A, occupancy):
    image = one(center_A, radius_A, Grid(3, 1.0), occupancies=[occupancy])
    assert image.sum() == pytest.approx(occupancy, rel=1e-15)
    assert image.min() == 0
    assert np.count_nonzero(image) == 2 ** center_A.count(0.5)


@pytest.mark.parametrize("h", [1e-320, 1e-310, 1e-300, 1e-100, 1e100, 1e300, 1e307])
@pytest.mark.parametrize(("length", "centre", "face"), [(1, 1, 1 / 2), (3, 1, 1 / 2), (4, 1 / 8, 1 / 4)])
def test_voxels_of_any_size(h, length, centre, face):
    """1 / h is infinite for the smallest of these."""
    assert one((0, 0, 0), h / 2, Grid(length, h)).max() == pytest.approx(centre, rel=1e-9)
    assert one((h / 2, 0, 0), h / 2, Grid(length, h)).max() == pytest.approx(face, rel=1e-9)


@pytest.mark.parametrize("away_A", [1e6, 1e9])
def test_center_and_atom_far_from_the_origin(away_A):
    offset_A = np.array([0.3, -0.2, 0.45])
    image = one(away_A + offset_A, 0.5, Grid(3, 1.0, (away_A,) * 3))
    np.testing.assert_allclose(image, one(offset_A, 0.5, Grid(3, 1.0)), rtol=0, atol=4e-16 * away_A)


@all_backends
@pytest.mark.parametrize("x_A", [1e5, 3e9, 1e20, 1e300, -1e300])
def test_far_atoms_add_nothing(voxelize, x_A):
    with np.errstate(over="ignore"):
        for center_A in ((x_A, 0, 0), (0, 0, x_A), (x_A, x_A, x_A)):
            assert not one(center_A, 0.4, Grid(3, 1.0), voxelize).any()


def test_smallest_images_and_no_atoms():
    empty = voxelize_atoms(np.empty((0, 3)), [], [], Grid(4, 1.0), 2)
    assert empty.shape == (2, 4, 4, 4)
    assert not empty.any()
    for center_A, radius_A, fill, value in (
        ((0, 0, 0), 0.5, "fraction_atom", 1.0),
        ((0.5, 0, 0), 0.5, "fraction_atom", 0.5),
        ((0, 0, 0), 5.0, "fraction_voxel", 1.0),
    ):
        image = one(center_A, radius_A, Grid(1, 1.0), fill=fill)
        assert image.shape == (1, 1, 1)
        assert image.item() == pytest.approx(value, rel=1e-15)


def test_channel_31_and_masks_of_zero():
    image = voxelize_atoms([[0, 0, 0]] * 2, [0.5] * 2, [2**31 | 1, 0], Grid(1, 1.0), 32)
    assert image.ravel().nonzero()[0].tolist() == [0, 31]


@pytest.mark.parametrize("radius_A", [0.5, 1.2])
def test_occupancies(radius_A):
    full = one((0.2, 0.1, 0), radius_A, Grid(3, 1.0))
    assert not one((0.2, 0.1, 0), radius_A, Grid(3, 1.0), occupancies=[0]).any()
    np.testing.assert_array_equal(one((0.2, 0.1, 0), radius_A, Grid(3, 1.0), occupancies=[-0.5]), -0.5 * full)
    with pytest.raises(VoxelError, match=r"atom 0: occupancy -0.5 is negative"):
        one((0, 0, 0), radius_A, Grid(3, 1.0), occupancies=[-0.5], aggregate="max")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_atoms_in_one_voxel_round_within_the_bound(dtype):
    n = 20_000
    image = voxelize_atoms(np.zeros((n, 3)), [0.5] * n, [1] * n, Grid(1, 1.0), 1, occupancies=[0.1] * n, dtype=dtype)
    # Each addition rounds once, to at most half an ulp of the sum.
    assert float(image[0, 0, 0, 0]) == pytest.approx(n * 0.1, abs=n * n * 0.1 * float(np.finfo(dtype).eps) / 2)


# Errors, before anything is written


BAD_ATOMS = [
    ({"coords_A": (math.nan, 0, 0)}, r"atom 2: coordinates .*nan"),
    ({"coords_A": (0, math.inf, 0)}, r"atom 2: coordinates .*inf"),
    ({"coords_A": (0, 0, -math.inf)}, r"atom 2: coordinates .*-inf"),
    ({"radii_A": 0.0}, r"atom 2: radius .* 0\.0 A"),
    ({"radii_A": -0.5}, r"atom 2: radius .* -0\.5 A"),
    ({"radii_A": math.nan}, r"atom 2: radius .* nan"),
    ({"radii_A": math.inf}, r"atom 2: radius .* inf"),
    ({"occupancies": math.nan}, r"atom 2: occupancy .* nan"),
    ({"occupancies": math.inf}, r"atom 2: occupancy .* inf"),
    ({"channel_masks": 4}, r"atom 2: channel mask 0x4 .* 2 channels"),
    ({"channel_masks": 2**31}, r"atom 2: channel mask 0x80000000"),
    ({"channel_masks": -1}, r"atom 2: channel mask .* -1"),
    ({"channel_masks": 2**40}, r"atom 2: channel mask .* 1099511627776"),
]


@all_backends
@pytest.mark.parametrize(("change", "match"), BAD_ATOMS)
def test_bad_atoms_are_named_and_nothing_is_written(voxelize, change, match):
    columns = {
        "coords_A": np.zeros((4, 3)),
        "radii_A": np.full(4, 0.5),
        "channel_masks": np.ones(4, np.int64),
        "occupancies": np.ones(4),
    }
    for name, value in change.items():
        columns[name][2] = value
    out = np.full((2, 3, 3, 3), 7, np.float32)
    with pytest.raises(VoxelError, match=match):
        voxelize(**columns, grid=Grid(3, 1.0), n_channels=2, out=out)
    assert (out == 7).all()


@all_backends
@pytest.mark.parametrize(
    "change",
    [
        {"coords_A": np.zeros((3, 3))},
        {"coords_A": np.zeros((4, 2))},
        {"coords_A": np.zeros(12)},
        {"coords_A": 0.0},
        {"radii_A": np.ones(3)},
        {"radii_A": 0.5},
        {"radii_A": np.ones((4, 1))},
        {"channel_masks": np.ones(5, np.uint32)},
        {"occupancies": np.ones(1)},
    ],
)
def test_lengths_that_do_not_fit_are_repeated(voxelize, change):
    columns = {"coords_A": np.zeros((4, 3)), "radii_A": np.ones(4), "channel_masks": np.ones(4, np.uint32)} | change
    with pytest.raises(VoxelError, match="expected") as caught:
        voxelize(**columns, grid=Grid(3, 1.0), n_channels=1)
    assert str(np.shape(next(iter(change.values())))) in str(caught.value)


@all_backends
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"coords_A": [["a", "b", "c"]]}, "coords_A"),
        ({"radii_A": [1j]}, "radii_A"),
        ({"channel_masks": [1.0]}, "channel_masks"),
        ({"occupancies": [None]}, "occupancies"),
        ({"n_channels": 0}, "n_channels"),
        ({"n_channels": 33}, "n_channels"),
        ({"n_channels": 1.0}, "n_channels"),
        ({"n_channels": None}, "n_channels"),
        ({"fill": "volume"}, "volume"),
        ({"aggregate": "mean"}, "mean"),
    ],
)
def test_other_arguments_are_checked(voxelize, change, match):
    arguments = {"coords_A": [[0, 0, 0]], "radii_A": [0.5], "channel_masks": [1], "n_channels": 1} | change
    with pytest.raises(VoxelError, match=match):
        voxelize(grid=Grid(3, 1.0), **arguments)


@all_backends
def test_inputs_of_every_layout_and_type_are_taken(voxelize):
    rng = np.random.default_rng(3)
    coords_A = np.round(rng.uniform(-2, 2, (10, 3)) * 64) / 64
    expected = voxelize(coords_A, [0.5] * 10, [1] * 10, Grid(4, 1.0), 1)
    read_only = coords_A.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"?" + coords_A.tobytes(), np.float64, offset=1).reshape(10, 3)
    for given in (
        *(read_only, unaligned, np.asfortranarray(coords_A), np.repeat(coords_A, 2, axis=0)[::2], coords_A.tolist()),
        *(coords_A.astype(">f8"), coords_A.astype(np.float32), coords_A[::-1].copy()[::-1]),
    ):
        np.testing.assert_array_equal(voxelize(given, [0.5] * 10, [1] * 10, Grid(4, 1.0), 1), expected)
    whole_A = np.array([[0, 1, -1]], dtype=np.int16)
    at_integers = voxelize(whole_A, [1], np.array([1], dtype=np.uint8), Grid(4, 1.0), np.int64(1))
    assert at_integers.sum() == pytest.approx(1)


def unusable_outs():
    read_only = np.empty((2, 3, 3, 3), np.float32)
    read_only.flags.writeable = False
    return {
        "float64": np.empty((2, 3, 3, 3)),
        "shape": np.empty((1, 3, 3, 3), np.float32),
        "flat": np.empty(54, np.float32),
        "read-only": read_only,
        "Fortran": np.empty((2, 3, 3, 3), np.float32, order="F"),
        "strided": np.empty((2, 3, 3, 6), np.float32)[..., ::2],
        "big-endian": np.empty((2, 3, 3, 3), ">f4"),
        "unaligned": np.frombuffer(bytearray(54 * 4 + 1), np.float32, offset=1).reshape(2, 3, 3, 3),
        "list": [[0.0]],
    }


@all_backends
@pytest.mark.parametrize("kind", unusable_outs())
def test_an_unusable_out_is_an_error(voxelize, kind):
    with pytest.raises(VoxelError, match="out must be a writable C-contiguous float32 array of shape"):
        voxelize([[0, 0, 0]], [0.5], [1], Grid(3, 1.0), 2, out=unusable_outs()[kind])


@all_backends
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_out_may_be_a_slice_of_a_batch_and_is_overwritten(voxelize, dtype):
    batch = np.full((3, 2, 3, 3, 3), 7, dtype)
    atom = ([[0, 0, 0]], [0.5], [1], Grid(3, 1.0), 2)
    assert voxelize(*atom, dtype=dtype, out=batch[1]).base is batch
    np.testing.assert_array_equal(batch[1], voxelize(*atom, dtype=dtype))
    # The reference adds slices up, to 1e-14 of a sphere. Its last bit follows its weights', and those NumPy's sinh and
    # cosh, which with AVX-512 are others.
    assert batch[1].sum() == pytest.approx(1, abs=1e-14)
    assert (batch[[0, 2]] == 7).all()


# An image in the memory of the atoms


COLUMNS = {
    "coords_A": np.full((8, 3), 0.25),
    "radii_A": np.full(8, 0.5),
    "channel_masks": np.ones(8, np.uint32),
    "occupancies": np.ones(8),
}


def out_beside(name, dtype, shared_bytes, is_before):
    """Columns, out, and the memory of out and column `name`, which ends or begins where so many bytes are of both."""
    memory, given = np.full(2048, 7, np.uint8), COLUMNS[name]
    out = np.ndarray((1, 4, 4, 4), dtype, memory, offset=512)
    start = 512 + (shared_bytes - given.nbytes if is_before else out.nbytes - shared_bytes)
    column = np.ndarray(given.shape, given.dtype, memory, offset=start)
    column[:] = given
    assert column.flags.carray  # else a copy of it would be read, and nothing be shared
    return COLUMNS | {name: column}, out, memory


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", COLUMNS)
def test_out_that_shares_memory_with_a_column_is_refused_and_not_written(name, dtype, is_before):
    one_number, whole = COLUMNS[name].itemsize, COLUMNS[name].nbytes
    for shared_bytes in (one_number, whole // 2, whole - one_number, whole):
        columns, out, memory = out_beside(name, dtype, shared_bytes, is_before)
        before = memory.copy()
        with pytest.raises(VoxelError, match=f"^out shares memory with {name}: give an array of its own$"):
            voxelize_atoms(**columns, grid=Grid(4, 1.0), n_channels=1, dtype=dtype, out=out)
        np.testing.assert_array_equal(memory, before)


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", COLUMNS)
def test_out_may_lie_next_to_a_column(name, dtype, is_before):
    columns, out, _ = out_beside(name, dtype, 0, is_before)
    drawn = voxelize_atoms(**columns, grid=Grid(4, 1.0), n_channels=1, dtype=dtype, out=out)
    np.testing.assert_array_equal(drawn, voxelize_atoms(**COLUMNS, grid=Grid(4, 1.0), n_channels=1, dtype=dtype))
    np.testing.assert_array_equal(columns[name], COLUMNS[name])


def test_every_column_that_shares_memory_with_out_is_named():
    memory = np.ones(64)  # alike: the values are fine, wherever they are read
    columns = COLUMNS | {"radii_A": memory[:8], "occupancies": memory[56:]}
    with pytest.raises(VoxelError, match=r"^out shares memory with radii_A and occupancies: give"):
        voxelize_atoms(**columns, grid=Grid(4, 1.0), n_channels=1, dtype=np.float64, out=memory.reshape(1, 4, 4, 4))
    assert (memory == 1).all()

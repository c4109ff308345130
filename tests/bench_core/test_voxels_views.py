"""Views, culled, turned, looked up and drawn in one call of C: what that equals, what it takes and what it refuses."""

import itertools
import types

import numpy as np
import pytest

from bench_core.atoms import Atoms
from bench_core.errors import VoxelError
from bench_core.grid import AGGREGATES, FILLS, Grid, ImageSpec
from bench_core.reference.views import cull_atoms
from bench_core.voxels import voxelize_atoms, voxelize_view, voxelize_views

pytestmark = pytest.mark.usefixtures("variant")

BLOCK = 1024  # atoms that C looks at together
CHANNELS = [["C", "N"], ["N"], ["O", "*"], ["C"]]
RADII = {"C": 0.3, "N": 0.375, "*": 0.9}

# Exact in float64 whatever the order of additions: a quarter turn, then a step.
QUARTER_TURN = np.array([[0, -1, 0, 2.5], [1, 0, 0, -0.75], [0, 0, 1, 1.25], [0, 0, 0, 1]])


def structure(n_atoms, seed=0, spread_A=9.0, **change):
    """Atoms at multiples of 1/64 Å, so that they are the same in float32 and in float64."""
    rng = np.random.default_rng((seed, n_atoms))
    columns = {
        "coords_A": (np.round(rng.uniform(-spread_A, spread_A, (n_atoms, 3)) * 64) / 64).astype(np.float32),
        "elements": rng.choice(np.array([6, 7, 8, 16], np.uint8), n_atoms),
        "occupancies": (rng.integers(1, 9, n_atoms) / 8).astype(np.float32),
    }
    return types.SimpleNamespace(**(columns | change))


def random_frame(rng):
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    frame = np.eye(4)
    frame[:3, :3] = rotation * np.linalg.det(rotation)
    frame[:3, 3] = rng.uniform(-3, 3, 3)
    return frame


def draw_by_hand(atoms, image, frame, **rules):
    """All atoms moved by NumPy, none of them culled, then drawn."""
    rigid = np.eye(4) if frame is None else frame
    return voxelize_atoms(
        atoms.coords_A.astype(np.float64) @ rigid[:3, :3].T + rigid[:3, 3],
        image.radii_A(atoms.elements),
        image.channel_masks(atoms.elements),
        image.grid,
        image.n_channels,
        occupancies=atoms.occupancies,
        fill=image.fill,
        aggregate=image.aggregate,
        **rules,
    )


# What a view equals


@pytest.mark.parametrize("n_atoms", [0, 1, 15, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("frame", [None, QUARTER_TURN])
def test_a_view_is_the_image_of_the_moved_atoms_bit_for_bit(n_atoms, frame):
    atoms, image = structure(n_atoms, spread_A=4.0), ImageSpec(Grid(8, 0.75, (1.0, -2.0, 0.5)), CHANNELS, RADII)
    for dtype, precision in itertools.product((np.float32, np.float64), ("float32", "float64")):
        rules = {"dtype": dtype, "precision": precision}
        view = voxelize_view(atoms, image, frame, **rules)
        np.testing.assert_array_equal(view, draw_by_hand(atoms, image, frame, **rules))
        assert view.any() or n_atoms < 15


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("fill", FILLS)
def test_every_rule_holds_for_views_too(fill, aggregate, precision, dtype):
    atoms, image = structure(2500), ImageSpec(Grid(5, 1.0), CHANNELS, RADII, fill, aggregate)
    rules = {"dtype": dtype, "precision": precision}
    expected = draw_by_hand(atoms, image, QUARTER_TURN, **rules)
    assert all(channel.any() for channel in expected)
    np.testing.assert_array_equal(voxelize_view(atoms, image, QUARTER_TURN, **rules), expected)


def test_any_frame_gives_the_image_of_the_moved_atoms_but_for_rounding():
    rng, image = np.random.default_rng(1), ImageSpec(Grid(6, 1.0), CHANNELS, RADII)
    for seed in range(5):
        atoms, frame = structure(2000, seed), random_frame(rng)
        expected = draw_by_hand(atoms, image, frame, dtype=np.float64)
        np.testing.assert_allclose(
            voxelize_view(atoms, image, frame, dtype=np.float64), expected, rtol=0, atol=1e-13 * max(1, expected.max())
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_batch_is_its_views_bit_for_bit_and_fills_its_part_of_a_larger_one(precision, dtype):
    rng, image = np.random.default_rng(2), ImageSpec(Grid(7, 0.75), CHANNELS)
    sizes = (3000, 0, 1025, 40, 2048)
    views = [(structure(n, seed), random_frame(rng)) for seed, n in enumerate(sizes)] + [(structure(99), None)]
    views[2][0].coords_A = views[2][0].coords_A.astype(np.float64)
    whole = np.full((10, *image.shape), 7, dtype)
    rules = {"dtype": dtype, "precision": precision}
    part = voxelize_views(iter(views), image, out=whole[2:8], **rules)
    assert part.base is whole
    assert (whole[[0, 1, 8, 9]] == 7).all()
    for (atoms, frame), drawn in zip(views, part, strict=True):
        np.testing.assert_array_equal(drawn, voxelize_view(atoms, image, frame, **rules))


# What a view takes


def layouts(tmp_path):
    """The same structure as other programs may hold it."""
    plain = structure(1500)
    coords_A = plain.coords_A
    np.save(tmp_path / "coords.npy", coords_A)
    on_disk = np.load(tmp_path / "coords.npy", mmap_mode="r")
    assert not on_disk.flags.writeable
    wide = np.zeros((3000, 5), np.float32)
    wide[::2, 1:4] = coords_A
    frozen = coords_A.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(b"?" + coords_A.tobytes(), np.float32, offset=1).reshape(-1, 3)
    others = (coords_A.astype(np.float64), np.asfortranarray(coords_A), coords_A.astype(">f4"))
    columns = [{"coords_A": coords_A} for coords_A in (on_disk, wide[::2, 1:4], frozen, unaligned, *others)]
    columns.append({"coords_A": coords_A.astype(">f8")[::-1][::-1]})
    columns.append({"occupancies": plain.occupancies.astype(np.float64)})
    columns.append({"occupancies": np.repeat(plain.occupancies, 2)[::2], "elements": np.repeat(plain.elements, 3)[::3]})
    return plain, [types.SimpleNamespace(**(vars(plain) | change)) for change in columns]


def test_columns_of_every_layout_and_type_give_the_same_image(tmp_path):
    image = ImageSpec(Grid(8, 1.0), CHANNELS, RADII)
    plain, others = layouts(tmp_path)
    expected = voxelize_view(plain, image, QUARTER_TURN)
    for atoms in others:
        np.testing.assert_array_equal(voxelize_view(atoms, image, QUARTER_TURN), expected)
    batch = voxelize_views([(atoms, QUARTER_TURN) for atoms in others], image)
    assert (batch == expected).all()


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int64, np.float16])
def test_coordinates_of_other_number_types(kind):
    whole_A = np.random.default_rng(3).integers(-9, 9, (1100, 3))
    image = ImageSpec(Grid(6, 1.0), CHANNELS)
    given, plain = (structure(1100, coords_A=whole_A.astype(dtype)) for dtype in (kind, np.float64))
    np.testing.assert_array_equal(voxelize_view(given, image, QUARTER_TURN), voxelize_view(plain, image, QUARTER_TURN))


def test_occupancies_of_float64_are_not_rounded():
    image = ImageSpec(Grid(1, 1.0), [["C"]])
    third = np.array([1 / 3])
    atoms = structure(1, coords_A=np.zeros((1, 3)), elements=np.array([6], np.uint8), occupancies=third)
    assert voxelize_view(atoms, image, dtype=np.float64).item() == 1 / 3
    atoms.occupancies = third.astype(np.float32)
    assert voxelize_view(atoms, image, dtype=np.float64).item() == float(np.float32(1 / 3))


# What a view refuses


IMAGE = ImageSpec(Grid(3, 1.0), [["C"], ["N"]])  # atoms up to 2 Å from the centre on each axis are near


def carbons(n_atoms=2 * BLOCK + 100, **change):
    """Far away from the image but for the last one, and what `change` moves."""
    columns = {"coords_A": np.full((n_atoms, 3), 50.0, np.float32), "elements": np.full(n_atoms, 6, np.uint8)}
    columns["occupancies"] = np.ones(n_atoms, np.float32)
    columns["coords_A"][-1] = 0
    for name, rows in change.items():
        for row, value in rows.items():
            columns[name][row] = value
    return types.SimpleNamespace(**columns)


@pytest.mark.parametrize("atom", [0, 13, BLOCK - 1, BLOCK, 2 * BLOCK + 99])
@pytest.mark.parametrize(
    ("column", "value", "aggregate", "match"),
    [
        ("coords_A", [0, np.nan, 0], "sum", "coordinates must be finite"),
        ("coords_A", [-np.inf, 0, 0], "sum", "coordinates must be finite"),
        ("occupancies", np.nan, "sum", "occupancy must be finite"),
        ("occupancies", np.inf, "sum", "occupancy must be finite"),
        ("occupancies", -0.25, "max", "is negative"),
    ],
)
def test_errors_name_the_atom_of_the_structure_and_leave_out_untouched(atom, column, value, aggregate, match):
    image = ImageSpec(IMAGE.grid, IMAGE.channels, aggregate=aggregate)
    bad = carbons(coords_A={atom: 0.5})
    getattr(bad, column)[atom] = value
    out = np.full((3, *image.shape), 7, np.float32)
    for dtype, frame in itertools.product((np.float32, np.float64), (None, np.eye(4))):
        bad.coords_A = bad.coords_A.astype(dtype)
        with pytest.raises(VoxelError, match=f"^atom {atom}: .*{match}"):
            voxelize_view(bad, image, frame, out=out[0])
        with pytest.raises(VoxelError, match=f"^view 1, atom {atom}: .*{match}"):
            voxelize_views([(carbons(), None), (bad, frame), (carbons(), None)], image, out=out)
    assert (out == 7).all()


def test_far_atoms_may_be_huge_but_not_infinite():
    for dtype, far_A in ((np.float32, 3e38), (np.float64, 1e308)):
        atoms = carbons()
        atoms.coords_A = atoms.coords_A.astype(dtype)
        atoms.coords_A[:-1:3] = -far_A  # squared, more than the type can hold
        assert voxelize_view(atoms, IMAGE).sum() == 1


@pytest.mark.parametrize("frame", [None, QUARTER_TURN])
@pytest.mark.parametrize(
    ("offset_A", "is_near"),
    [
        ((1.99, 0, 0), True),
        ((2.01, 0, 0), False),
        ((0, -2.01, 0.5), False),
        ((1.6, -1.6, 1.6), True),
        ((1.99, 1.99, 1.99), False),  # in the box in which atoms are near, but out of reach of its corner
        ((50, 50, 50), False),
    ],
)
def test_atoms_that_are_not_near_need_neither_channel_nor_radius_nor_occupancy(offset_A, is_near, frame):
    rigid = np.eye(4) if frame is None else frame
    at_A = rigid[:3, :3].T @ (np.array(offset_A) - rigid[:3, 3])
    carbon_A = -rigid[:3, :3].T @ rigid[:3, 3]
    no_radius = ImageSpec(IMAGE.grid, [["C"], ["O"]], {"C": 0.5})
    for image, column, value, match in (
        (IMAGE, "elements", 8, r"elements \['O'\] are in none of the channels"),
        (no_radius, "elements", 8, r"no radius for the elements \['O'\]"),
        (IMAGE, "occupancies", np.nan, "atom 4: occupancy must be finite"),
    ):
        atoms = carbons(coords_A={-1: carbon_A, 4: at_A}, **{column: {4: value}})
        if is_near:
            with pytest.raises(VoxelError, match=match):
                voxelize_view(atoms, image, frame)
        else:
            assert voxelize_view(atoms, image, frame)[:, 1, 1, 1].tolist() == [1, 0]


def test_atoms_in_no_channel_can_be_dropped():
    dropping = ImageSpec(IMAGE.grid, IMAGE.channels, drop_unmatched=True)
    atoms = carbons(coords_A={4: 0.0}, elements={4: 8})
    assert voxelize_view(atoms, dropping)[:, 1, 1, 1].tolist() == [1, 0]
    assert cull_atoms(atoms, dropping, None).tolist() == [4, 2 * BLOCK + 99]
    atoms.occupancies[4] = np.nan  # dropped or not, a near atom must be a number
    with pytest.raises(VoxelError, match="atom 4: occupancy"):
        voxelize_view(atoms, dropping)


@pytest.mark.parametrize("precision", ["double", "f4", "", None, 32, np.float32])
def test_precisions_are_two(precision):
    match = "precision must be one of float64, float32, not"
    out = np.full((1, *IMAGE.shape), 7, np.float32)
    with pytest.raises(VoxelError, match=match):
        voxelize_atoms([[0, 0, 0]], [0.5], [1], IMAGE.grid, 2, precision=precision, out=out[0])
    with pytest.raises(VoxelError, match=match):
        voxelize_view(carbons(), IMAGE, precision=precision, out=out[0])
    with pytest.raises(VoxelError, match=match):
        voxelize_views([(carbons(), None)], IMAGE, precision=precision, out=out)
    assert (out == 7).all()


def test_errors_name_the_atom_that_reaches_the_image_and_no_other():
    """The first is in the ball around the image's box and not in the box; it would have been as bad."""
    image = ImageSpec(Grid(4, 1.0), [["C"]])
    coords_A = np.array([[2.7, 0, 0], [0, 0, 0]], np.float32)
    nowhere = Atoms(coords_A, np.array([6, 6], np.uint8), np.array([np.nan, np.nan], np.float32))
    with pytest.raises(VoxelError, match=r"^atom 1: occupancy"):
        voxelize_view(nowhere, image)
    unmatched = Atoms(coords_A, np.array([7, 8], np.uint8))
    with pytest.raises(VoxelError, match=r"^atom 1: elements \['O'\] are in none of the channels"):
        voxelize_view(unmatched, image)
    assert voxelize_view(Atoms(coords_A[:1], np.array([7], np.uint8)), image).max() == 0

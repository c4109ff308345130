"""View pairs: what an example is, that it depends on (seed, index) alone, and what happens where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from bench_core import Atoms, Grid, ImageSpec, MissingOriginError, OriginStore, VoxelError, voxelize_view
from bench_core.datasets import OriginLookups, OriginPairs
from bench_core.frames import CUBE_FACES, centre_A, invert
from bench_core.loaders import START_METHODS, make_loader
from bench_core.origins.neighbours import crowded_places, origins_among
from bench_core.origins.prepare import write_store


@pytest.mark.parametrize("mode", ["direction", "frame"])
def test_shapes_and_types(origins: OriginStore, small_image: ImageSpec, mode: str) -> None:
    pairs = OriginPairs(origins, small_image, mode=mode, size=5, seed=1)
    x, y = pairs[0]
    assert len(pairs) == 5
    assert x.shape == (2, 4, 9, 9, 9)
    assert x.dtype == torch.float32
    assert (x >= 0).all()
    assert x.sum() > 10
    if mode == "direction":
        assert isinstance(y, int)
        assert 0 <= y < 6
    else:
        assert y.shape == (4, 4)
        assert y.dtype == np.float32


def test_default_size_is_one_example_per_origin(origins: OriginStore, small_image: ImageSpec) -> None:
    assert len(OriginPairs(origins, small_image)) == len(origins)


def test_direction_pairs_lie_where_the_label_says(origins: OriginStore, small_image: ImageSpec) -> None:
    pairs = OriginPairs(origins, small_image, size=60, seed=2)
    labels = set()
    for i in range(len(pairs)):
        pair = pairs.draw(i)
        labels.add(pair.y)
        # The second view has the first one's orientation and lies one edge and the padding along the labelled face.
        relative = pair.frame_b @ invert(pair.frame_a)
        np.testing.assert_allclose(relative[:3, :3], np.eye(3), atol=1e-12)
        np.testing.assert_allclose(relative[:3, 3], -CUBE_FACES[pair.y] * (9.0 + 1.0), atol=1e-10)
        atoms = origins.atoms_of(pair.tag)
        assert crowded_places(atoms, centre_A(pair.frame_b)[None]).all()
        origin_A = centre_A(pair.frame_a)
        assert np.abs(origins.origins_of(pair.tag) - origin_A).max(axis=1).min() < 1e-4
    assert labels == set(range(6))


def test_frame_pairs_are_apart_and_near(origins: OriginStore, small_image: ImageSpec) -> None:
    pairs = OriginPairs(origins, small_image, mode="frame", size=20, seed=3)
    least_A = 2 * (np.sqrt(3) * 9 / 2 + 0.5)
    for i in range(len(pairs)):
        pair = pairs.draw(i)
        distance_A = np.linalg.norm(centre_A(pair.frame_a) - centre_A(pair.frame_b))
        assert least_A - 1e-3 <= distance_A <= least_A + 10 + 1e-3
        np.testing.assert_allclose(pair.y @ pair.frame_a, pair.frame_b, atol=1e-3)
        np.testing.assert_allclose(pair.y[:3, :3] @ pair.y[:3, :3].T, np.eye(3), atol=1e-6)


def test_images_are_the_views_of_the_frames(origins: OriginStore, small_image: ImageSpec) -> None:
    pairs = OriginPairs(origins, small_image, size=3, seed=4)
    x, y = pairs[2]
    pair = pairs.draw(2)
    atoms = origins.atoms_of(pair.tag)
    assert y == pair.y
    for image, frame in zip(x, (pair.frame_a, pair.frame_b), strict=True):
        np.testing.assert_array_equal(image.numpy(), voxelize_view(atoms, small_image, frame))


def test_float32_maths_gives_nearly_the_same_example(origins: OriginStore, small_image: ImageSpec) -> None:
    exact, y = OriginPairs(origins, small_image, size=1)[0]
    quick, same_y = OriginPairs(origins, small_image, size=1, precision="float32")[0]
    assert y == same_y
    assert not torch.equal(exact, quick)
    torch.testing.assert_close(quick, exact, rtol=0, atol=8 * 2e-7)  # at most 8 atoms share a voxel


def test_examples_depend_on_seed_and_index_alone(origins: OriginStore, small_image: ImageSpec) -> None:
    one, other = (OriginPairs(origins, small_image, size=8, seed=7) for _ in range(2))
    backwards = [other[i] for i in reversed(range(8))][::-1]
    for i in range(8):
        x, y = one[i]
        assert torch.equal(x, backwards[i][0])
        assert y == backwards[i][1]
    assert not torch.equal(one[0][0], one[1][0])
    assert not torch.equal(one[0][0], OriginPairs(origins, small_image, size=8, seed=8)[0][0])


def collect(dataset: Dataset, workers: int, start_method: str) -> tuple[torch.Tensor, torch.Tensor]:
    loader = make_loader(dataset, 4, workers, start_method, timeout_s=100)
    batches = list(loader)
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", ["direction", "frame"])
@pytest.mark.parametrize("start_method", START_METHODS)
def test_same_examples_for_all_workers_and_start_methods(
    origins: OriginStore, small_image: ImageSpec, start_method: str, mode: str
) -> None:
    pairs = OriginPairs(origins, small_image, mode=mode, size=16, seed=5)
    expected_x, expected_y = collect(pairs, 0, start_method)
    assert expected_y.dtype == (torch.int64 if mode == "direction" else torch.float32)
    for workers in (1, 2):
        x, y = collect(pairs, workers, start_method)
        assert torch.equal(x, expected_x)
        assert torch.equal(y, expected_y)


@pytest.mark.parametrize("index", [5, -1, 6, np.int64(5)])
def test_indices_off_the_ends(origins: OriginStore, small_image: ImageSpec, index: int) -> None:
    with pytest.raises(IndexError, match="0 to 4"):
        OriginPairs(origins, small_image, size=5)[index]


def test_numpy_indices(origins: OriginStore, small_image: ImageSpec) -> None:
    pairs = OriginPairs(origins, small_image, size=5)
    assert torch.equal(pairs[np.int64(3)][0], pairs[3][0])


@pytest.mark.parametrize(
    "options",
    [
        *({"mode": "rotation"}, {"size": -1}, {"size": 1.5}, {"seed": -1}, {"max_tries": 0}, {"seed": True}),
        {"precision": "float16"},
        *({"view_padding_A": float("nan")}, {"view_padding_A": -1.0}, {"distance_slack_A": "x"}),
    ],
)
def test_bad_options(origins: OriginStore, small_image: ImageSpec, options: dict) -> None:
    with pytest.raises(VoxelError, match=str(next(iter(options)))):
        OriginPairs(origins, small_image, **options)


def test_grids_off_the_centre_are_refused(origins: OriginStore) -> None:
    with pytest.raises(VoxelError, match="centred at 0"):
        OriginPairs(origins, ImageSpec(Grid(9, 1.0, (40.0, 0.0, 0.0)), [["*"]]))


def test_indices_are_integers(origins: OriginStore, small_image: ImageSpec) -> None:
    with pytest.raises(TypeError):
        OriginPairs(origins, small_image, size=5)[1.9]  # type: ignore[index]


def blob(rng: np.random.Generator, n_atoms: int, radius_A: float) -> Atoms:
    coords_A = rng.normal(size=(n_atoms, 3))
    coords_A *= (radius_A * rng.random(n_atoms) ** (1 / 3) / np.linalg.norm(coords_A, axis=1))[:, None]
    return Atoms(coords_A.astype(np.float32), np.full(n_atoms, 6, np.uint8))


@pytest.fixture(scope="module")
def one_small_one_large(tmp_path_factory: pytest.TempPathFactory) -> OriginStore:
    """A structure with origins but too small for any pair, beside a large one."""
    from bench_core import open_origins

    folder = tmp_path_factory.mktemp("blobs")
    rng = np.random.default_rng(0)
    parts = [blob(rng, 60, 2.0), blob(rng, 2500, 20.0)]
    write_store(folder, ["a-small", "b-large"], [(atoms, origins_among(atoms)) for atoms in parts], {"inputs": {}})
    return open_origins(folder)


@pytest.mark.parametrize("mode", ["direction", "frame"])
def test_structures_without_pairs_are_skipped_and_counted(
    one_small_one_large: OriginStore, small_image: ImageSpec, mode: str
) -> None:
    assert len(one_small_one_large.origins_of("a-small")) > 20
    pairs = OriginPairs(one_small_one_large, small_image, mode=mode, size=100)
    assert {pairs.draw(i).tag for i in range(len(pairs))} == {"b-large"}
    assert pairs.skipped["a-small"] > 0


@pytest.mark.parametrize("mode", ["direction", "frame"])
def test_no_pair_anywhere_is_an_error_not_a_hang(origins: OriginStore, mode: str) -> None:
    huge = ImageSpec(Grid(51, 4.0), [["*"]])
    pairs = OriginPairs(origins, huge, mode=mode, size=10, max_structures=3)
    with pytest.raises(MissingOriginError, match=r"example 7 of 0\.\.9 after 3 structures"):
        pairs[7]
    assert pairs.skipped.total() == 3


def test_a_store_without_origins_says_so(tmp_path: object, small_image: ImageSpec) -> None:
    from bench_core import open_origins

    write_store(tmp_path, ["x"], [(blob(np.random.default_rng(0), 5, 9), np.empty((0, 3), "f4"))], {"inputs": {}})  # type: ignore[arg-type]
    pairs = OriginPairs(open_origins(tmp_path), small_image, size=3)  # type: ignore[arg-type]
    with pytest.raises(MissingOriginError, match="holds no origins"):
        pairs[0]


@pytest.mark.parametrize("repeats", [1, 2])
def test_lookups_visit_every_tag(origins: OriginStore, repeats: int) -> None:
    lookups = OriginLookups(origins, repeats)
    assert len(lookups) == 3 * repeats
    means = torch.stack([lookups[i] for i in range(len(lookups))])
    for t, tag in enumerate(origins.tags):
        for repeat in range(repeats):
            np.testing.assert_allclose(means[t * repeats + repeat], origins.origins_of(tag).mean(axis=0), rtol=1e-6)
    with pytest.raises(IndexError, match="0 to"):
        lookups[len(lookups)]

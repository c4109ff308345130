"""The store of origins, and preparing it: correct, idempotent, never half-written."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench_core
from bench_core import Atoms, MissingOriginError, StoreError, StructureError, embedded_structure, read_atoms
from bench_core.origins.layout import ARRAYS, MANIFEST, RULES, TEMPORARY, write_manifest
from bench_core.origins.neighbours import origins_among
from bench_core.origins.prepare import Prepared, find_structures, made_by_these_rules, prepare_store
from bench_core.origins.writer import write_store


def prepare(folder: Path, names: list[str], **options: float) -> Prepared:
    return prepare_store({name: embedded_structure(name) for name in names}, folder, read_atoms, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    prepare(path, ["1a7g", "3jqh", "4zhl", "1gbt"])
    return path


@pytest.fixture(scope="module")
def store(folder: Path) -> bench_core.OriginStore:
    return bench_core.open_origins(folder)


def test_store_holds_what_the_structures_hold(store: bench_core.OriginStore) -> None:
    assert store.tags == ("1a7g", "1gbt", "3jqh", "4zhl")
    total = 0
    for tag in store.tags:
        read = read_atoms(embedded_structure(tag))
        atoms = Atoms(read.coords_A.astype(np.float32), read.elements, read.occupancies)
        stored = store.atoms_of(tag)
        np.testing.assert_array_equal(stored.coords_A, atoms.coords_A)
        np.testing.assert_array_equal(stored.elements, atoms.elements)
        np.testing.assert_array_equal(stored.occupancies, atoms.occupancies)
        np.testing.assert_array_equal(store.origins_of(tag), origins_among(atoms))
        total += len(store.origins_of(tag))
    assert len(store) == total


def test_every_origin_belongs_to_its_tag(store: bench_core.OriginStore) -> None:
    ids = 0
    for tag in store.tags:
        for row in store.origins_of(tag):
            origin = store.origin(ids)
            assert (origin.id, origin.tag) == (ids, tag)
            np.testing.assert_array_equal(origin.coords_A, row)
            ids += 1
    assert ids == len(store)


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint16])
def test_ids_at_the_ends(store: bench_core.OriginStore, kind: type) -> None:
    n = len(store)
    assert store.origin(kind(0)).id == 0
    assert store.origin(kind(1)).id == 1
    assert store.origin(kind(n - 1)).id == n - 1
    for bad in (n, n + 1):
        with pytest.raises(MissingOriginError, match=rf"{bad}.*0 to {n - 1}"):
            store.origin(kind(bad))


@pytest.mark.parametrize("bad", [-1, np.int64(-1), 1.0, "1", None, True])
def test_ids_that_are_none(store: bench_core.OriginStore, bad: object) -> None:
    with pytest.raises(MissingOriginError, match=f"0 to {len(store) - 1}"):
        store.origin(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("tag", ["", "1a7", "1a7gg", "zzzz", "0000"])
def test_unknown_tags(folder: Path, tag: str) -> None:
    store = bench_core.open_origins(folder)
    for look_up in (store.atoms_of, store.origins_of):
        with pytest.raises(MissingOriginError, match=f"no structure '{tag}'"):
            look_up(tag)


def test_sampling_is_uniform_over_origins(store: bench_core.OriginStore) -> None:
    rng = np.random.default_rng(0)
    drawn = [store.sample(rng).tag for _ in range(3000)]
    for tag in store.tags:
        share = len(store.origins_of(tag)) / len(store)
        assert drawn.count(tag) / 3000 == pytest.approx(share, abs=4 * np.sqrt(max(share * (1 - share), 1e-9) / 3000))


def test_pickle_carries_the_path_only(store: bench_core.OriginStore) -> None:
    frozen = pickle.dumps(store)
    assert len(frozen) < 500
    np.testing.assert_array_equal(pickle.loads(frozen).origins_of("1a7g"), store.origins_of("1a7g"))


def test_views_of_the_map_are_plain_read_only_arrays(store: bench_core.OriginStore) -> None:
    for array in (store.origins_of("1a7g"), store.atoms_of("1a7g").coords_A):
        assert type(array) is np.ndarray
        assert not array.flags.writeable


def test_structures_without_origins_are_counted(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, ["3jqh", "1a7g"], min_neighbours=40)
    assert "3jqh" in prepared.without_origins
    assert prepared.n_structures == 2


def test_second_run_does_nothing(tmp_path: Path) -> None:
    assert prepare(tmp_path, ["1a7g"]).changed
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert not prepare(tmp_path, ["1a7g"]).changed
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_other_input_or_parameters_replace_the_store(tmp_path: Path) -> None:
    prepare(tmp_path, ["1a7g"])
    opened = bench_core.open_origins(tmp_path)
    assert prepare(tmp_path, ["1a7g", "4zhl"]).changed
    assert prepare(tmp_path, ["1a7g", "4zhl"], min_neighbours=20).changed
    assert len(list(tmp_path.glob("store-*"))) == 1
    assert opened.tags == ("1a7g",)  # what was open stays readable
    assert bench_core.open_origins(tmp_path).tags == ("1a7g", "4zhl")


def test_a_damaged_store_is_named_and_mended(tmp_path: Path) -> None:
    prepare(tmp_path, ["1a7g"])
    array = next(tmp_path.glob("store-*")) / "atom_elements.npy"
    array.write_bytes(array.read_bytes()[:-50])
    with pytest.raises(StoreError, match=r"atom_elements\.npy.*prepare"):
        bench_core.open_origins(tmp_path)
    assert prepare(tmp_path, ["1a7g"]).changed
    assert bench_core.open_origins(tmp_path).tags == ("1a7g",)


def test_failure_leaves_the_old_store(tmp_path: Path) -> None:
    prepare(tmp_path, ["1a7g"])
    damaged = tmp_path / "broken.cif"
    damaged.write_text("data_x\nloop_\n_atom_site.id\n")
    with pytest.raises(StructureError, match="broken"):
        prepare_store({"broken": damaged}, tmp_path, read_atoms)
    assert bench_core.open_origins(tmp_path).tags == ("1a7g",)
    assert not list(tmp_path.glob(f"{TEMPORARY}*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "schema 'list'"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1}', "lacks arrays, inputs, store, structures"),
    ],
)
def test_bad_manifest(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(StoreError, match=message):
        bench_core.open_origins(tmp_path)
    assert prepare(tmp_path, ["3jqh"]).changed
    assert bench_core.open_origins(tmp_path).tags == ("3jqh",)


def test_nothing_prepared(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing prepared"):
        bench_core.open_origins(tmp_path)
    with pytest.raises(StoreError, match="no store kind 'parquet'"):
        bench_core.open_origins(tmp_path, store="parquet")


def test_find_structures(tmp_path: Path) -> None:
    with pytest.raises(StructureError, match="No such file or directory; give --structures"):
        find_structures(tmp_path / "absent")
    with pytest.raises(StructureError, match="holds no structure files"):
        find_structures(tmp_path)
    for name in ("b.cif", "a.CIF.GZ", "c.mmcif.gz", "d.ent", "notes.txt", "._b.cif", ".cif.gz"):
        (tmp_path / name).touch()
    assert sorted(find_structures(tmp_path)) == ["a", "b", "c", "d"]
    (tmp_path / "b.pdb").touch()
    with pytest.raises(StructureError, match="both 'b'"):
        find_structures(tmp_path)


def test_manifest_tells_inputs_and_versions(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    assert set(manifest["inputs"]) == {"1a7g", "1gbt", "3jqh", "4zhl"}
    assert manifest["versions"] == {"rules": RULES, "gemmi": metadata.version("gemmi")}
    assert manifest["parameters"] == {"radius_A": 5.0, "min_neighbours": 25.0}


def test_import_is_light() -> None:
    heavy = ("torch", "gemmi", "scipy", "rich", "pyarrow", "pandas")
    code = f"import sys, bench_core; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("tags", [["b", "a"], ["a", "a"]])
def test_tags_must_be_sorted_and_distinct(tmp_path: Path, tags: list[str]) -> None:
    nothing = Atoms(np.empty((0, 3), np.float32), np.empty(0, np.uint8))
    with pytest.raises(StoreError, match="sorted"):
        write_store(tmp_path, tags, [(nothing, nothing.coords_A)] * 2, {"inputs": {}})


def test_a_store_of_nothing(tmp_path: Path) -> None:
    write_store(tmp_path, [], [], {"inputs": {}})
    store = bench_core.open_origins(tmp_path)
    assert (len(store), tuple(store.tags)) == (0, ())
    with pytest.raises(MissingOriginError, match="it holds no origins"):
        store.origin(0)
    with pytest.raises(MissingOriginError, match="holds no origins"):
        store.sample(np.random.default_rng(0))


def test_every_suffix_is_read_in_any_case(tmp_path: Path) -> None:
    content = embedded_structure("3jqh").read_bytes()
    (tmp_path / "one.CIF.GZ").write_bytes(content)
    (tmp_path / "two.mmcif.gz").write_bytes(content)
    prepared = prepare_store(find_structures(tmp_path), tmp_path / "store", read_atoms)
    assert (prepared.n_structures, prepared.n_atoms) == (2, 2 * 217)


def test_what_is_the_users_is_left_alone(tmp_path: Path) -> None:
    names = ("store-front/thesis.txt", "store-0123456789ab/notes.txt", ".store-old/x", ".lock", "manifest.json")
    mine = [tmp_path / name for name in names]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
    prepare(tmp_path, ["3jqh"])
    prepare(tmp_path, ["1a7g"])
    assert [path.read_text() for path in mine] == ["precious"] * len(mine)


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY}abc").mkdir()
    (tmp_path / f"{TEMPORARY}abc" / "origins_A.npy").touch()
    (tmp_path / f"{TEMPORARY}manifest").touch()
    (tmp_path / f"{TEMPORARY}link").symlink_to(tmp_path)
    prepare(tmp_path, ["3jqh"])
    assert not list(tmp_path.glob(f"{TEMPORARY}*"))
    assert bench_core.open_origins(tmp_path).tags == ("3jqh",)


def write_often(folder: Path, names: list[str]) -> None:
    for _ in range(15):
        prepare(folder, names)


@pytest.mark.timeout(120)
def test_two_writers_and_a_reader(tmp_path: Path) -> None:
    """Whoever opens the store meanwhile sees one of the two whole, and so does everybody afterwards."""
    prepare(tmp_path, ["3jqh"])
    fork = get_context("fork")
    writers = [fork.Process(target=write_often, args=(tmp_path, names)) for names in (["3jqh"], ["5i55", "1pfe"])]
    for writer in writers:
        writer.start()
    opened = set()
    while any(writer.is_alive() for writer in writers):
        opened.add(bench_core.open_origins(tmp_path).tags)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    opened.add(bench_core.open_origins(tmp_path).tags)
    assert opened <= {("3jqh",), ("1pfe", "5i55")}
    assert len(list(tmp_path.glob("store-*"))) == 1


def test_a_store_that_changed_is_not_reopened(tmp_path: Path) -> None:
    """A worker that opened another store than the main process would make other examples."""
    prepare(tmp_path, ["3jqh"])
    frozen = pickle.dumps(bench_core.open_origins(tmp_path))
    prepare(tmp_path, ["1a7g"])
    with pytest.raises(StoreError, match="prepared anew meanwhile"):
        pickle.loads(frozen)


def cut_origins(arrays: dict[str, Any]) -> None:
    arrays["origins_A"] = arrays["origins_A"][:, :2]


def stretch_offsets(arrays: dict[str, Any]) -> None:
    arrays["origin_offsets"] = arrays["origin_offsets"] * 7


def swap_offsets(arrays: dict[str, Any]) -> None:
    arrays["atom_offsets"][[0, 1]] = arrays["atom_offsets"][[1, 0]]


def widen(arrays: dict[str, Any]) -> None:
    arrays["atom_coords_A"] = arrays["atom_coords_A"].astype(np.float64)


def make_scalar(arrays: dict[str, Any]) -> None:
    arrays["atom_elements"] = np.array(5, np.uint8)


@pytest.mark.parametrize("damage", [cut_origins, stretch_offsets, swap_offsets, widen, make_scalar])
def test_arrays_of_another_shape_are_refused(folder: Path, tmp_path: Path, damage: Callable[..., None]) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    store = next(copy.glob("store-*"))
    arrays = {name: np.load(store / f"{name}.npy") for name in ARRAYS}
    damage(arrays)
    for name, array in arrays.items():
        np.save(store / f"{name}.npy", array)
    with pytest.raises(StoreError, match="again"):
        bench_core.open_origins(copy)


@pytest.mark.parametrize(
    "change",
    [
        *({"store": 5}, {"store": "../store"}, {"arrays": []}, {"arrays": {"tags": 1}}, {"structures": []}),
        *({"structures": {"a": 1}}, {"inputs": 3}, {"inputs": None}, {"versions": [1]}),
    ],
)
def test_manifests_of_another_type_are_refused(folder: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    write_manifest(copy, json.loads((copy / MANIFEST).read_text()) | change)
    with pytest.raises(StoreError, match="again"):
        bench_core.open_origins(copy)
    assert prepare(copy, ["3jqh"]).changed  # the remedy that the message names


def test_coordinates_that_cannot_be_stored_are_named(tmp_path: Path) -> None:
    far = Atoms(np.array([[0, 0, 0], [1e39, 0, 0]]), np.array([6, 6], np.uint8))
    with pytest.raises(StructureError, match=r"3jqh: atom 1 lies at \[1e\+39"):
        prepare_store({"3jqh": embedded_structure("3jqh")}, tmp_path, lambda _: far)
    assert not (tmp_path / MANIFEST).exists()


def test_rules_of_another_version_show(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    assert made_by_these_rules(manifest)
    assert not made_by_these_rules(manifest | {"versions": {"rules": RULES + 1}})
    assert not made_by_these_rules(manifest | {"parameters": {"radius_A": 4.0, "min_neighbours": 25.0}})

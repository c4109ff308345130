"""Build the memmap store from structure files: read, count neighbours, pack, and put in place in one rename."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt

from bench_core.atoms import Atoms
from bench_core.errors import StoreError, StructureError
from bench_core.origins.layout import ARRAYS, MANIFEST, SCHEMA, read_manifest, write_manifest
from bench_core.origins.neighbours import MIN_NEIGHBOURS, RADIUS_A, origins_among

if TYPE_CHECKING:
    from importlib.abc import Traversable

SUFFIXES = (".cif.gz", ".cif", ".mmcif", ".pdb.gz", ".pdb")
Progress = Callable[[int, int, str], None]
StructureFile = Union[Path, "Traversable"]
"""A structure file: a path, or a resource of the package."""


@dataclass(frozen=True)
class Prepared:
    """What `prepare_store` did."""

    path: Path
    changed: bool
    """False where the store was already up to date, and nothing was written."""
    n_structures: int
    n_atoms: int
    n_origins: int
    without_origins: tuple[str, ...]
    """Structures none of whose atoms is an origin: they are kept, but no view is drawn from them."""


def find_structures(folder: Path) -> dict[str, Path]:
    """Return the structure files of a folder by tag, the file name less its suffix.

    Raises:
        StructureError: no such folder, no structure files in it, or two files of one tag.
    """
    if not folder.is_dir():
        raise StructureError(f"{folder} is no folder: give --structures a folder of {', '.join(SUFFIXES)} files")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or not path.is_file():
            continue
        tag = path.name[: -len(suffix)]
        if tag in found:
            raise StructureError(f"{found[tag].name} and {path.name} in {folder} are both {tag!r}: keep one")
        found[tag] = path
    if not found:
        raise StructureError(f"{folder} holds no structure files ({', '.join(SUFFIXES)})")
    return found


def prepare_store(
    structures: Mapping[str, StructureFile],
    out: Path,
    read: Callable[[Any], Atoms],
    *,
    radius_A: float = RADIUS_A,
    min_neighbours: float = MIN_NEIGHBOURS,
    progress: Progress = lambda done, total, tag: None,
) -> Prepared:
    """Write the store of `structures` (tag -> file) into the folder `out`, or find that it is there already.

    The inputs' sha256 sums, the parameters and the versions decide whether anything is to be done. `progress` is
    called with (structures done, structures, tag).

    Raises:
        StructureError: a structure that cannot be read; the store that was there stays.
        StoreError: `out` cannot be written.
    """
    tags = sorted(structures, key=str.encode)
    wanted = {
        "inputs": {tag: hashlib.sha256(_content(structures[tag])).hexdigest() for tag in tags},
        "parameters": {"radius_A": radius_A, "min_neighbours": min_neighbours},
        "versions": _versions(),
    }
    present = _up_to_date(out, wanted)
    if present is not None:
        return _prepared(out, present, changed=False)
    parts = []
    for k, tag in enumerate(tags):
        progress(k, len(tags), tag)
        atoms = read(structures[tag])
        parts.append((atoms, origins_among(atoms, radius_A, min_neighbours)))
    progress(len(tags), len(tags), "")
    return _prepared(out, write_store(out, tags, parts, wanted), changed=True)


def write_store(
    out: Path, tags: list[str], parts: list[tuple[Atoms, npt.NDArray[np.float32]]], described: dict[str, Any]
) -> dict[str, Any]:
    """Pack (atoms, origins) of each tag into `out`, switch its manifest over, and return that.

    `described` (inputs, parameters, versions) goes into the manifest.

    Raises:
        StoreError: `tags` are not sorted by their UTF-8 bytes and distinct, or `out` cannot be written.
    """
    if any(a.encode() >= b.encode() for a, b in itertools.pairwise(tags)):
        raise StoreError("tags must be sorted by their UTF-8 bytes and distinct: look-ups by tag bisect them")
    arrays = _packed(tags, parts)
    structures = {tag: {"atoms": len(a), "origins": len(o)} for tag, (a, o) in zip(tags, parts, strict=True)}
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    store = f"store-{digest.hexdigest()[:12]}"
    try:
        files = _write_arrays(out, store, arrays)
        manifest = {"schema": SCHEMA, "kind": "memmap", "store": store, "arrays": files, "structures": structures}
        manifest |= described
        write_manifest(out, manifest)
        _remove_others(out, store)
    except OSError as error:
        raise StoreError(f"{out} cannot be written ({error.strerror or error}): choose another --out") from None
    return manifest


def _packed(tags: list[str], parts: list[tuple[Atoms, npt.NDArray[np.float32]]]) -> dict[str, npt.NDArray[Any]]:
    columns: dict[str, list[Any]] = {
        "origins_A": [origins_A for _, origins_A in parts],
        "atom_coords_A": [atoms.coords_A for atoms, _ in parts],
        "atom_elements": [atoms.elements for atoms, _ in parts],
        "atom_occupancies": [atoms.occupancies for atoms, _ in parts],
    }
    arrays = {name: _joined(column, ARRAYS[name], 3 if "_A" in name else 0) for name, column in columns.items()}
    arrays["tags"] = np.array([tag.encode() for tag in tags], dtype="S")
    arrays["origin_offsets"] = _offsets(columns["origins_A"])
    arrays["atom_offsets"] = _offsets(columns["atom_elements"])
    return {name: arrays[name] for name in ARRAYS}


def _joined(column: list[npt.NDArray[Any]], dtype: str, columns: int) -> npt.NDArray[Any]:
    empty = np.empty((0, columns) if columns else 0, dtype=dtype)
    return np.concatenate([empty, *column]).astype(dtype, copy=False)


def _offsets(column: Iterable[Any]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([len(part) for part in column], dtype="<i8")]).astype("<i8")


def _write_arrays(out: Path, store: str, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, dict[str, Any]]:
    """Write the .npy files into a temporary folder and rename it; return rows, bytes and sha256 of each array."""
    out.mkdir(parents=True, exist_ok=True)
    temporary = out / f".{store}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    files = {}
    try:
        for name, array in arrays.items():
            path = temporary / f"{name}.npy"
            np.save(path, array)
            files[name] = {
                "rows": len(array),
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        if not (out / store).exists():
            temporary.rename(out / store)
        else:  # of the same content, as its name says, but found damaged: mended file by file, never absent
            for path in temporary.iterdir():
                path.replace(out / store / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return files


def _remove_others(out: Path, store: str) -> None:
    """Remove store folders that no manifest names any more; maps that are open stay readable."""
    for folder in out.glob("store-*"):
        if folder.name != store:
            shutil.rmtree(folder, ignore_errors=True)


def _up_to_date(out: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest in `out` where it answers to `wanted` and every file is whole, else None."""
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file: give --out a folder")
    if not (out / MANIFEST).exists():
        return None
    try:
        manifest = read_manifest(out)
        if json.loads(json.dumps(wanted)) != {key: manifest.get(key) for key in wanted}:
            return None
        for name, file in manifest["arrays"].items():
            content = (out / manifest["store"] / f"{name}.npy").read_bytes()
            if hashlib.sha256(content).hexdigest() != file["sha256"]:
                return None
    except (StoreError, OSError, KeyError, TypeError, AttributeError):
        return None  # a damaged store is simply made again
    return manifest


def _prepared(out: Path, manifest: dict[str, Any], changed: bool) -> Prepared:
    structures = manifest["structures"]
    return Prepared(
        path=out,
        changed=changed,
        n_structures=len(structures),
        n_atoms=sum(s["atoms"] for s in structures.values()),
        n_origins=sum(s["origins"] for s in structures.values()),
        without_origins=tuple(tag for tag, s in structures.items() if not s["origins"]),
    )


def _content(structure: StructureFile) -> bytes:
    try:
        return structure.read_bytes()
    except OSError as error:
        raise StructureError(f"{structure}: {error.strerror or error}; check the path") from None


def _versions() -> dict[str, str]:
    """Return the versions that decide what a structure file is read as."""
    from importlib.metadata import version

    return {name: version(name) for name in ("bench_core", "gemmi")}

"""Build the memmap store from structure files: read, count neighbours, pack, and put in place in one rename."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from bench_core.atoms import Atoms
from bench_core.errors import StoreError, StructureError
from bench_core.origins.layout import MANIFEST, RULES, read_manifest
from bench_core.origins.neighbours import MIN_NEIGHBOURS, RADIUS_A, origins_among
from bench_core.origins.writer import write_store
from bench_core.structures import SUFFIXES

if TYPE_CHECKING:
    from importlib.abc import Traversable

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
    """Return the structure files of a folder by tag, the file name less its suffix; hidden files are left out.

    Raises:
        StructureError: no such folder, no structure files in it, two files of one tag, or a name that is not UTF-8.
    """
    found: dict[str, Path] = {}
    for path in _files_in(folder):
        suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith("."):
            continue
        tag = path.name[: -len(suffix)]
        if tag in found:
            raise StructureError(f"{found[tag].name} and {path.name} in {folder} are both {tag!r}: keep one")
        if not tag.isprintable():
            raise StructureError(f"{path.name!r} in {folder}: a name must be printable text; rename the file")
        found[tag] = path
    if not found:
        raise StructureError(f"{folder} holds no structure files ({', '.join(SUFFIXES)})")
    return found


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise StructureError(f"{folder}: {error.strerror or error}; give --structures a folder of structures") from None


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
    check_folder(out)
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
        atoms = _storable(tag, read(structures[tag]))
        parts.append((atoms, origins_among(atoms, radius_A, min_neighbours)))
    progress(len(tags), len(tags), "")
    return _prepared(out, write_store(out, tags, parts, wanted), changed=True)


def is_prepared(out: Path) -> bool:
    """Say whether there is a store in `out`, whole or not."""
    return (out / MANIFEST).exists()


def check_folder(out: Path) -> None:
    """Raise StoreError where `out` cannot be the folder of a store, before anything is read or written."""
    try:
        if out.exists() and not out.is_dir():
            raise StoreError(f"{out} is a file: give a folder")
        is_prepared(out)
    except OSError as error:
        raise StoreError(f"{out}: {error.strerror or error}; choose another folder") from None


def _storable(tag: str, atoms: Atoms) -> Atoms:
    """Return the atoms with float32 coordinates, as they are stored; neighbours are counted with those."""
    with np.errstate(over="ignore"):
        coords_A = atoms.coords_A.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(coords_A).all(axis=1))
    if len(bad):
        raise StructureError(f"{tag}: atom {bad[0]} lies at {atoms.coords_A[bad[0]].tolist()} A: no such molecule")
    return Atoms(coords_A, atoms.elements, atoms.occupancies)


def _up_to_date(out: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest in `out` where it answers to `wanted` and every file is whole, else None."""
    if not is_prepared(out):
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


def _versions() -> dict[str, str | int]:
    """Return what decides how a structure file is read and which of its atoms are origins."""
    from importlib.metadata import version

    return {"rules": RULES, "gemmi": version("gemmi")}


def made_by_these_rules(manifest: dict[str, Any]) -> bool:
    """Say whether a store was prepared by the rules of this version, with the usual parameters."""
    usual = {"radius_A": RADIUS_A, "min_neighbours": MIN_NEIGHBOURS}
    rules = (manifest.get("versions") or {}).get("rules")
    return rules == RULES and manifest.get("parameters") == usual

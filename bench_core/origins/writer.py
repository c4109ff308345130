"""Write a store: pack the arrays, put them in place, switch the manifest over. One writer at a time, no half states."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench_core.atoms import Atoms
from bench_core.errors import StoreError
from bench_core.origins.layout import ARRAYS, LOCK, SCHEMA, STORE_NAME, TEMPORARY, write_manifest

Part = tuple[Atoms, npt.NDArray[np.float32]]
"""The atoms of a structure, and the places of its origins: (n, 3) float32, Å."""


def write_store(out: Path, tags: list[str], parts: list[Part], described: dict[str, Any]) -> dict[str, Any]:
    """Pack (atoms, origins) of each tag into the folder `out`, switch its manifest over, and return that.

    `described` (inputs, parameters, versions) goes into the manifest.

    Raises:
        StoreError: `tags` are not sorted by their UTF-8 bytes and distinct, or `out` cannot be written.
    """
    if any(a.encode() >= b.encode() for a, b in itertools.pairwise(tags)):
        raise StoreError("tags must be sorted by their UTF-8 bytes and distinct: look-ups by tag bisect them")
    arrays = _packed(tags, parts)
    structures = {tag: {"atoms": len(a), "origins": len(o)} for tag, (a, o) in zip(tags, parts, strict=True)}
    store = _digest_name(arrays)
    manifest: dict[str, Any] = {"schema": SCHEMA, "kind": "memmap", "store": store, "structures": structures}
    try:
        with _one_writer(out):
            manifest |= described | {"arrays": _write_arrays(out, store, arrays)}
            write_manifest(out, manifest)
            _remove_others(out, store)
    except OSError as error:
        why = error.strerror or f"{error}; is the disk full?"
        raise StoreError(f"{out} cannot be written ({why}): choose another folder") from None
    return manifest


def _packed(tags: list[str], parts: list[Part]) -> dict[str, npt.NDArray[Any]]:
    columns: dict[str, list[Any]] = {
        "origins_A": [origins_A for _, origins_A in parts],
        "atom_coords_A": [atoms.coords_A for atoms, _ in parts],
        "atom_elements": [atoms.elements for atoms, _ in parts],
        "atom_occupancies": [atoms.occupancies for atoms, _ in parts],
    }
    arrays = {name: _joined(column, ARRAYS[name], columns=3 if "_A" in name else 0) for name, column in columns.items()}
    arrays["tags"] = np.array([tag.encode() for tag in tags], dtype="S")
    arrays["origin_offsets"] = _offsets(columns["origins_A"])
    arrays["atom_offsets"] = _offsets(columns["atom_elements"])
    return {name: arrays[name] for name in ARRAYS}


def _joined(column: list[npt.NDArray[Any]], dtype: str, columns: int) -> npt.NDArray[Any]:
    empty = np.empty((0, columns) if columns else 0, dtype=dtype)
    return np.concatenate([empty, *column]).astype(dtype, copy=False)


def _offsets(column: Iterable[Any]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([len(part) for part in column], dtype="<i8")]).astype("<i8")


def _digest_name(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Name a store by its content."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return f"store-{digest.hexdigest()[:12]}"


@contextmanager
def _one_writer(out: Path) -> Generator[None, None, None]:
    """Hold the lock of a store's folder; what writers left behind that were killed is removed first."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("a") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        except ImportError:  # Windows: writers are on their own
            pass
        _remove_leftovers(out)
        yield


def _remove_leftovers(out: Path) -> None:
    for leftover in out.glob(f"{TEMPORARY}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _write_arrays(out: Path, store: str, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, dict[str, Any]]:
    """Write the .npy files into a temporary folder and rename it; return shape, bytes and sha256 of each array."""
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=out))
    temporary.chmod(0o755)
    try:
        files = {name: _write_array(temporary / f"{name}.npy", array) for name, array in arrays.items()}
        if not (out / store).exists():
            temporary.rename(out / store)
        else:  # of the same content, as its name says, but found damaged: mended file by file, never absent
            for path in temporary.iterdir():
                path.replace(out / store / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return files


def _write_array(path: Path, array: npt.NDArray[Any]) -> dict[str, Any]:
    np.save(path, array)
    content = path.read_bytes()
    return {"shape": list(array.shape), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _remove_others(out: Path, store: str) -> None:
    """Remove the stores that no manifest names any more; maps that are open stay readable.

    Only folders named as ours are, holding nothing but our arrays: `out` may be a folder of the user's.
    """
    ours = {f"{name}.npy" for name in ARRAYS}
    for folder in out.glob("store-*"):
        if folder.name == store or not STORE_NAME.fullmatch(folder.name) or not folder.is_dir():
            continue
        if {path.name for path in folder.iterdir()} <= ours:
            shutil.rmtree(folder, ignore_errors=True)

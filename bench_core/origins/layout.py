"""Files of a prepared store: names, shapes, the manifest, and how it is replaced without a half-written state.

    DIR/bench_core_store.json    which store folder is the current one, from which inputs it was made, and with what
    DIR/store-<digest12>/        one .npy file per array, little-endian
        origins_A.npy            (origins, 3) float32, sorted by tag
        origin_offsets.npy       (tags + 1,) int64: the origins of tag t are rows offsets[t]:offsets[t + 1]
        tags.npy                 (tags,) fixed-width UTF-8 bytes, sorted
        atom_coords_A.npy        (atoms, 3) float32
        atom_elements.npy        (atoms,) uint8 atomic numbers
        atom_occupancies.npy     (atoms,) float32
        atom_offsets.npy         (tags + 1,) int64

The manifest is renamed into place last: whoever opens the store sees the old one whole or the new one whole. A lock
keeps two writers apart; a reader that loses its folder to a writer between two steps reads the manifest again.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from bench_core.errors import StoreError

SCHEMA = 1
RULES = 1
"""Raised by hand when another rule decides which atoms are kept or which of them are origins."""

MANIFEST = "bench_core_store.json"
TEMPORARY = ".bench_core_store-"
"""How the names of unfinished files and folders begin."""

LOCK = ".bench_core_store.lock"
STORE_NAME = re.compile(r"store-[0-9a-f]{12}")
ARRAYS: dict[str, str] = {
    "origins_A": "<f4",
    "origin_offsets": "<i8",
    "tags": "S",
    "atom_coords_A": "<f4",
    "atom_elements": "|u1",
    "atom_occupancies": "<f4",
    "atom_offsets": "<i8",
}
"""Array names and their dtypes, as in the .npy files; "S" stands for bytes of any width."""

AGAIN = "run `python -m bench_core prepare` again"


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest by temp name and rename."""
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=TEMPORARY, delete=False, encoding="utf-8") as file:
        temporary = Path(file.name)
        try:
            file.write(json.dumps(manifest, indent=1) + "\n")
            file.flush()
            temporary.chmod(0o644)
            temporary.replace(folder / MANIFEST)
        finally:
            temporary.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the store in `folder`.

    Raises:
        StoreError: nothing prepared there, an unreadable manifest, or one of another version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"nothing prepared in {folder}: run `python -m bench_core prepare --out {folder}`") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}): {AGAIN}") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        raise StoreError(f"{path} has schema {found!r}, this version reads {SCHEMA}: {AGAIN}")
    missing = {"store", "arrays", "inputs", "structures"} - manifest.keys()
    if missing:
        raise StoreError(f"{path} lacks {', '.join(sorted(missing))}: {AGAIN}")
    if not STORE_NAME.fullmatch(str(manifest["store"])):
        raise StoreError(f"{path} names no store folder: {AGAIN}")
    tables = [manifest[key] for key in ("arrays", "inputs", "structures")]
    tables += [manifest.get(key) or {} for key in ("parameters", "versions")]
    if not all(isinstance(table, dict) for table in tables) or not all(map(_counted, manifest["structures"].values())):
        raise StoreError(f"{path} is damaged: {AGAIN}")
    return manifest


def _counted(structure: Any) -> bool:
    return isinstance(structure, dict) and all(isinstance(structure.get(key), int) for key in ("atoms", "origins"))

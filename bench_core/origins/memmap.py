"""The default store: NumPy arrays mapped into memory.

Look-ups are slices of the page cache: nothing is copied or decoded, forked workers share the pages, and spawned ones
map the same files again.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench_core.atoms import Atoms
from bench_core.errors import MissingOriginError, StoreError
from bench_core.origins.layout import AGAIN, ARRAYS, read_manifest
from bench_core.origins.protocol import Origin, checked_origin_id


class MemmapStore:
    """Origins and atoms in memory-mapped .npy files (see `layout`)."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Map the store that `prepare` wrote at `path`.

        Raises:
            StoreError: nothing prepared there, or a file that is missing, cut short or of another shape.
        """
        self.path = Path(path)
        self.manifest, arrays = _open_current(self.path)
        self._origins_A = arrays["origins_A"]
        self._origin_offsets = arrays["origin_offsets"]
        self._atom_coords_A = arrays["atom_coords_A"]
        self._atom_elements = arrays["atom_elements"]
        self._atom_occupancies = arrays["atom_occupancies"]
        # No Python object per tag: a reference count written by a forked worker would copy the page it lies on.
        self._tag_bytes = arrays["tags"]
        self._atom_offsets = arrays["atom_offsets"]
        self._last_tag: tuple[str | None, int] = (None, -1)

    def __len__(self) -> int:
        return len(self._origins_A)

    def __repr__(self) -> str:
        return f"MemmapStore({str(self.path)!r}: {len(self)} origins, {len(self._tag_bytes)} structures)"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.path, self.manifest["store"]))

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of all structures, sorted."""
        return tuple(tag.decode() for tag in self._tag_bytes.tolist())

    def origin(self, i: int) -> Origin:
        """Return origin `i` (0 to len - 1).

        Raises:
            MissingOriginError: there is no such id; names the id and the range.
        """
        i = checked_origin_id(i, len(self._origins_A), self.path)
        t = int(self._origin_offsets.searchsorted(i, side="right")) - 1
        tag = self._tag_bytes[t].decode()
        self._last_tag = (tag, t)
        return Origin(i, tag, self._origins_A[i])

    def origins_of(self, tag: str) -> npt.NDArray[np.float32]:
        """Return the (n, 3) float32 places, Å, of a tag's origins, a view of the map.

        Raises:
            MissingOriginError: no such tag.
        """
        t = self._tag_index(tag)
        return self._origins_A[self._origin_offsets[t] : self._origin_offsets[t + 1]]

    def atoms_of(self, tag: str) -> Atoms:
        """Return the atoms of a tag, views of the map.

        Raises:
            MissingOriginError: no such tag.
        """
        t = self._tag_index(tag)
        rows = slice(self._atom_offsets[t], self._atom_offsets[t + 1])
        return Atoms(self._atom_coords_A[rows], self._atom_elements[rows], self._atom_occupancies[rows])

    def sample(self, rng: np.random.Generator) -> Origin:
        """Draw an origin uniformly.

        Raises:
            MissingOriginError: the store has no origins.
        """
        if not len(self):
            raise MissingOriginError(f"no origin to sample: {self.path} holds no origins")
        return self.origin(int(rng.integers(len(self._origins_A))))

    def _tag_index(self, tag: str) -> int:
        # An example asks for one tag several times in a row: origin, origins_of, atoms_of.
        last, t = self._last_tag
        if tag == last:
            return t
        key = tag.encode()
        t = int(self._tag_bytes.searchsorted(key))
        if t == len(self._tag_bytes) or self._tag_bytes[t] != key:
            raise MissingOriginError(f"no structure {tag!r} in {self.path}: it holds {len(self._tag_bytes)}")
        self._last_tag = (tag, t)
        return t


def _reopened(path: Path, store: str) -> MemmapStore:
    """Open the store in another process; it must be the one that was pickled, or examples would differ."""
    opened = MemmapStore(path)
    if opened.manifest["store"] != store:
        raise StoreError(f"{path} was prepared anew meanwhile ({store} is now {opened.manifest['store']}): start again")
    return opened


def _open_current(path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read the manifest and map what it names; again if a writer switched the store over in between."""
    manifest = read_manifest(path)
    try:
        arrays = {name: _open_array(path, manifest, name) for name in ARRAYS}
        _check_offsets(path, arrays)
    except StoreError:
        if read_manifest(path) == manifest:
            raise
        return _open_current(path)
    return manifest, arrays


def _open_array(folder: Path, manifest: dict[str, Any], name: str) -> npt.NDArray[Any]:
    """Map one array of the store and hold it against the manifest."""
    path = folder / manifest["store"] / f"{name}.npy"
    try:
        shape = tuple(manifest["arrays"][name]["shape"])
        # An empty file cannot be mapped; an array without rows can be read.
        mapped = np.load(path, mmap_mode="r" if shape[0] else None)
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError) as error:
        raise StoreError(f"{path} cannot be mapped ({error}): {AGAIN}") from None
    dtype = ARRAYS[name]
    if mapped.shape != shape or (mapped.dtype.kind != "S" if dtype == "S" else mapped.dtype != np.dtype(dtype)):
        raise StoreError(f"{path} holds {mapped.dtype} {mapped.shape}, not {dtype} {shape}: {AGAIN}")
    # np.memmap's own indexing is 5x slower than the plain array's; the map stays alive as its base.
    return np.asarray(mapped.view(np.ndarray))


def _check_offsets(folder: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Refuse offsets that do not cut the rows into one stretch per tag: they would give atoms to other structures."""
    for offsets, rows in (("origin_offsets", "origins_A"), ("atom_offsets", "atom_elements")):
        given = arrays[offsets]
        fine = given.shape == (len(arrays["tags"]) + 1,) and given[0] == 0 and given[-1] == len(arrays[rows])
        if not fine or (np.diff(given) < 0).any():
            raise StoreError(f"{folder}: {offsets} do not fit {rows} and tags: {AGAIN}")

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
        self.manifest: dict[str, Any] = read_manifest(self.path)
        arrays = {name: _open_array(self.path, self.manifest, name) for name in ARRAYS}
        self._origins_A = arrays["origins_A"]
        self._origin_offsets = arrays["origin_offsets"]
        self._atom_coords_A = arrays["atom_coords_A"]
        self._atom_elements = arrays["atom_elements"]
        self._atom_occupancies = arrays["atom_occupancies"]
        # No Python object per tag: a reference count written by a forked worker would copy the page it lies on.
        self._tag_bytes = arrays["tags"]
        self._atom_offsets = arrays["atom_offsets"]
        self._last_tag = ("", -1)

    def __len__(self) -> int:
        return len(self._origins_A)

    def __repr__(self) -> str:
        return f"MemmapStore({str(self.path)!r}: {len(self)} origins, {len(self._tag_bytes)} structures)"

    def __reduce__(self) -> tuple[type[MemmapStore], tuple[Path]]:
        return (type(self), (self.path,))

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
        if not tag or t == len(self._tag_bytes) or self._tag_bytes[t] != key:
            raise MissingOriginError(f"no structure {tag!r} in {self.path}: it holds {len(self._tag_bytes)}")
        self._last_tag = (tag, t)
        return t


def _open_array(folder: Path, manifest: dict[str, Any], name: str) -> npt.NDArray[Any]:
    """Map one array of the store and hold it against the manifest."""
    path = folder / manifest["store"] / f"{name}.npy"
    try:
        # An empty file cannot be mapped; an array without rows can be read.
        mapped = np.load(path, mmap_mode="r" if manifest["arrays"][name]["rows"] else None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be mapped ({error}): {AGAIN}") from None
    rows, dtype = manifest["arrays"][name]["rows"], ARRAYS[name]
    if len(mapped) != rows or (mapped.dtype.kind != "S" if dtype == "S" else mapped.dtype != np.dtype(dtype)):
        raise StoreError(f"{path} holds {len(mapped)} rows of {mapped.dtype}, not {rows} of {dtype}: {AGAIN}")
    # np.memmap's own indexing is 5x slower than the plain array's; the map stays alive as its base.
    return np.asarray(mapped.view(np.ndarray))

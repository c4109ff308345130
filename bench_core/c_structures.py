"""Structures as the C code reads them: pointers to their arrays, and to the frames of views."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench_core._voxelizer import ffi
from bench_core.errors import VoxelError
from bench_core.voxel_inputs import AtomArrays, FloatArray, check_atom_arrays, check_frame

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# Looked up once: types by name cost more than the pointers themselves.
_VIEWS, _CHARS = ffi.typeof("struct voxelizer_view[]"), ffi.typeof("char[]")
_BYTES, _DOUBLES = ffi.typeof("uint8_t[]"), ffi.typeof("double[]")


class Columns(NamedTuple):
    """The arrays of a structure."""

    coords_A: FloatArray
    elements: NDArray[np.uint8]
    occupancies: FloatArray


class CStructures:
    """An array of `struct voxelizer_view`, and whatever it points to: keep it until C is done."""

    def __init__(self, capacity: int) -> None:
        self.array: Any = ffi.new(_VIEWS, capacity)
        self.columns: list[Columns] = []
        """The arrays that C sees, of each structure."""
        self._pointers: list[tuple[Any, ...]] = []

    def append(self, atoms: AtomArrays, frame: ArrayLike | None = None) -> None:
        """Add a structure, as seen in `frame`; arrays are copied only where C cannot read them as they are.

        Raises:
            VoxelError: see `check_atom_arrays` and `check_frame`; coordinates or occupancies that are no real numbers.
                Values are not checked.
        """
        # Each is read once: a property may give another array the next time, and C must see the one that was checked.
        given = Columns(atoms.coords_A, atoms.elements, atoms.occupancies)
        check_atom_arrays(given)
        coords_A, occupancies = _floats("coords_A", given.coords_A), _floats("occupancies", given.occupancies)
        elements, rigid = np.ascontiguousarray(given.elements), check_frame(frame)
        pointers = (
            ffi.from_buffer(_CHARS, coords_A),
            ffi.from_buffer(_BYTES, elements),
            ffi.from_buffer(_CHARS, occupancies),
            ffi.NULL if rigid is None else ffi.from_buffer(_DOUBLES, rigid),
        )
        structure = self.array[len(self.columns)]
        structure.n_atoms = len(elements)
        structure.coords_A, structure.elements, structure.occupancies, structure.frame = pointers
        structure.coords_are_float64 = coords_A.dtype == _FLOAT64
        structure.occupancies_are_float64 = occupancies.dtype == _FLOAT64
        self._pointers.append(pointers)
        self.columns.append(Columns(coords_A, elements, occupancies))


def _floats(name: str, values: FloatArray) -> FloatArray:
    """float32 or float64, aligned, C-contiguous; a copy only if it must."""
    if (values.dtype == _FLOAT32 or values.dtype == _FLOAT64) and values.flags.c_contiguous and values.flags.aligned:
        return values
    if values.dtype.kind not in "fiub":
        raise VoxelError(f"{name} must hold real numbers, not {values.dtype}")
    return np.require(values, None if values.dtype == _FLOAT32 else _FLOAT64, ["C", "A"])

"""Atoms: a structure of arrays, and nothing per atom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core.elements import ATOMIC_NUMBERS, SYMBOLS
from bench_core.errors import VoxelError

if TYPE_CHECKING:
    import numpy.typing as npt

    Coords = npt.NDArray[np.float32] | npt.NDArray[np.float64]
    Elements = npt.NDArray[np.uint8]
    Occupancies = npt.NDArray[np.float32]
    ArrowTable = Any  # pyarrow ships no types
    Rows = slice | npt.NDArray[np.bool_] | npt.NDArray[np.integer[Any]] | Sequence[int]

_LIST_COLUMN = "coord_A"
_NUMBER_COLUMNS = ("x", "y", "z")


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Atoms:
    """N atoms as three arrays of equal length; N may be 0.

    Attributes:
        coords_A: (N, 3) float32 or float64, Cartesian coordinates in angstroms.
        elements: (N,) uint8, atomic numbers; 0 is the unknown element "X".
        occupancies: (N,) float32; all ones where none are given.

    The arrays are kept, not copied, and may be read-only, strided or memory-mapped. Only shapes and types are checked
    here, because an example slices its atoms several times: whoever uses the numbers checks the numbers.

    Raises:
        VoxelError: an array has another shape or type. It is the BenchCoreError that is also a ValueError.
    """

    coords_A: Coords
    elements: Elements
    occupancies: Occupancies

    def __init__(self, coords_A: Coords, elements: Elements, occupancies: Occupancies | None = None) -> None:
        """Check and keep the arrays; see the class for shapes and errors."""
        n_atoms = _check_coords(coords_A)
        _check_column("elements", elements, np.uint8, n_atoms)
        if occupancies is None:
            occupancies = np.ones(n_atoms, np.float32)
        _check_column("occupancies", occupancies, np.float32, n_atoms)
        _fill(self, coords_A, elements, occupancies)

    @classmethod
    def from_elements(
        cls, coords_A: npt.ArrayLike, symbols: Sequence[str], occupancies: npt.ArrayLike | None = None
    ) -> Atoms:
        """Build from element symbols in any case, such as ["C", "SE", "Zn"].

        `coords_A` is anything of shape (N, 3); float32 stays float32 and every other type becomes float64.

        Raises:
            VoxelError: a symbol names no element (the message names row and symbol), or a shape is wrong.
        """
        coords = np.asarray(coords_A)
        if coords.dtype != np.float32:
            coords = _as_floats("coords_A", coords_A, np.float64)
        if coords.size == 0:
            coords = coords.reshape(-1, 3)
        weights = None if occupancies is None else _as_floats("occupancies", occupancies, np.float32)
        return cls(coords, elements_from_symbols(symbols), weights)

    @classmethod
    def from_arrow(
        cls,
        table: Any,
        *,
        coords: str | tuple[str, str, str] | None = None,
        element: str = "element",
        occupancy: str = "occupancy",
    ) -> Atoms:
        """Build from a pyarrow table, a polars frame, or any object with `__arrow_c_stream__` or `__arrow_c_array__`.

        Args:
            table: the atoms, one per row. Chunks are joined.
            coords: a column of lists of three numbers, or the names of three columns of numbers; by default
                "coord_A" where there is one, else ("x", "y", "z").
            element: a column of symbols (strings, or dictionary-encoded strings) or of integer atomic numbers.
            occupancy: a column of numbers; all ones where the table has no such column.

        No copy is made of a fixed-size list column of float32 or float64, of uint8 elements, and of float32
        occupancies, where the column is a single chunk: those arrays are then read-only views of Arrow's memory.
        Three separate columns x, y, z are copied into one (N, 3) array: float32 if all three are, else float64.

        Raises:
            VoxelError: a column is missing, holds a null or has a type that cannot be used (the message names column
                and row), or pyarrow is not installed.
        """
        arrow = _arrow_table(table)
        coords = coords or (_LIST_COLUMN if _LIST_COLUMN in arrow.column_names else _NUMBER_COLUMNS)
        xyz = _arrow_coords(arrow, coords)
        weights = None
        if occupancy in arrow.column_names:
            weights = _numpy(occupancy, _arrow_column(arrow, occupancy), np.float32)
        return cls(xyz, _arrow_elements(arrow, element), weights)

    @classmethod
    def concatenate(cls, parts: Sequence[Atoms]) -> Atoms:
        """Join several sets of atoms, in order; no parts give no atoms. Mixed coordinate types give float64."""
        if not parts:
            return cls(np.empty((0, 3), np.float32), np.empty(0, np.uint8))
        return _unchecked(
            np.concatenate([part.coords_A for part in parts]),
            np.concatenate([part.elements for part in parts]),
            np.concatenate([part.occupancies for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.elements)

    def __getitem__(self, rows: Rows) -> Atoms:
        """Select atoms by slice (views), boolean mask or integer array (copies).

        Raises:
            TypeError: `rows` is a single integer; there is no object for a single atom.
            IndexError: as numpy, for a mask of another length or a row outside.
        """
        if isinstance(rows, (int, np.integer)):
            raise TypeError(f"atoms[{rows}]: a single atom has no object; use atoms[{rows}:{rows + 1}]")
        return _unchecked(self.coords_A[rows], self.elements[rows], self.occupancies[rows])

    def __repr__(self) -> str:
        numbers, counts = np.unique(self.elements, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        formula = " ".join(f"{_symbol(int(numbers[i]))}{counts[i]}" for i in order)
        return f"<Atoms: {len(self)} ({formula or 'none'}), {self.coords_A.dtype}>"


def elements_from_symbols(symbols: Sequence[str | None]) -> Elements:
    """Return the (N,) uint8 atomic numbers of element symbols in any case.

    Raises:
        VoxelError: a symbol names no element; the message names the row.
    """
    numbers = {symbol: _number(symbol) for symbol in set(symbols)}
    if None in numbers.values():
        row, bad = next((i, s) for i, s in enumerate(symbols) if numbers[s] is None)
        raise VoxelError(f'atom {row}: {bad!r} is not an element symbol; give a symbol such as "C", or "X" for unknown')
    return np.array([numbers[symbol] for symbol in symbols], np.uint8)


def _number(symbol: object) -> int | None:
    return ATOMIC_NUMBERS.get(symbol.strip().upper()) if isinstance(symbol, str) else None


def _symbol(number: int) -> str:
    return SYMBOLS[number] if number < len(SYMBOLS) else f"#{number}"


def _unchecked(coords_A: Coords, elements: Elements, occupancies: Occupancies) -> Atoms:
    """Skip the checks for arrays that were checked already: slicing is on the hot path."""
    atoms = object.__new__(Atoms)
    _fill(atoms, coords_A, elements, occupancies)
    return atoms


def _fill(atoms: Atoms, coords_A: Coords, elements: Elements, occupancies: Occupancies) -> None:
    # A frozen dataclass refuses plain assignment, also to its own constructor.
    object.__setattr__(atoms, "coords_A", coords_A)
    object.__setattr__(atoms, "elements", elements)
    object.__setattr__(atoms, "occupancies", occupancies)


def _check_coords(coords_A: object) -> int:
    if not isinstance(coords_A, np.ndarray) or coords_A.dtype not in (np.float32, np.float64):
        raise VoxelError(f"coords_A must be a float32 or float64 array, got {_kind(coords_A)}; use numpy.asarray")
    if coords_A.ndim != 2 or coords_A.shape[1] != 3:
        raise VoxelError(f"coords_A must have shape (N, 3), got {coords_A.shape}")
    return len(coords_A)


def _check_column(name: str, column: object, dtype: type[np.generic], n_atoms: int) -> None:
    if not isinstance(column, np.ndarray) or column.dtype != dtype:
        raise VoxelError(f"{name} must be a {dtype.__name__} array, got {_kind(column)}; use numpy.asarray")
    if column.shape != (n_atoms,):
        raise VoxelError(f"{name} must have shape ({n_atoms},) to match coords_A, got {column.shape}")


def _kind(value: object) -> str:
    return f"a {value.dtype} array" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _as_floats(name: str, values: npt.ArrayLike, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
    try:
        return np.asarray(values, dtype)
    except (TypeError, ValueError) as error:
        raise VoxelError(f"{name} must be numbers: {error}") from None


def _arrow_table(table: Any) -> ArrowTable:
    try:
        import pyarrow as pa
    except ImportError:
        raise VoxelError("Atoms.from_arrow needs pyarrow; pip install 'bench_core[arrow]'") from None
    if not (hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__")):
        raise VoxelError(
            f"from_arrow takes a table with __arrow_c_stream__, got {_kind(table)}; pass pyarrow.table(...)"
        )
    return pa.table(table)


def _arrow_column(table: ArrowTable, name: str) -> Any:
    """Return one column as a single Arrow array without nulls; a lone chunk is not copied."""
    if name not in table.column_names:
        raise VoxelError(f"the table has no column {name!r}, only {table.column_names}; name it with an argument")
    column = table.column(name)
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if array.null_count:
        row = array.is_null().index(True).as_py()
        raise VoxelError(f"column {name!r}, row {row}: null; drop or fill the nulls first")
    return array


def _arrow_coords(table: ArrowTable, coords: str | tuple[str, str, str]) -> Coords:
    if not isinstance(coords, str):
        arrays = [_arrow_column(table, name) for name in coords]
        dtype = np.float32 if all(array.type == "float" for array in arrays) else np.float64
        return np.column_stack([_numpy(name, array, dtype) for name, array in zip(coords, arrays, strict=True)])
    array = _arrow_column(table, coords)
    values = _arrow_list_values(coords, array)
    numbers = _numpy(coords, values, np.float32 if values.type == "float" else np.float64)
    return numbers.reshape(-1, 3)


def _arrow_list_values(name: str, array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not hasattr(array.type, "value_type") or pa.types.is_dictionary(array.type):
        raise VoxelError(f"column {name!r} must hold lists of three numbers, not {array.type}")
    lengths = pc.list_value_length(array)
    if pc.any(pc.not_equal(lengths, 3)).as_py():
        row = pc.not_equal(lengths, 3).index(True).as_py()
        raise VoxelError(f"column {name!r}, row {row}: {lengths[row]} numbers instead of three")
    values = array.flatten()
    if values.null_count:
        row = values.is_null().index(True).as_py() // 3
        raise VoxelError(f"column {name!r}, row {row}: null; drop or fill the nulls first")
    return values


def _numpy(name: str, array: Any, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
    """Return an Arrow array of numbers as numpy: a view where the type is `dtype` already."""
    import pyarrow as pa

    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
        raise VoxelError(f"column {name!r} must hold numbers, not {array.type}; cast it first")
    numbers: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
    return numbers


def _arrow_elements(table: ArrowTable, name: str) -> Elements:
    import pyarrow as pa

    array = _arrow_column(table, name)
    if pa.types.is_integer(array.type):
        return _checked_numbers(name, array.to_numpy(zero_copy_only=False))
    if not pa.types.is_dictionary(array.type):
        # Categories first, so that each symbol is looked up once and not once per atom.
        array = array.dictionary_encode()
    symbols = array.dictionary.to_pylist()
    try:
        numbers = elements_from_symbols(symbols)
    except VoxelError:
        codes = array.indices.to_numpy(zero_copy_only=False)
        return elements_from_symbols([symbols[code] for code in codes])
    elements: Elements = numbers[array.indices.to_numpy(zero_copy_only=False)]
    return elements


def _checked_numbers(name: str, numbers: npt.NDArray[Any]) -> Elements:
    outside = (numbers < 0) | (numbers >= len(SYMBOLS))
    if outside.any():
        row = int(outside.argmax())
        raise VoxelError(f"column {name!r}, row {row}: {numbers[row]} is no atomic number (0 to {len(SYMBOLS) - 1})")
    elements: Elements = numbers.astype(np.uint8, copy=False)
    return elements

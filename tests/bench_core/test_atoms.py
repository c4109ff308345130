"""Atoms: what the constructor refuses, slicing, symbols, and tables over the Arrow interface."""

from __future__ import annotations

import copy
import itertools
import pickle
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.atoms import Atoms
from bench_core.elements import SYMBOLS
from bench_core.errors import BenchCoreError, VoxelError

N_ATOMS = 5


@pytest.fixture
def atoms() -> Atoms:
    coords_A = np.arange(3 * N_ATOMS, dtype=np.float32).reshape(-1, 3)
    return Atoms(coords_A, np.array([6, 7, 8, 16, 34], np.uint8), np.linspace(0, 1, N_ATOMS, dtype=np.float32))


def assert_same(a: Atoms, b: Atoms) -> None:
    np.testing.assert_array_equal(a.coords_A, b.coords_A)
    np.testing.assert_array_equal(a.elements, b.elements)
    np.testing.assert_array_equal(a.occupancies, b.occupancies)


class TestConstructor:
    def test_keeps_the_arrays_without_a_copy(self, atoms: Atoms) -> None:
        again = Atoms(atoms.coords_A, atoms.elements, atoms.occupancies)
        assert again.coords_A is atoms.coords_A
        assert again.elements is atoms.elements
        assert again.occupancies is atoms.occupancies

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_occupancies_default_to_one(self, dtype: Any) -> None:
        atoms = Atoms(np.zeros((2, 3), dtype), np.array([6, 7], np.uint8))
        assert atoms.occupancies.tolist() == [1, 1]
        assert atoms.occupancies.dtype == np.float32

    def test_no_atoms(self) -> None:
        atoms = Atoms(np.empty((0, 3)), np.empty(0, np.uint8))
        assert len(atoms) == 0
        assert len(atoms[:10]) == 0
        assert repr(atoms) == "<Atoms: 0 (none), float64>"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"coords_A": np.zeros((5, 2), np.float32)}, r"coords_A must have shape \(N, 3\), got \(5, 2\)"),
            ({"coords_A": np.zeros(15, np.float32)}, r"coords_A must have shape \(N, 3\), got \(15,\)"),
            (
                {"coords_A": np.zeros((5, 3), np.int64)},
                "coords_A must be a float32 or float64 array, got a int64 array",
            ),
            ({"coords_A": [[0.0, 0.0, 0.0]] * 5}, "coords_A must be .* got a list"),
            ({"elements": np.zeros(4, np.uint8)}, r"elements must have shape \(5,\) to match coords_A, got \(4,\)"),
            ({"elements": np.zeros(5, np.int64)}, "elements must be a uint8 array, got a int64 array"),
            ({"occupancies": np.zeros(5)}, "occupancies must be a float32 array, got a float64 array"),
            ({"occupancies": np.zeros((5, 1), np.float32)}, r"occupancies must have shape \(5,\)"),
        ],
    )
    def test_refuses(self, atoms: Atoms, change: dict[str, Any], message: str) -> None:
        arrays = {"coords_A": atoms.coords_A, "elements": atoms.elements, "occupancies": atoms.occupancies} | change
        with pytest.raises(VoxelError, match=message) as caught:
            Atoms(**arrays)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, BenchCoreError)

    def test_is_frozen_and_has_no_dict(self, atoms: Atoms) -> None:
        with pytest.raises(AttributeError):
            atoms.elements = atoms.elements  # type: ignore[misc]
        assert not hasattr(atoms, "__dict__")

    def test_pickle_and_copy(self, atoms: Atoms) -> None:
        assert_same(pickle.loads(pickle.dumps(atoms)), atoms)
        assert_same(copy.deepcopy(atoms), atoms)


class TestSelection:
    def test_slice_is_a_view(self, atoms: Atoms) -> None:
        part = atoms[1:3]
        assert len(part) == 2
        assert np.shares_memory(part.coords_A, atoms.coords_A)
        assert part.elements.tolist() == [7, 8]

    def test_mask_and_indices_agree(self, atoms: Atoms) -> None:
        mask = np.array([True, False, True, False, True])
        assert_same(atoms[mask], atoms[np.flatnonzero(mask)])
        assert_same(atoms[mask], atoms[[0, 2, 4]])

    def test_a_single_atom_is_refused(self, atoms: Atoms) -> None:
        with pytest.raises(TypeError, match=r"use atoms\[3:4\]"):
            atoms[np.int64(3)]

    def test_a_mask_of_another_length_is_refused(self, atoms: Atoms) -> None:
        with pytest.raises(IndexError):
            atoms[np.ones(4, bool)]

    @given(st.lists(st.integers(0, N_ATOMS), max_size=4))
    def test_concatenation_undoes_slicing(self, cuts: list[int]) -> None:
        atoms = Atoms.from_elements(np.arange(3.0 * N_ATOMS).reshape(-1, 3), ["C", "N", "O", "S", "SE"])
        edges = [0, *sorted(cuts), N_ATOMS]
        parts = [atoms[a:b] for a, b in itertools.pairwise(edges)]
        assert_same(Atoms.concatenate(parts), atoms)

    def test_concatenation_of_nothing(self) -> None:
        assert len(Atoms.concatenate([])) == 0


class TestSymbols:
    @given(st.lists(st.sampled_from(SYMBOLS)), st.sampled_from([str.upper, str.lower, str.title, " {} ".format]))
    def test_any_case(self, symbols: list[str], spell: Any) -> None:
        atoms = Atoms.from_elements(np.zeros((len(symbols), 3)), [spell(symbol) for symbol in symbols])
        assert [SYMBOLS[number] for number in atoms.elements] == symbols

    def test_types(self) -> None:
        assert Atoms.from_elements(np.zeros((1, 3), np.float32), ["C"]).coords_A.dtype == np.float32
        assert Atoms.from_elements([[1, 2, 3]], ["C"], [0.5]).coords_A.dtype == np.float64
        assert Atoms.from_elements([], []).coords_A.shape == (0, 3)

    @pytest.mark.parametrize("bad", ["QQ", "", "C1", None, 6])
    def test_an_unknown_symbol_names_its_row(self, bad: Any) -> None:
        with pytest.raises(VoxelError, match=f"^atom 2: {bad!r} is not an element symbol"):
            Atoms.from_elements(np.zeros((4, 3)), ["C", "N", bad, bad])

    def test_coordinates_that_are_no_numbers(self) -> None:
        with pytest.raises(VoxelError, match="coords_A must be numbers"):
            Atoms.from_elements([["a", "b", "c"]], ["C"])

    def test_wrong_counts(self) -> None:
        with pytest.raises(VoxelError, match=r"elements must have shape \(2,\)"):
            Atoms.from_elements(np.zeros((2, 3)), ["C"])


class StreamOnly:
    """A table of another library: only the capsule interface is there."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class ArrayOnly:
    """A record batch of another library."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self.batch.__arrow_c_array__(requested_schema)


class TestArrow:
    @pytest.fixture(autouse=True)
    def _pyarrow(self) -> None:
        self.pa = pytest.importorskip("pyarrow")

    def table(self, **changes: Any) -> Any:
        columns = {
            "x": self.pa.array([0.0, 3, 6, 9, 12], self.pa.float32()),
            "y": self.pa.array([1.0, 4, 7, 10, 13], self.pa.float32()),
            "z": self.pa.array([2.0, 5, 8, 11, 14], self.pa.float32()),
            "element": ["C", "N", "O", "s", "Se"],
            "occupancy": np.linspace(0, 1, N_ATOMS, dtype=np.float32),
        }
        return self.pa.table({name: column for name, column in (columns | changes).items() if column is not None})

    def list_column(self, coords_A: Any) -> Any:
        return self.pa.FixedSizeListArray.from_arrays(self.pa.array(np.ravel(coords_A)), 3)

    def test_three_columns(self, atoms: Atoms) -> None:
        result = Atoms.from_arrow(self.table())
        assert_same(result, atoms)
        assert result.coords_A.dtype == np.float32

    @pytest.mark.parametrize("wrap", [StreamOnly, lambda table: ArrayOnly(table.combine_chunks().to_batches()[0])])
    def test_any_producer_of_capsules(self, wrap: Any, atoms: Atoms) -> None:
        assert_same(Atoms.from_arrow(wrap(self.table())), atoms)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_a_list_column_is_not_copied(self, atoms: Atoms, dtype: Any) -> None:
        coords_A = atoms.coords_A.astype(dtype)
        elements, occupancies = atoms.elements, atoms.occupancies
        table = self.pa.table({"coord_A": self.list_column(coords_A), "element": elements, "occupancy": occupancies})
        result = Atoms.from_arrow(table)
        assert_same(result, atoms)
        assert result.coords_A.dtype == dtype
        assert np.shares_memory(result.coords_A, coords_A)
        assert np.shares_memory(result.elements, elements)
        assert np.shares_memory(result.occupancies, occupancies)

    def test_a_sliced_list_column(self, atoms: Atoms) -> None:
        table = self.pa.table({"coord_A": self.list_column(atoms.coords_A), "element": atoms.elements})
        result = Atoms.from_arrow(table.slice(1, 3))
        np.testing.assert_array_equal(result.coords_A, atoms.coords_A[1:4])

    def test_lists_of_variable_type(self, atoms: Atoms) -> None:
        column = self.pa.array(atoms.coords_A.tolist())
        assert_same(Atoms.from_arrow(self.table(x=None, coord_A=column)), atoms)

    @pytest.mark.parametrize("size", [1, 2, 3])
    @pytest.mark.parametrize("encoded", [False, True])
    def test_chunks(self, size: int, encoded: bool, atoms: Atoms) -> None:
        parts = [self.table().slice(start, size) for start in range(0, N_ATOMS, size)]
        if encoded:
            # Each chunk has a dictionary of its own.
            parts = [p.set_column(3, "element", p["element"].combine_chunks().dictionary_encode()) for p in parts]
        table = self.pa.concat_tables(parts)
        assert table["element"].num_chunks > 1
        assert_same(Atoms.from_arrow(table), atoms)

    @pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "uint8", "int64", "dictionary"])
    def test_element_types(self, kind: str, atoms: Atoms) -> None:
        values = ["C", "N", "O", "S", "SE"] if kind not in ("uint8", "int64") else [6, 7, 8, 16, 34]
        column = self.pa.array(values)
        column = column.dictionary_encode() if kind == "dictionary" else column.cast(getattr(self.pa, kind)())
        assert_same(Atoms.from_arrow(self.table(element=column)), atoms)

    def test_an_unused_dictionary_entry_does_not_matter(self, atoms: Atoms) -> None:
        indices = self.pa.array([0, 1, 2, 3, 4], self.pa.int8())
        column = self.pa.DictionaryArray.from_arrays(indices, self.pa.array(["C", "N", "O", "S", "SE", "nonsense"]))
        assert_same(Atoms.from_arrow(self.table(element=column)), atoms)

    def test_no_occupancy_and_other_names(self) -> None:
        table = self.table(occupancy=None).rename_columns(["a", "b", "c", "symbol"])
        result = Atoms.from_arrow(table, coords=("a", "b", "c"), element="symbol")
        assert result.occupancies.tolist() == [1] * N_ATOMS
        assert result.elements.tolist() == [6, 7, 8, 16, 34]

    def test_mixed_number_types_give_float64(self) -> None:
        assert Atoms.from_arrow(self.table(z=[2, 5, 8, 11, 14])).coords_A.dtype == np.float64

    @pytest.mark.parametrize("chunks", [0, 1])
    def test_no_rows(self, chunks: int) -> None:
        table = self.table().slice(0, 0)
        table = table if chunks else table.schema.empty_table()
        assert len(Atoms.from_arrow(table)) == 0

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"y": [1.0, 2, None, 4, 5]}, "^column 'y', row 2: null; drop or fill the nulls first"),
            ({"element": ["C", None, "C", "C", "C"]}, "^column 'element', row 1: null"),
            ({"occupancy": [1.0, 1, 1, 1, None]}, "^column 'occupancy', row 4: null"),
            ({"element": ["C", "C", "C", "QQ", "C"]}, "^atom 3: 'QQ' is not an element symbol"),
            ({"element": [6, 6, 300, 6, 6]}, "^column 'element', row 2: 300 is no atomic number"),
            ({"element": [6, -1, 6, 6, 6]}, "^column 'element', row 1: -1 is no atomic number"),
            ({"element": [1.5] * 5}, "^atom 0: 1.5 is not an element symbol"),
            ({"x": ["a"] * 5}, "^column 'x' must hold numbers, not string"),
            ({"x": None}, "^the table has no column 'x', only"),
            ({"element": None}, "^the table has no column 'element', only"),
            ({"coord_A": [[0.0, 0, 0]] * 4 + [[0.0, 0]]}, "^column 'coord_A', row 4: 2 numbers instead of three"),
            ({"coord_A": [[0.0, 0, 0]] * 3 + [None] + [[0.0, 0, 0]]}, "^column 'coord_A', row 3: null"),
            ({"coord_A": [[0.0, 0, 0]] * 4 + [[0.0, None, 0]]}, "^column 'coord_A', row 4: null"),
            ({"coord_A": [1.0] * 5}, "^column 'coord_A' must hold lists of three numbers, not double"),
        ],
    )
    def test_refuses(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(VoxelError, match=message):
            Atoms.from_arrow(self.table(**changes))

    def test_a_null_inside_a_dictionary(self) -> None:
        indices = self.pa.array([0, 1, 0, 0, 0], self.pa.int8())
        column = self.pa.DictionaryArray.from_arrays(indices, self.pa.array(["C", None]))
        with pytest.raises(VoxelError, match=r"row 1: null|atom 1: None"):
            Atoms.from_arrow(self.table(element=column))

    def test_not_a_table(self) -> None:
        with pytest.raises(VoxelError, match=r"got a dict; pass pyarrow.table"):
            Atoms.from_arrow({"x": [1.0]})

    def test_without_pyarrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(VoxelError, match=r"pip install 'bench_core\[arrow\]'"):
            Atoms.from_arrow(None)

"""The slow ancestor: its tokenizer against the mmCIF grammar and gemmi, its atoms against the fast reader."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.errors import StructureError
from bench_core.reference.mmcif import read_atoms_slow, read_mmcif
from bench_core.structures import embedded_structure, embedded_structures, read_embedded

OPTIONS: list[dict[str, Any]] = [
    {},
    {"altlocs": "first"},
    {"altlocs": "highest", "keep_waters": True},
    {"keep_hydrogens": True, "keep_waters": True},
]


@pytest.mark.parametrize("name", embedded_structures())
def test_every_structure_as_the_fast_reader_has_it(name: str) -> None:
    fast, slow = read_embedded(name), read_atoms_slow(embedded_structure(name))
    np.testing.assert_array_equal(fast.coords_A, slow.coords_A)
    np.testing.assert_array_equal(fast.elements, slow.elements)
    np.testing.assert_array_equal(fast.occupancies, slow.occupancies)


@pytest.mark.parametrize("name", ["1pfe", "3jqh", "4cup", "5pti"])
@pytest.mark.parametrize("options", OPTIONS)
def test_the_options_mean_the_same(name: str, options: dict[str, Any]) -> None:
    fast, slow = read_embedded(name, **options), read_atoms_slow(embedded_structure(name), **options)
    np.testing.assert_array_equal(fast.coords_A, slow.coords_A)
    np.testing.assert_array_equal(fast.elements, slow.elements)


def test_a_chain(tmp_path: Path) -> None:
    fast, slow = read_embedded("1bd2", chain="D"), read_atoms_slow(embedded_structure("1bd2"), chain="D")
    np.testing.assert_array_equal(fast.coords_A, slow.coords_A)
    assert 0 < len(fast) < len(read_embedded("1bd2"))
    # Not packed, and by its path as text.
    path = tmp_path / "1bd2.cif"
    path.write_bytes(gzip.decompress(Path(str(embedded_structure("1bd2"))).read_bytes()))
    np.testing.assert_array_equal(read_atoms_slow(str(path), chain="D").coords_A, slow.coords_A)


@pytest.mark.parametrize("name", ["5i55", "1pfe"])
def test_every_category_as_gemmi_has_it(name: str) -> None:
    text = gzip.decompress(Path(str(embedded_structure(name))).read_bytes()).decode()
    block = gemmi.cif.read_string(text)[0]
    ours = read_mmcif(text)
    assert {f"{category}." for category in ours} == set(block.get_mmcif_category_names())
    for category, items in ours.items():
        for item, values in items.items():
            theirs = list(block.find_values(f"{category}.{item}"))
            assert values == [None if value in (".", "?") else gemmi.cif.as_string(value) for value in theirs]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("_a.b word", "word"),
        ("_a.b 'two words'", "two words"),
        ('_a.b "C1\'"', "C1'"),
        ("_a.b 'O5''", "O5'"),
        ("_a.b 'it's one'", "it's one"),
        ("_a.b a#b", "a#b"),
        ("_a.b # comment\n  value", "value"),
        ("_a.b '# no comment'", "# no comment"),
        ("_a.b\n;first\n second; ;\n;\n", "first\n second; ;"),
        ("_a.b\n;\n;", ""),
        ("_a.b ''", ""),
        ("_a.b .", None),
        ("_a.b ?", None),
        ("_a.b '.'", "."),
        ("_a.b '_not.name'", "_not.name"),
        ("_a.b 'loop_'", "loop_"),
    ],
)
def test_values(text: str, value: str | None) -> None:
    assert read_mmcif(f"data_X\n{text}\n_c.d 1\n") == {"_a": {"b": [value]}, "_c": {"d": ["1"]}}


def test_loops() -> None:
    text = "data_X\nloop_\n_a.x\n_a.y\n1 'two words'\n3\n;four\n;\nloop_\n_b.z\n5 6\n_c.w 7\nLOOP_\n_d.v\n8\n"
    assert read_mmcif(text) == {
        "_a": {"x": ["1", "3"], "y": ["two words", "four"]},
        "_b": {"z": ["5", "6"]},
        "_c": {"w": ["7"]},
        "_d": {"v": ["8"]},
    }


def test_the_block_with_atoms_counts() -> None:
    text = "data_A\n_a.b 1\ndata_B\n_atom_site.id 2\ndata_C\n_c.d 3\n"
    assert read_mmcif(text) == {"_atom_site": {"id": ["2"]}}


@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"], include_characters="\n\t"), max_size=12))
)
def test_what_gemmi_quotes_comes_back(values: list[str]) -> None:
    # A semicolon at the start of a line would end the text block that gemmi has to use.
    values = ["first", *(value for value in values if "\n;" not in value)]
    quoted = [gemmi.cif.quote(value) for value in values]
    result = read_mmcif("data_X\nloop_\n_a.b\n" + "\n".join(quoted) + "\n_c.d 1\n")
    assert result["_a"]["b"] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_X\nloop_\n_a.x\n_a.y\n1 2 3\n", "3 values do not fill rows of 2"),
        ("data_X\n_a.x\n1\n_a.y 'open\n", "string not terminated: 'open"),
        ("data_X\n_a.x\n;open\n", "string not terminated: ;open"),
        ("hello world", "value 'hello' before any name"),
    ],
)
def test_damage(text: str, message: str) -> None:
    with pytest.raises(StructureError, match=message):
        read_mmcif(text)


@pytest.mark.parametrize("text", ["_cell.length_a 1", "_atom_site.id 1", "loop_\n_atom_site.id\n_atom_site.Cartn_x\n"])
def test_no_atoms(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(f"data_X\n{text}\n")
    with pytest.raises(StructureError, match=r"no atoms: _atom_site has no .*Cartn_z"):
        read_atoms_slow(tmp_path / "a.cif")

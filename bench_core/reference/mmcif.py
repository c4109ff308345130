"""The first reader: mmCIF in plain Python, one regular expression for the tokens and one dict per atom.

It reads every category of the file to get at one, makes a string of every value and a dict of every atom, and filters
atom by atom. That is how the pipeline began, and why reading took most of an example. It shares no code with
`bench_core.structures`, so a test can hold one against the other.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench_core.atoms import Atoms, elements_from_symbols
from bench_core.errors import StructureError

if TYPE_CHECKING:
    from bench_core.structures import Source

Category = dict[str, list[str | None]]
Row = dict[str, str | None]

_ITEMS = (
    *("Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "type_symbol", "label_alt_id", "label_comp_id"),
    *("auth_asym_id", "auth_seq_id", "pdbx_PDB_ins_code", "pdbx_PDB_model_num"),
)
"""What `read_atoms_slow` needs of `_atom_site`."""

_TOKEN = re.compile(
    r"""
    ^;(?P<text>.*?)\n;(?=\s|\Z)             # text block: from a semicolon in column 1 to the next one
    | \#[^\n]*                              # comment
    | '(?P<single>[^\n]*?)'(?=\s|\Z)        # a quote ends a string only where a blank follows: 'O5'' is O5'
    | "(?P<double>[^\n]*?)"(?=\s|\Z)
    | (?P<word>\S+)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)


def read_mmcif(text: str) -> dict[str, Category]:
    """Read all categories of a data block: {"_atom_site": {"Cartn_x": ["1.000", ...], ...}, ...}.

    Of several data blocks the first with `_atom_site` counts, else the last. Values are text; unquoted "." and "?" are
    None. Categories that are not a loop have lists of one value.

    Raises:
        StructureError: a value without a name, a loop with an incomplete row, an unterminated string.
    """
    categories: dict[str, Category] = {}
    columns: list[list[str | None]] = []
    in_header, n_values = False, 0
    for kind, token in _tokens(text):
        if kind == "value":
            if not columns:
                raise StructureError(f"mmCIF: value {token!r} before any name; fetch the file again")
            columns[n_values % len(columns)].append(token)
            in_header, n_values = False, n_values + 1
            continue
        if not in_header:
            _check_complete(columns, n_values)
            columns, n_values = [], 0
        if kind == "data" and "_atom_site" in categories:
            return categories
        if kind == "data":
            categories = {}
        elif kind == "name" and token is not None:
            category, _, item = token.partition(".")
            columns.append(categories.setdefault(category, {}).setdefault(item, []))
        in_header = kind == "loop" or (in_header and kind == "name")
    _check_complete(columns, n_values)
    return categories


def read_atoms_slow(
    path: Source,
    *,
    keep_waters: bool = False,
    keep_hydrogens: bool = False,
    altlocs: str = "all",
    chain: str | None = None,
) -> Atoms:
    """Read the atoms of the first model of a .cif or .cif.gz file, with the options of `bench_core.read_atoms`.

    Returns:
        Atoms in file order; coordinates (N, 3) float64.

    Raises:
        StructureError: the text is not mmCIF, or has no atoms. Damage is found less often than by `read_atoms`.
    """
    rows = _atom_rows(_read_text(path))
    rows = [row for row in rows if row["pdbx_PDB_model_num"] == rows[0]["pdbx_PDB_model_num"]]
    if chain is not None:
        rows = [row for row in rows if row["auth_asym_id"] == chain]
    if not keep_waters:
        rows = [row for row in rows if row["label_comp_id"] not in ("HOH", "DOD", "WAT", "H2O")]
    if not keep_hydrogens:
        rows = [row for row in rows if row["type_symbol"] not in ("H", "D")]
    if altlocs != "all":
        rows = _one_conformer(rows, altlocs)
    return _atoms(rows)


def _tokens(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield (data | loop | name | value, text); for a value that is "." or "?", None."""
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group(match.lastgroup or 0)
        if kind != "word":
            if kind is not None:
                yield "value", token
        elif token.startswith("_"):
            yield "name", token
        elif token[:5].lower() in ("loop_", "data_"):
            yield token[:4].lower(), token
        elif token[0] in "'\";":
            raise StructureError(f"mmCIF: string not terminated: {token[:20]}; fetch the file again")
        else:
            yield "value", None if token in (".", "?") else token


def _check_complete(columns: list[list[str | None]], n_values: int) -> None:
    if columns and n_values % len(columns):
        raise StructureError(f"mmCIF: {n_values} values do not fill rows of {len(columns)}; fetch the file again")


def _read_text(path: Source) -> str:
    data = (Path(path) if isinstance(path, (str, os.PathLike)) else path).read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()


def _atom_rows(text: str) -> list[Row]:
    site = read_mmcif(text).get("_atom_site", {})
    missing = [item for item in _ITEMS if not site.get(item)]
    if missing:
        raise StructureError(
            f"mmCIF: no atoms: _atom_site has no {', '.join(missing)}; use the entry's full mmCIF file"
        )
    return [dict(zip(site, values, strict=True)) for values in zip(*site.values(), strict=True)]


def _one_conformer(rows: list[Row], altlocs: str) -> list[Row]:
    """Keep one alternate location of each residue: the first, or that of the highest mean occupancy."""
    conformers: dict[tuple[str | None, ...], dict[str, list[float]]] = {}
    for row in rows:
        label = row["label_alt_id"]
        if label is not None:
            conformers.setdefault(_residue(row), {}).setdefault(label, []).append(float(row["occupancy"] or 1))
    chosen: dict[tuple[str | None, ...], str] = {}
    for residue, labels in conformers.items():
        means = {label: round(sum(values) / len(values), 4) for label, values in labels.items()}
        chosen[residue] = next(iter(means)) if altlocs == "first" else max(means, key=means.__getitem__)
    return [row for row in rows if row["label_alt_id"] in (None, chosen.get(_residue(row)))]


def _residue(row: Row) -> tuple[str | None, ...]:
    return row["auth_asym_id"], row["auth_seq_id"], row["pdbx_PDB_ins_code"]


def _atoms(rows: list[Row]) -> Atoms:
    coords_A = [[float(row[f"Cartn_{axis}"] or "nan") for axis in "xyz"] for row in rows]
    return Atoms(
        np.array(coords_A, np.float64).reshape(-1, 3),
        elements_from_symbols([row["type_symbol"] for row in rows]),
        np.array([float(row["occupancy"] or 1) for row in rows], np.float32),
    )

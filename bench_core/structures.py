"""mmCIF and PDB files to Atoms, and the real structures that are shipped with the package.

A parser returns `_Columns`, every atom of the first model; which atoms to keep is decided afterwards, once, for all
formats. Reading is for preparing stores: training never parses a structure file.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from bench_core.atoms import Atoms
from bench_core.elements import ATOMIC_NUMBERS
from bench_core.errors import StructureError

if TYPE_CHECKING:
    import sys

    import numpy.typing as npt

    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable

    Source = str | os.PathLike[str] | Traversable

Altlocs = Literal["all", "first", "highest"]

WATERS = ("HOH", "DOD", "WAT", "H2O")
"""Residue names that count as water."""

_FORMATS = {".cif": "cif", ".mmcif": "cif", ".pdb": "pdb", ".ent": "pdb"}
SUFFIXES = (*(f"{suffix}.gz" for suffix in _FORMATS), *_FORMATS)
"""Endings of the files that `read_atoms` reads, in any case."""
_DAMAGED = "fetch or unpack the file again"


class _Columns(NamedTuple):
    """Every atom of the first model, in file order. Names are blank-padded or NUL-padded bytes."""

    coords_A: npt.NDArray[np.float64]
    """(N, 3); NaN where the file has no finite number."""
    elements: npt.NDArray[np.uint8]
    """(N,) atomic numbers; 0 where the file has "X" or what is no symbol."""
    occupancies: npt.NDArray[np.float32]
    """(N,); 1 where the file has none, NaN where it has no number."""
    altlocs: npt.NDArray[np.uint8]
    """(N,) character code of the alternate location, 0 where there is none."""
    comps: npt.NDArray[np.bytes_]
    """(N,) residue names."""
    chains: npt.NDArray[np.bytes_]
    """(N,) author chain names."""
    residues: npt.NDArray[np.int64]
    """(N,) residue number and insertion code in one integer, unique within a chain."""
    field: Callable[[str, int], tuple[str, str]]
    """(x | y | z | element | occupancy, row) -> where that field is, and its text in the file; for error messages."""


def read_atoms(
    path: Source,
    *,
    keep_waters: bool = False,
    keep_hydrogens: bool = False,
    altlocs: Altlocs = "all",
    chain: str | None = None,
) -> Atoms:
    """Read the atoms of the first model of a .cif, .mmcif or .pdb file, each also as .gz.

    Args:
        path: a path, or a resource such as `embedded_structure("5pti")`.
        keep_waters: keep HOH, DOD, WAT and H2O.
        keep_hydrogens: keep hydrogen and deuterium (both have atomic number 1).
        altlocs: "all" keeps every alternate location with its occupancy, so that sums of occupancies count each atom
            once: what upstream does, hence the default. "first" and "highest" keep one conformer of each residue, the
            first in the file or that of the highest mean occupancy (the first of equals), next to the atoms without
            alternates; occupancies stay as they are in the file.
        chain: keep one chain, by its author name (auth_asym_id; column 22 in PDB files).

    Returns:
        Atoms in file order (mmCIF: by ascending _atom_site.id, which is the order of wwPDB files), coordinates in
        float64. Empty where the options leave nothing.

    Raises:
        StructureError: one line with the file, the row and field, and a remedy: the file is missing, empty, truncated,
            of another format or not gzip, or holds a coordinate that is not finite, an unknown element, a negative
            occupancy; or there is no such chain. A file cut off exactly between two rows reads as a shorter file:
            neither format has a mandatory last line.
    """
    name = str(path)
    if altlocs not in ("all", "first", "highest"):
        raise StructureError(f'{name}: altlocs={altlocs!r}; use "all", "first" or "highest"')
    columns = _parse(name, _load(name, path))
    _check(name, columns)
    keep = _wanted(name, columns, keep_waters, keep_hydrogens, chain)
    if altlocs != "all":
        keep &= _one_conformer(columns, altlocs)
    return Atoms(columns.coords_A[keep], columns.elements[keep], columns.occupancies[keep])


def embedded_structures() -> tuple[str, ...]:
    """Return the names of the shipped structures, lower-case PDB ids in alphabetical order."""
    names = (item.name for item in _data_folder().iterdir())
    return tuple(sorted(name.removesuffix(".cif.gz") for name in names if name.endswith(".cif.gz")))


def embedded_structure(name: str) -> Traversable:
    """Return the file of a shipped structure: gzipped mmCIF, a path unless the package is inside a zip.

    Raises:
        StructureError: no structure of that name is shipped.
    """
    if name.lower() not in embedded_structures():
        raise StructureError(f"no embedded structure {name!r}; there are {', '.join(embedded_structures())}")
    return _data_folder() / f"{name.lower()}.cif.gz"


def read_embedded(name: str, **options: Any) -> Atoms:
    """Read a shipped structure by its name, in any case; options and errors as in `read_atoms`."""
    return read_atoms(embedded_structure(name), **options)


def _data_folder() -> Traversable:
    return resources.files("bench_core") / "data" / "structures"


def _load(name: str, path: Source) -> bytes:
    """Return the content of a file, unpacked where it is gzip."""
    file = Path(path) if isinstance(path, (str, os.PathLike)) else path
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StructureError(f"{name}: {error.strerror or error}; check the path") from None
    if not data:
        raise StructureError(f"{name}: the file is empty; {_DAMAGED}")
    if data[:2] == b"\x1f\x8b":
        return _gunzip(name, data)
    if name.lower().endswith(".gz"):
        raise StructureError(f"{name}: not gzip, though named .gz; rename it, or {_DAMAGED}")
    return data


def _gunzip(name: str, data: bytes) -> bytes:
    try:
        data = gzip.decompress(data)
    except EOFError:
        raise StructureError(f"{name}: the gzip stream is truncated; {_DAMAGED}") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise StructureError(f"{name}: the gzip stream is damaged ({error}); {_DAMAGED}") from None
    if not data:
        raise StructureError(f"{name}: the file is empty; {_DAMAGED}")
    return data


def _parse(name: str, data: bytes) -> _Columns:
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    kind = _FORMATS.get(suffix)
    if kind is None:
        raise StructureError(f"{name}: unknown suffix {suffix!r}; use one of {', '.join(_FORMATS)}, or one with .gz")
    return _parse_cif(name, data) if kind == "cif" else _parse_pdb(name, data)


def _check(name: str, columns: _Columns) -> None:
    """Refuse numbers that no computation can use, naming the first."""
    coords_A, occupancies = columns.coords_A, columns.occupancies
    _refuse(name, columns, "element", _unknown_elements(columns), "is no element symbol")
    for axis, field in enumerate("xyz"):
        _refuse(name, columns, field, ~np.isfinite(coords_A[:, axis]), "is no finite number")
    usable = np.isfinite(occupancies) & (occupancies >= 0)
    _refuse(name, columns, "occupancy", ~usable, "is no number from 0 up")


def _refuse(name: str, columns: _Columns, field: str, bad: npt.NDArray[np.bool_], problem: str) -> None:
    if bad.any():
        where, text = columns.field(field, int(bad.argmax()))
        raise StructureError(f"{name}: {where}: {text!r} {problem}; correct or remove that atom")


def _unknown_elements(columns: _Columns) -> npt.NDArray[np.bool_]:
    """Rows whose symbol is neither an element nor "X", mmCIF's own name for an unknown one."""
    unknown: npt.NDArray[np.bool_] = columns.elements == 0
    for row in np.flatnonzero(unknown):
        unknown[row] = columns.field("element", int(row))[1].upper() != "X"
    return unknown


def _wanted(
    name: str, columns: _Columns, keep_waters: bool, keep_hydrogens: bool, chain: str | None
) -> npt.NDArray[np.bool_]:
    keep = np.ones(len(columns.elements), bool)
    if not keep_hydrogens:
        keep &= columns.elements != 1
    if not keep_waters:
        for water in WATERS:
            keep &= columns.comps != water.encode()
    if chain is not None:
        of_chain = columns.chains == chain.encode()
        if not of_chain.any():
            names = ", ".join(sorted({item.decode("utf-8", "replace") for item in columns.chains.tolist()}))
            raise StructureError(f"{name}: no chain {chain!r}; the author chain names are {names}")
        keep &= of_chain
    return keep


def _one_conformer(columns: _Columns, altlocs: Altlocs) -> npt.NDArray[np.bool_]:
    """Choose one alternate location per residue, not per atom: atoms of two conformers do not fit together."""
    rows = np.flatnonzero(columns.altlocs)
    keys = list(zip(columns.chains[rows].tolist(), columns.residues[rows].tolist(), strict=True))
    labels = columns.altlocs[rows].tolist()
    occupancies: dict[Any, dict[int, list[float]]] = {}
    for key, label, occupancy in zip(keys, labels, columns.occupancies[rows].tolist(), strict=True):
        occupancies.setdefault(key, {}).setdefault(label, []).append(occupancy)
    chosen = {key: _choose(conformers, altlocs) for key, conformers in occupancies.items()}
    keep = np.ones(len(columns.altlocs), bool)
    keep[rows] = [chosen[key] == label for key, label in zip(keys, labels, strict=True)]
    return keep


def _choose(conformers: dict[int, list[float]], altlocs: Altlocs) -> int:
    if altlocs == "first":
        return next(iter(conformers))
    # Rounded, because conformers of equal occupancy and different size differ in the last bit of their means.
    means = {label: round(sum(values) / len(values), 4) for label, values in conformers.items()}
    return max(means, key=means.__getitem__)


# mmCIF

_CIF_FIELDS = {"x": "Cartn_x", "y": "Cartn_y", "z": "Cartn_z", "element": "type_symbol", "occupancy": "occupancy"}
_CIF_NEEDED = ("id", "type_symbol", "label_alt_id", "label_asym_id", "Cartn_x", "Cartn_y", "Cartn_z")
_DEUTERIUM = 119  # gemmi's number for it; it follows the elements


def _parse_cif(name: str, data: bytes) -> _Columns:
    # The flat view of gemmi's structure: arrays straight from C++. Converting the text columns to numpy took longer.
    import gemmi

    try:
        block = next((b for b in gemmi.cif.read_string(data) if len(b.find_mmcif_category("_atom_site."))), None)
    except (ValueError, RuntimeError) as error:
        raise StructureError(f"{name}: not mmCIF, or cut off: {_cif_problem(error)}; {_DAMAGED}") from None
    if block is None:
        raise StructureError(f"{name}: no atoms (_atom_site is missing or empty); {_DAMAGED}")
    missing = [tag for tag in _CIF_NEEDED if not block.find_values(f"_atom_site.{tag}")]
    if missing:
        raise StructureError(f"{name}: _atom_site has no {', '.join(missing)}; use the entry's full mmCIF file")
    try:
        flat = gemmi.FlatStructure(gemmi.make_structure_from_block(block))
    except (ValueError, RuntimeError) as error:
        raise StructureError(f"{name}: _atom_site cannot be used: {_one_line(error)}; correct that field") from None
    if len(flat) != len(block.find_values("_atom_site.id")):
        raise StructureError(
            f"{name}: gemmi reads {len(flat)} atoms of _atom_site only; use the entry's full mmCIF file"
        )
    return _cif_columns(flat, block)


def _cif_columns(flat: Any, block: Any) -> _Columns:
    rows = np.flatnonzero(flat.model_num == flat.model_num[0])
    if (np.diff(flat.serials[rows]) < 0).any():
        # gemmi groups the atoms of a residue; the ids give the order of the file back.
        rows = rows[np.argsort(flat.serials[rows], kind="stable")]
    elements = np.where(flat.elements == _DEUTERIUM, 1, flat.elements).astype(np.uint8)
    residues = flat.resnums.astype(np.int64) << 8 | flat.icodes.astype(np.int64)
    ids = flat.serials

    def field(kind: str, row: int) -> tuple[str, str]:
        return _cif_field(block, _CIF_FIELDS[kind], int(rows[row]), int(ids[rows[row]]))

    return _Columns(
        flat.pos[rows],
        elements[rows],
        flat.occ[rows],
        flat.altlocs.view(np.uint8)[rows],
        flat.residue_names.view("S8")[rows, 0],
        flat.chain_ids.view("S8")[rows, 0],
        residues[rows],
        field,
    )


def _cif_field(block: Any, tag: str, position: int, atom_id: int) -> tuple[str, str]:
    """Find the field of an atom that gemmi has at `position`: the row of that id, the nearest one if ids repeat."""
    ids = list(block.find_values("_atom_site.id"))
    # Ids that are no plain integers are not found again; position is the row, unless gemmi had to regroup.
    same_id = [row for row, text in enumerate(ids) if text == str(atom_id)] or [position]
    row = min(same_id, key=lambda row: abs(row - position))
    return f"atom id {ids[row]}, _atom_site.{tag}", block.find_values(f"_atom_site.{tag}")[row].strip("'\"")


def _cif_problem(error: Exception) -> str:
    """Turn "data:20:0(423): parse error" into "line 20: parse error"."""
    head, _, problem = _one_line(error).partition("): ")
    return f"line {head.split(':')[1]}: {problem}" if head.startswith("data:") and problem else _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# PDB

_PDB_FIELDS = {"x": (30, 38), "y": (38, 46), "z": (46, 54), "occupancy": (54, 60), "element": (76, 78)}


def _parse_pdb(name: str, data: bytes) -> _Columns:
    # Fixed columns need no library, and gemmi reads "11.x04" as 11.
    if data.lstrip()[:5].lower() == b"data_":
        raise StructureError(f"{name}: this is mmCIF; rename it to .cif")
    first_model = data.partition(b"\nENDMDL")[0].splitlines()
    numbers = [i for i, line in enumerate(first_model) if line.startswith((b"ATOM  ", b"HETATM"))]
    if not numbers:
        raise StructureError(f"{name}: no ATOM or HETATM record, so not a PDB file, or cut off; {_DAMAGED}")
    short = next((i for i in numbers if len(first_model[i].rstrip()) < _PDB_FIELDS["z"][1]), None)
    if short is not None:
        raise StructureError(f"{name}: line {short + 1}: ends before the coordinates do; {_DAMAGED}")
    lines = np.array([first_model[i][:80].ljust(80) for i in numbers], "S80")
    return _pdb_columns(lines.view("S1").reshape(-1, 80), numbers)


def _pdb_columns(characters: npt.NDArray[np.bytes_], line_numbers: list[int]) -> _Columns:
    def cut(start: int, stop: int) -> npt.NDArray[np.bytes_]:
        return np.strings.strip(np.ascontiguousarray(characters[:, start:stop]).view(f"S{stop - start}")[:, 0])

    def field(kind: str, row: int) -> tuple[str, str]:
        start, stop = _PDB_FIELDS[kind]
        where = f"line {line_numbers[row] + 1}, columns {start + 1}-{stop}"
        return where, characters[row, start:stop].tobytes().decode("ascii", "replace").strip()

    occupancies = cut(*_PDB_FIELDS["occupancy"])
    occupancies[occupancies == b""] = b"1"
    return _Columns(
        np.column_stack([_floats(cut(*_PDB_FIELDS[axis])) for axis in "xyz"]),
        _pdb_elements(cut(*_PDB_FIELDS["element"]), np.ascontiguousarray(characters[:, 12:16]).view("S4")[:, 0]),
        _floats(occupancies).astype(np.float32),
        np.where(characters[:, 16] == b" ", 0, np.ascontiguousarray(characters[:, 16]).view(np.uint8)).astype(np.uint8),
        cut(17, 20),
        cut(20, 22),
        np.unique(cut(22, 27), return_inverse=True)[1].astype(np.int64),
        field,
    )


def _pdb_elements(symbols: npt.NDArray[np.bytes_], atom_names: npt.NDArray[np.bytes_]) -> npt.NDArray[np.uint8]:
    blank = symbols == b""
    symbols[blank] = [_element_of(item) for item in atom_names[blank].tolist()]
    distinct, codes = np.unique(symbols, return_inverse=True)
    numbers = [ATOMIC_NUMBERS.get(item.decode("ascii", "replace").upper(), 0) for item in distinct.tolist()]
    return np.array(numbers, np.uint8)[codes]


def _element_of(atom_name: bytes) -> bytes:
    """Read the element off a four-column atom name: right-justified in the first two, save for long hydrogen names."""
    symbol = atom_name[:2].strip(b" 0123456789'\"")
    return b"H" if len(atom_name.strip()) == 4 and symbol[:1] == b"H" else symbol


def _floats(texts: npt.NDArray[np.bytes_]) -> npt.NDArray[np.float64]:
    """Return (N,) numbers, NaN where a text is none."""
    try:
        return texts.astype(np.float64)
    except ValueError:
        return np.array([_float(text) for text in texts.tolist()])


def _float(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")

"""Reading structures: the embedded ones, the options, PDB files, and every way a file can be damaged."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import pytest

from bench_core.atoms import Atoms
from bench_core.errors import StructureError
from bench_core.structures import embedded_structure, embedded_structures, read_atoms, read_embedded

# The table in bench_core/data/structures/README.md: heavy atoms, hydrogens, water oxygens.
COUNTS = {
    "1a7g": (668, 0, 74),
    "1a8o": (556, 0, 88),
    "1bd2": (6339, 0, 39),
    "1gbt": (1644, 0, 117),
    "1pfe": (262, 0, 80),
    "2xhe": (6267, 0, 48),
    "3jqh": (217, 0, 21),
    "3kpr": (13318, 0, 116),
    "3o21": (12215, 0, 578),
    "3pwp": (6691, 0, 66),
    "4cup": (954, 7, 146),
    "4zhl": (2030, 0, 50),
    "5i55": (206, 0, 12),
    "5pti": (468, 573, 63),
}

TAGS = [
    *("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id"),
    *("label_entity_id", "label_seq_id", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy"),
    *("auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num"),
]


def cif(*rows: str, tags: list[str] = TAGS) -> str:
    return "data_TEST\n#\nloop_\n" + "".join(f"_atom_site.{tag}\n" for tag in tags) + "\n".join(rows) + "\n#\n"


def atom(i: int, name: str = "CA", *, el: str = "C", alt: str = ".", comp: str = "ALA", seq: str = "1",
         x: str = "1.000", y: str = "2.000", z: str = "3.000", occ: str = "1.00", chain: str = "A",
         model: str = "1") -> str:  # fmt: skip
    return f"ATOM {i} {el} {name} {alt} {comp} {chain} 1 {seq} {x} {y} {z} {occ} {seq} {chain} {model}"


def pdb(i: int = 1, name: str = " CA ", *, alt: str = " ", comp: str = "ALA", chain: str = "A", seq: str = "   1",
        x: str = "  11.104", occ: str = "  1.00", el: str = " C") -> str:  # fmt: skip
    return f"ATOM  {i:5d} {name}{alt}{comp} {chain}{seq}    {x}   6.134  -6.504{occ}  0.00          {el}  "


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def assert_same(a: Atoms, b: Atoms) -> None:
    np.testing.assert_array_equal(a.coords_A, b.coords_A)
    np.testing.assert_array_equal(a.elements, b.elements)
    np.testing.assert_array_equal(a.occupancies, b.occupancies)


class TestEmbedded:
    def test_all_are_listed(self) -> None:
        assert embedded_structures() == tuple(sorted(COUNTS))

    @pytest.mark.parametrize("name", COUNTS)
    def test_counts(self, name: str) -> None:
        heavy, hydrogens, waters = COUNTS[name]
        assert len(read_embedded(name)) == heavy
        assert len(read_embedded(name, keep_waters=True)) == heavy + waters
        everything = read_embedded(name, keep_hydrogens=True, keep_waters=True)
        # The table counts hydrogens of waters among the hydrogens.
        assert len(everything) == heavy + hydrogens + waters

    def test_checksums(self) -> None:
        folder = Path(str(embedded_structure("5pti"))).parent
        lines = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
        assert {file for _, file in lines} == {f"{name}.cif.gz" for name in COUNTS}
        for checksum, file in lines:
            assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == checksum

    def test_types_and_values(self) -> None:
        atoms = read_embedded("5PTI")
        assert atoms.coords_A.dtype == np.float64
        # First and last rows of the file that are kept.
        assert atoms.coords_A[0].tolist() == [32.231, 15.281, -13.143]
        assert atoms.elements[0] == 7
        assert 0 in atoms.elements  # UNX, an atom of unknown element, is kept
        assert atoms.occupancies.min() > 0

    def test_an_unknown_name(self) -> None:
        with pytest.raises(StructureError, match="no embedded structure '9xyz'; there are 1a7g, 1a8o"):
            embedded_structure("9xyz")

    def test_from_a_zipped_package(self, tmp_path: Path) -> None:
        content = Path(str(embedded_structure("5i55"))).read_bytes()
        with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
            archive.writestr("data/5i55.cif.gz", content)
        resource = zipfile.Path(tmp_path / "package.zip", "data/5i55.cif.gz")
        assert_same(read_atoms(resource), read_embedded("5i55"))


class TestOptions:
    def test_models_hydrogens_and_waters(self, write: Callable[..., Path]) -> None:
        rows = [
            atom(1),
            atom(2, "HA", el="H"),
            atom(3, "DA", el="D"),
            atom(4, "O", el="O", comp="HOH"),
            atom(5, "O", el="O", comp="DOD"),
            atom(6, model="2"),
        ]
        path = write("a.cif", cif(*rows))
        assert read_atoms(path).elements.tolist() == [6]
        assert read_atoms(path, keep_hydrogens=True).elements.tolist() == [6, 1, 1]
        assert read_atoms(path, keep_waters=True).elements.tolist() == [6, 8, 8]

    def test_the_first_model_need_not_be_number_one(self, write: Callable[..., Path]) -> None:
        rows = [atom(1, model="7"), atom(2, "N", el="N", model="2")]
        assert read_atoms(write("a.cif", cif(*rows))).elements.tolist() == [6]

    def test_only_waters_leave_no_atoms(self, write: Callable[..., Path]) -> None:
        assert len(read_atoms(write("a.cif", cif(atom(1, el="O", comp="HOH"))))) == 0

    def test_altlocs(self, write: Callable[..., Path]) -> None:
        rows = [
            atom(1, "N", el="N"),
            atom(2, "CA", alt="A", occ="0.30", x="10"),
            atom(3, "CA", alt="B", occ="0.70", x="20"),
            atom(4, "CB", alt="A", occ="0.30", x="11"),
            atom(5, "CB", alt="B", occ="0.70", x="21"),
            atom(6, "CG", alt="B", occ="0.70", x="22"),
            atom(7, "CA", alt="B", occ="0.50", x="30", seq="2"),
            atom(8, "CA", alt="A", occ="0.50", x="40", seq="2"),
        ]
        path = write("a.cif", cif(*rows))
        every = read_atoms(path)
        assert len(every) == 8
        assert every.occupancies[every.elements == 6].sum() == pytest.approx(3.7)
        assert read_atoms(path, altlocs="first").coords_A[:, 0].tolist() == [1, 10, 11, 30]
        assert read_atoms(path, altlocs="highest").coords_A[:, 0].tolist() == [1, 20, 21, 22, 30]

    def test_atoms_come_in_file_order(self, write: Callable[..., Path]) -> None:
        # gemmi groups by residue, which these interleaved ones (microheterogeneity) would not survive.
        rows = [
            atom(1, "CA", alt="A", comp="SER", x="1"),
            atom(2, "CA", alt="B", comp="THR", x="2"),
            atom(3, "CB", alt="A", comp="SER", x="3"),
            atom(4, "CB", alt="B", comp="THR", x="4"),
            atom(5, "CA", chain="B", x="5"),
            atom(6, "CA", seq="2", x="6"),
        ]
        path = write("a.cif", cif(*rows))
        assert read_atoms(path).coords_A[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
        assert read_atoms(path, altlocs="first").coords_A[:, 0].tolist() == [1, 3, 5, 6]

    def test_chain_is_the_author_name(self, write: Callable[..., Path]) -> None:
        rows = [atom(1), atom(2, "N", el="N").replace(" A 1\n", " X 1\n").removesuffix("A 1") + "X 1"]
        path = write("a.cif", cif(*rows))
        assert read_atoms(path, chain="X").elements.tolist() == [7]
        with pytest.raises(StructureError, match="no chain 'Q'; the author chain names are A, X"):
            read_atoms(path, chain="Q")

    def test_an_unknown_altlocs_option(self) -> None:
        with pytest.raises(StructureError, match='altlocs=\'best\'; use "all", "first" or "highest"'):
            read_embedded("5i55", altlocs="best")

    def test_a_missing_occupancy_is_one(self, write: Callable[..., Path]) -> None:
        assert read_atoms(write("a.cif", cif(atom(1, occ="?")))).occupancies.tolist() == [1]
        tags = [tag for tag in TAGS if tag != "occupancy"]
        assert read_atoms(write("b.cif", cif(atom(1, occ=""), tags=tags))).occupancies.tolist() == [1]

    def test_one_atom_without_a_loop_in_the_second_block(self, write: Callable[..., Path]) -> None:
        pairs = "".join(f"_atom_site.{tag} {value}\n" for tag, value in zip(TAGS, atom(1).split(), strict=True))
        atoms = read_atoms(write("a.cif", f"data_A\n_cell.length_a 1.0\ndata_B\n{pairs}"))
        assert atoms.coords_A.tolist() == [[1, 2, 3]]

    def test_standard_uncertainty_and_quotes(self, write: Callable[..., Path]) -> None:
        atoms = read_atoms(write("a.cif", cif(atom(1, '"C1\'"', x="1.234(5)"))))
        assert atoms.coords_A[0, 0] == 1.234

    def test_lazy_imports(self) -> None:
        code = (
            "import sys, bench_core.structures, bench_core.atoms\n"
            "print(sorted({'gemmi', 'pyarrow', 'torch', 'scipy', 'pandas'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


class TestPdb:
    @pytest.mark.parametrize("name", ["1gbt", "1pfe", "3kpr", "4cup", "5pti"])
    @pytest.mark.parametrize("suffix", [".pdb", ".pdb.gz", ".ent"])
    def test_as_gemmi_writes_it(self, name: str, suffix: str, tmp_path: Path) -> None:
        structure = gemmi.read_structure(str(embedded_structure(name)), merge_chain_parts=False)
        text = structure.make_pdb_string().encode()
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
        for altlocs in ("all", "first", "highest"):
            assert_same(read_atoms(path, altlocs=altlocs), read_embedded(name, altlocs=altlocs))

    def test_a_chain(self, tmp_path: Path) -> None:
        structure = gemmi.read_structure(str(embedded_structure("3kpr")), merge_chain_parts=False)
        (tmp_path / "a.pdb").write_text(structure.make_pdb_string())
        assert_same(read_atoms(tmp_path / "a.pdb", chain="D"), read_embedded("3kpr", chain="D"))

    def test_first_model(self, write: Callable[..., Path]) -> None:
        text = f"MODEL        1\n{pdb()}\nENDMDL\nMODEL        2\n{pdb(el=' N')}\nENDMDL\nEND\n"
        assert read_atoms(write("a.pdb", text)).elements.tolist() == [6]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [(" CA ", 6), ("CA  ", 20), (" N  ", 7), ("1HB ", 1), ("HG11", 1), ("FE  ", 26), (" OP1", 8), ("HG  ", 80)],
    )
    def test_elements_from_names_where_the_column_is_blank(
        self, name: str, expected: int, write: Callable[..., Path]
    ) -> None:
        path = write("a.pdb", pdb(name=name, el="  ") + "\n")
        assert read_atoms(path, keep_hydrogens=True).elements.tolist() == [expected]

    def test_short_lines_and_blank_occupancies(self, write: Callable[..., Path]) -> None:
        path = write("a.pdb", pdb()[:54] + "\r\n" + pdb(occ="      ") + "\r\n")
        atoms = read_atoms(path)
        assert atoms.coords_A.tolist() == [[11.104, 6.134, -6.504]] * 2
        assert atoms.occupancies.tolist() == [1, 1]


GOOD = cif(atom(1), atom(2, "CB"))
DAMAGED_CIF = {
    "empty": ("", "the file is empty; fetch"),
    "only blanks": ("  \n\n", "no atoms"),
    "text": ("hello world\n", "not mmCIF, or cut off: line 1: expected block header"),
    "pdb": (pdb() + "\n", "not mmCIF, or cut off: line 1"),
    "binary": (bytes(range(256)) * 8, "not mmCIF, or cut off: line 1"),
    "zeros at the end": (GOOD + "\0" * 64, "not mmCIF, or cut off: line 23"),
    "no atoms": ("data_X\n_cell.length_a 1.0\n", r"no atoms \(_atom_site is missing or empty\)"),
    "only the header": (cif().removesuffix("#\n"), r"no atoms \(_atom_site is missing or empty\)"),
    "cut in a row": (GOOD[: GOOD.index("1.00 1 A 1\n#")], "cut off: line 3: Wrong number of values in loop _atom_site"),
    "cut in a string": (cif("ATOM 1 C 'C"), "not mmCIF, or cut off: line 20"),
    "no coordinates": (cif(atom(1, y=""), tags=[t for t in TAGS if t != "Cartn_y"]), "_atom_site has no Cartn_y; use"),
    "no names": (cif(atom(1, ""), tags=[t for t in TAGS if t != "label_atom_id"]), "label_atom_id.*correct that field"),
    "x is ?": (cif(atom(1), atom(2, x="?")), r"atom id 2, _atom_site.Cartn_x: '\?' is no finite number; correct"),
    "y is nan": (cif(atom(1), atom(2, y="nan")), "atom id 2, _atom_site.Cartn_y: 'nan' is no finite number"),
    "z is inf": (cif(atom(1, z="inf")), "atom id 1, _atom_site.Cartn_z: 'inf' is no finite number"),
    "x is huge": (cif(atom(1, x="1e400")), "atom id 1, _atom_site.Cartn_x: '1e400' is no finite number"),
    "x is text": (cif(atom(1, x="1.2a")), "atom id 1, _atom_site.Cartn_x: '1.2a' is no finite number"),
    "element": (cif(atom(5), atom(6, el="QQ")), "atom id 6, _atom_site.type_symbol: 'QQ' is no element symbol"),
    "element is ?": (cif(atom(1, el="?")), r"atom id 1, _atom_site.type_symbol: '\?' is no element symbol"),
    "negative": (cif(atom(1, occ="-0.5")), "atom id 1, _atom_site.occupancy: '-0.5' is no number from 0 up"),
    "occupancy nan": (cif(atom(1, occ="nan")), "atom id 1, _atom_site.occupancy: 'nan' is no number from 0 up"),
    "model": (cif(atom(1, model="x")), "_atom_site cannot be used: not an integer: x; correct that field"),
    "odd id": (cif(atom(1), atom(2, el="QQ").replace(" 2 ", " B1 ", 1)), "atom id B1, .*: 'QQ' is no element symbol"),
    "repeated id": (cif(atom(1), atom(1, el="QQ")), "atom id 1, _atom_site.type_symbol: 'QQ' is no element symbol"),
}
DAMAGED_PDB = {
    "cif": (GOOD, "this is mmCIF; rename it to .cif"),
    "text": ("hello world\n", "no ATOM or HETATM record, so not a PDB file"),
    "cut in a row": (f"{pdb()}\n{pdb()[:40]}", "line 2: ends before the coordinates do; fetch"),
    "x": (f"REMARK\n{pdb(x='  11.x04')}\n", "line 2, columns 31-38: '11.x04' is no finite number; correct"),
    "x is blank": (pdb(x=" " * 8) + "\n", "line 1, columns 31-38: '' is no finite number"),
    "x is nan": (pdb(x="     nan") + "\n", "line 1, columns 31-38: 'nan' is no finite number"),
    "element": (pdb(el="QQ") + "\n", "line 1, columns 77-78: 'QQ' is no element symbol"),
    "no element": (pdb(name=" ?? ", el="  ") + "\n", "line 1, columns 77-78: '' is no element symbol"),
    "negative": (pdb(occ=" -1.00") + "\n", "line 1, columns 55-60: '-1.00' is no number from 0 up"),
    "occupancy": (pdb(occ="  x.00") + "\n", "line 1, columns 55-60: 'x.00' is no number from 0 up"),
}


class TestDamagedFiles:
    def refused(self, path: Path, message: str) -> None:
        with pytest.raises(StructureError, match=message) as caught:
            read_atoms(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        assert "\n" not in text
        assert "; " in text  # a remedy follows the problem

    @pytest.mark.parametrize("case", DAMAGED_CIF)
    @pytest.mark.parametrize("packed", [False, True])
    def test_cif(self, case: str, packed: bool, write: Callable[..., Path]) -> None:
        content, message = DAMAGED_CIF[case]
        data = content.encode() if isinstance(content, str) else content
        self.refused(write("a.cif.gz", gzip.compress(data)) if packed else write("a.cif", data), message)

    @pytest.mark.parametrize("case", DAMAGED_PDB)
    def test_pdb(self, case: str, write: Callable[..., Path]) -> None:
        content, message = DAMAGED_PDB[case]
        self.refused(write("a.pdb", content), message)

    def test_the_good_file_is_good(self, write: Callable[..., Path]) -> None:
        assert len(read_atoms(write("a.cif", GOOD))) == 2
        assert len(read_atoms(write("a.pdb", pdb() + "\n"))) == 1

    def test_missing(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none.cif", "No such file or directory; check the path")

    def test_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.cif").mkdir()
        self.refused(tmp_path / "a.cif", "Is a directory; check the path")

    def test_suffix(self, write: Callable[..., Path]) -> None:
        self.refused(write("a.bcif", GOOD), r"unknown suffix '.bcif'; use one of .cif, .mmcif, .pdb, .ent")

    @pytest.mark.parametrize("kept", [3, 20, 0.5, -9, -1])
    def test_truncated_gzip(self, kept: float, write: Callable[..., Path]) -> None:
        content = Path(str(embedded_structure("5i55"))).read_bytes()
        end = int(len(content) * kept) if isinstance(kept, float) else kept
        self.refused(write("a.cif.gz", content[:end]), "the gzip stream is truncated; fetch")

    def test_damaged_gzip(self, write: Callable[..., Path]) -> None:
        content = bytearray(Path(str(embedded_structure("5i55"))).read_bytes())
        content[5000:5050] = bytes(50)
        self.refused(write("a.cif.gz", bytes(content)), "the gzip stream is damaged .*; fetch")

    def test_garbage_after_gzip(self, write: Callable[..., Path]) -> None:
        self.refused(write("a.cif.gz", gzip.compress(GOOD.encode()) + b"garbage"), "the gzip stream is damaged")

    def test_not_gzip(self, write: Callable[..., Path]) -> None:
        self.refused(write("a.cif.gz", GOOD), "not gzip, though named .gz; rename it")

    def test_gzip_of_nothing(self, write: Callable[..., Path]) -> None:
        self.refused(write("a.cif.gz", gzip.compress(b"")), "the file is empty")

    def test_a_real_file_cut_anywhere_in_a_row(self, write: Callable[..., Path]) -> None:
        """Refused up to the last value of the row; cut after a whole row, a file reads as a shorter one."""
        text = gzip.decompress(Path(str(embedded_structure("1a7g"))).read_bytes())
        start = text.index(b"\nATOM ") + 1
        row = text.index(b"\n", start) + 1
        for cut in range(row + 1, row + len(text[start:row].rstrip()) - 1):
            with pytest.raises(StructureError, match="cut off: line"):
                read_atoms(write("a.cif", text[:cut]))
        assert len(read_atoms(write("a.cif", text[:row]))) == 1

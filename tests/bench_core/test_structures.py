"""Reading structures: the embedded ones, the options, PDB files, and every way a file can be damaged."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

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

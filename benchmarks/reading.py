"""How long does reading a structure take? The public reader, and the slow ancestor beside it."""

from __future__ import annotations

from .base import Suite, once, subject


class Structure(Suite):
    params = (["5pti", "1bd2", "3kpr"], ["read_atoms", "ancestor"])
    param_names = ("structure", "reader")

    @once
    def setup(self, structure: str, reader: str) -> None:
        self.path = subject("bench_core.structures", "embedded_structure")(structure)
        if reader == "read_atoms":
            self.read = subject("bench_core.structures", "read_atoms")
        else:
            self.read = subject("bench_core.reference.mmcif", "read_atoms_slow")

    def time_read(self, structure: str, reader: str) -> None:
        self.read(self.path)

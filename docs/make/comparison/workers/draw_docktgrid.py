"""DockTGrid: every voxel against every atom. It is made for complexes: the last atom plays the ligand."""

from __future__ import annotations

from typing import Any

import torch
from docktgrid.molecule import MolecularComplex
from docktgrid.molparser import MolecularData
from docktgrid.view import View as ChannelView
from docktgrid.voxel import VoxelGrid
from serve import Arm, Case, Drawing, View, serve, versions_of

torch.set_num_threads(1)


class GivenChannels(ChannelView):
    """Channels that are known already, (C, N) bool."""

    def __init__(self, n_channels: int) -> None:
        self.n_channels = n_channels
        self.masks = torch.zeros((n_channels, 0), dtype=torch.bool)

    def get_num_channels(self) -> int:
        return self.n_channels

    def get_channels_names(self) -> list[str]:
        return [str(channel) for channel in range(self.n_channels)]

    def get_molecular_complex_channels(self, molecular_complex: Any) -> torch.Tensor:
        return self.masks

    def get_protein_channels(self, molecular_complex: Any) -> None:
        return None

    def get_ligand_channels(self, molecular_complex: Any) -> None:
        return None


def complex_of(view: View, resolution_A: float) -> MolecularComplex:
    """A complex with the radii of the view, around the centre of the view."""
    coords = torch.tensor(view.coords_A.T, dtype=torch.float32)
    protein = MolecularData(None, coords[:, :-1], view.elements[:-1])
    ligand = MolecularData(None, coords[:, -1:], view.elements[-1:])
    molecule = MolecularComplex(protein, ligand)
    molecule.vdw_radii = torch.tensor(view.radii_A, dtype=torch.float32)
    # Its points are the lower corners of the voxels: half a voxel further they are the centres.
    molecule.ligand_center = torch.full((3,), resolution_A / 2)
    return molecule


def arm(case: Case) -> Arm:
    """`VoxelGrid.voxelize` into a new image: its `out=` raises in this version."""
    channels = GivenChannels(len(case.groups))
    box_A = [case.length_voxels * case.resolution_A] * 3
    grid = VoxelGrid([channels], case.resolution_A, box_A)
    made: list[Any] = [None]

    def prepare(view: View) -> Drawing:
        molecule = complex_of(view, case.resolution_A)
        channels.masks = torch.tensor(view.channels)[None] == torch.arange(len(case.groups))[:, None]

        def draw() -> None:
            made[0] = grid.voxelize(molecule)

        return Drawing(draw, lambda: made[0].numpy())

    return prepare


if __name__ == "__main__":
    serve(lambda case: {"occupancy": arm(case)}, versions=versions_of("docktgrid", "torch"))

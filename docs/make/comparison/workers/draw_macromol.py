"""macromol-voxelize: its C++ core alone, and its public path over polars frames."""

from __future__ import annotations

from typing import Any

import macromol_voxelize as mmvox
import numpy as np
import polars as pl
from macromol_voxelize import _voxelize as core
from serve import Arm, Case, Drawing, View, serve, versions_of


def grid_of(case: Case) -> Any:
    """Its grid, around the origin."""
    return mmvox.Grid(length_voxels=case.length_voxels, resolution_A=case.resolution_A, center_A=np.zeros(3))


def core_arm(case: Case, dtype: Any = np.float32) -> Arm:
    """Zero an image that is there already, and fill it."""
    grid, image = grid_of(case), np.zeros(case.shape, dtype)
    kinds = mmvox.FillAlgorithm.FractionAtom, mmvox.AggAlgorithm.Sum

    def prepare(view: View) -> Drawing:
        columns = [np.ascontiguousarray(column) for column in view.coords_A.T]
        columns += [view.radii_A, view.channels, np.ones(len(view.channels), np.uint32), view.occupancies]

        def draw() -> None:
            image[...] = 0
            core._add_atoms_to_image(image, grid, *columns, *kinds)

        return Drawing(draw, lambda: image)

    return prepare


def public_arm(case: Case) -> Arm:
    """Discard atoms, set channels, make an image: the frame with coordinates, elements and radii is the user's."""
    parameters = mmvox.ImageParams(channels=len(case.groups), grid=grid_of(case))
    made: list[Any] = [None]

    def prepare(view: View) -> Drawing:
        axes = dict(zip("xyz", view.coords_A.T, strict=True))
        columns = {"element": view.elements, "radius_A": view.radii_A, "occupancy": view.occupancies}
        atoms = pl.DataFrame({**axes, **columns})

        def draw() -> None:
            near = mmvox.discard_atoms_outside_image(atoms, parameters)
            with_channels = mmvox.set_atom_channels_by_element(near, case.groups)
            made[0] = mmvox.image_from_all_atoms(with_channels, parameters)

        return Drawing(draw, lambda: made[0])

    return prepare


def arms_of(case: Case) -> dict[str, Arm]:
    """Core and public path."""
    return {"C++ core": core_arm(case), "public path": public_arm(case)}


VERSIONS = versions_of("macromol-voxelize", "polars")

if __name__ == "__main__":
    serve(arms_of, versions=VERSIONS)

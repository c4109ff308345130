"""The views that all are given: real structures, two grids, three sets of radii."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench_core import Grid, ImageSpec, read_embedded
from bench_core.elements import SYMBOLS
from bench_core.frames import random_rotation, view_frame
from bench_core.origins.neighbours import origins_among
from bench_core.reference.views import transform_coords

STRUCTURES = ("3kpr", "3o21", "2xhe", "1bd2")
CHANNELS = [["C"], ["N"], ["O"], ["S", "SE"], ["P"], ["*"]]
GRIDS = (Grid(24, 1.0), Grid(21, 0.75))
RADII_A: dict[str, float | dict[str, float] | None] = {
    "r = h/2": None,
    "r = 1.7 Å": 1.7,
    # Van der Waals radii (Bondi); S, SE and P, 1.8 to 1.9 there, are cut to 1.7; the rest is nearly always a metal ion.
    "r = 1.0-1.7 Å": {"C": 1.7, "N": 1.55, "O": 1.52, "S": 1.7, "SE": 1.7, "P": 1.7, "*": 1.0},
}
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AtomsOfView:
    """The atoms that may reach into one view, in its frame; as `View` of workers/serve.py."""

    coords_A: FloatArray
    radii_A: FloatArray
    channels: npt.NDArray[np.int64]
    occupancies: FloatArray
    elements: npt.NDArray[np.str_]


def image_of(grid: Grid, radii: str) -> ImageSpec:
    """The image of a grid and one of `RADII_A`."""
    return ImageSpec(grid, CHANNELS, radius_A=RADII_A[radii])


def case_name(image: ImageSpec, radii: str) -> str:
    """How the page calls a case."""
    return f"{image.grid.length_voxels}³ x {image.grid.resolution_A:g} Å, {radii}"


def views(image: ImageSpec, n_views: int) -> Iterator[AtomsOfView]:
    """Yield the atoms in the box around each view; the structures take turns, so that any first few are of all."""
    rng = np.random.default_rng(0)
    reach_A = image.grid.length_A / 2 + image.max_radius_A
    molecules = [(atoms, origins_among(atoms)) for atoms in map(read_embedded, STRUCTURES)]
    for view in range(n_views):
        atoms, origins_A = molecules[view % len(molecules)]
        frame = view_frame(random_rotation(rng), origins_A[rng.integers(len(origins_A))])
        coords_A = transform_coords(atoms.coords_A, frame)
        near = (np.abs(coords_A) < reach_A).all(axis=1)
        elements = atoms.elements[near]
        yield AtomsOfView(
            coords_A[near],
            image.radii_A(elements),
            np.log2(image.channel_masks(elements)).astype(np.int64),
            atoms.occupancies[near].astype(np.float64),
            np.array([SYMBOLS[number].upper() for number in elements], dtype="U2"),
        )


def write_case(file: Path, image: ImageSpec, n_views: int) -> float:
    """Write the views of a case for the workers, as one .npz; return the mean number of atoms per view."""
    seen = list(views(image, n_views))
    names = ("coords_A", "radii_A", "channels", "occupancies", "elements")
    columns = {name: np.concatenate([getattr(view, name) for view in seen]) for name in names}
    n_atoms = [len(view.channels) for view in seen]
    np.savez(
        file,
        starts=np.cumsum([0, *n_atoms]),
        length_voxels=image.grid.length_voxels,
        resolution_A=image.grid.resolution_A,
        groups=json.dumps(CHANNELS),
        **columns,
    )
    return float(np.mean(n_atoms))

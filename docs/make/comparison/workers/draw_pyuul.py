"""PyUUL: the sigmoid density as a dense volume. Its grid is the box of the atoms, wider than the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pyuul import VolumeMaker
from serve import Arm, Case, Drawing, View, serve, versions_of

torch.set_num_threads(1)


def arm(case: Case) -> Arm:
    """`Voxels.forward`, looking as many voxels around each atom as the largest radius reaches, and one more."""
    h = case.resolution_A
    around = math.ceil(case.max_radius_A / h) + 1
    maker = VolumeMaker.Voxels(device=torch.device("cpu"), sparse=False)
    # Its voxel i lies at (i + h / 2) h of its box, so that this shift puts its voxels where the image has them.
    shift_A = ((case.length_voxels - 1) / 2 + h / 2) % 1.0 * h
    made: list[Any] = [None]

    def prepare(view: View) -> Drawing:
        coords = torch.tensor(view.coords_A + shift_A, dtype=torch.float32)[None]
        radii = torch.tensor(view.radii_A, dtype=torch.float32)[None]
        channels = torch.tensor(view.channels)[None]
        options = {"numberchannels": len(case.groups), "resolution": h, "cubes_around_atoms_dim": around}

        @torch.no_grad()
        def draw() -> None:
            made[0] = maker(coords, radii, channels, **options)

        first = np.trunc(coords[0].numpy().min(axis=0) / np.float32(h)) - around
        start = np.rint((shift_A + case.voxel_centers_A()[0]) / h - h / 2 - first).astype(int)
        return Drawing(draw, lambda: cut_out(made[0][0].numpy(), start, case.shape))

    return prepare


def cut_out(volume: npt.NDArray[Any], start: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The part of a volume that starts at voxel `start`; 0 where the volume does not reach."""
    image = np.zeros(shape)
    lows = np.maximum(start, 0)
    highs = np.minimum(start + shape[1], volume.shape[1:])
    source = (slice(None), *(slice(low, high) for low, high in zip(lows, highs, strict=True)))
    target = (slice(None), *(slice(a - s, b - s) for s, a, b in zip(start, lows, highs, strict=True)))
    image[target] = volume[source]
    return image


if __name__ == "__main__":
    serve(lambda case: {"sigmoid": arm(case)}, versions=versions_of("pyuul", "torch"))

"""moleculekit: occupancies at voxel centres that are made once, radii from the view."""

from __future__ import annotations

from typing import Any

import numpy as np
from moleculekit.tools.voxeldescriptors import getVoxelDescriptors
from serve import Arm, Case, Drawing, View, serve, versions_of


def arm(case: Case) -> Arm:
    """`getVoxelDescriptors` with the user's own coordinates, centres and channels."""
    axes_A = np.meshgrid(*(case.voxel_centers_A(),) * 3, indexing="ij")
    centers_A = np.stack([axis_A.ravel() for axis_A in axes_A], axis=1)
    made: list[Any] = [None]

    def prepare(view: View) -> Drawing:
        radii_A = np.zeros((len(view.channels), len(case.groups)))
        radii_A[np.arange(len(view.channels)), view.channels] = view.radii_A
        coords_A = view.coords_A.astype(np.float32)

        def draw() -> None:
            made[0], _ = getVoxelDescriptors(None, usercenters=centers_A, userchannels=radii_A, usercoords=coords_A)

        return Drawing(draw, lambda: made[0].T.reshape(case.shape))

    return prepare


if __name__ == "__main__":
    serve(lambda case: {"occupancy": arm(case)}, versions=versions_of("moleculekit"))

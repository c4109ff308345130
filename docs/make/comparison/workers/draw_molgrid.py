"""molgrid: both of its densities, from index types, into a grid that wraps an array of numpy's."""

from __future__ import annotations

import molgrid
import numpy as np
from serve import Arm, Case, Drawing, View, serve, versions_of


def arm(case: Case, binary: bool) -> Arm:
    """`GridMaker.forward`, which zeroes the image itself."""
    span_A = (case.length_voxels - 1) * case.resolution_A
    maker = molgrid.GridMaker(resolution=case.resolution_A, dimension=span_A, binary=binary)
    image = np.zeros(case.shape, np.float32)
    out, center = molgrid.Grid4f(image), molgrid.float3(0, 0, 0)

    def prepare(view: View) -> Drawing:
        arrays = [array.astype(np.float32) for array in (view.coords_A, view.channels, view.radii_A)]
        coords, channels, radii = molgrid.Grid2f(arrays[0]), molgrid.Grid1f(arrays[1]), molgrid.Grid1f(arrays[2])

        # The grids point into the arrays, and do not keep them.
        def draw(_kept: object = arrays) -> None:
            maker.forward(center, coords, channels, radii, out)

        return Drawing(draw, lambda: image)

    return prepare


def arms_of(case: Case) -> dict[str, Arm]:
    """Gaussian and binary."""
    return {"Gaussian": arm(case, binary=False), "binary": arm(case, binary=True)}


if __name__ == "__main__":
    serve(arms_of, versions=versions_of("molgrid"))

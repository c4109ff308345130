"""bench_core: through its public function, all checks included, into an image that is there already."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from serve import Arm, Case, Drawing, View, serve, versions_of

from bench_core import Grid, voxelize_atoms, voxels

PRECISIONS = ["float64"]
if "precision" in inspect.signature(voxelize_atoms).parameters:
    PRECISIONS.append("float32")


def arm(case: Case, precision: str = "float64", variant: str | None = None, dtype: Any = np.float32) -> Arm:
    """One way to call `voxelize_atoms`; `variant` None: the one that it chose itself."""
    grid = Grid(case.length_voxels, case.resolution_A)
    image = np.zeros(case.shape, dtype)
    options = {"precision": precision} if len(PRECISIONS) > 1 else {}

    def prepare(view: View) -> Drawing:
        if variant is not None:
            voxels.use_simd_variant(variant)
        masks = np.left_shift(1, view.channels).astype(np.uint32)

        def draw() -> object:
            return voxelize_atoms(
                view.coords_A,
                view.radii_A,
                masks,
                grid,
                len(case.groups),
                occupancies=view.occupancies,
                out=image,
                dtype=dtype,
                **options,
            )

        return Drawing(draw, lambda: image)

    return prepare


def precisions(case: Case) -> list[str]:
    """Those that this build has for the radii of the case: float32 is for spheres no wider than a voxel."""
    return PRECISIONS if case.max_radius_A <= case.resolution_A / 2 else PRECISIONS[:1]


def arms_of(case: Case) -> dict[str, Arm]:
    """The variant in use, in each precision."""
    return {precision: arm(case, precision) for precision in precisions(case)}


def variants() -> list[str]:
    """The SIMD variants that this build can switch between on this CPU; none: it has one kernel."""
    return list(getattr(voxels, "simd_variants", list)())


ABOUT = {"versions": versions_of("bench_core", "cffi"), "variants": variants(), "in_use": voxels.simd_variant()}

if __name__ == "__main__":
    serve(arms_of, **ABOUT)

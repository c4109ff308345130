"""macromol-voxelize's C++ core and every variant of bench_core in one process: neither has a luckier one.

Image types other than float32 are there for their differences, not to be timed.
"""

from __future__ import annotations

import draw_macromol
import draw_ours
import numpy as np
from serve import Arm, Case, serve


def arms_of(case: Case) -> dict[str, Arm]:
    """The core, `VARIANT PRECISION` of ours, and arms that end in `, float64 image`."""
    # A build with one kernel has nothing to switch.
    kernels = {name: name for name in draw_ours.variants()} or {draw_ours.voxels.simd_variant(): None}
    arms = {"C++ core": draw_macromol.core_arm(case)}
    for precision in draw_ours.precisions(case):
        arms |= {f"{name} {precision}": draw_ours.arm(case, precision, use) for name, use in kernels.items()}
    arms["C++ core, float64 image"] = draw_macromol.core_arm(case, np.float64)
    for name, use in kernels.items():
        arms[f"{name}, float64 image"] = draw_ours.arm(case, variant=use, dtype=np.float64)
    return arms


if __name__ == "__main__":
    serve(arms_of, **{**draw_ours.ABOUT, "versions": {**draw_ours.ABOUT["versions"], **draw_macromol.VERSIONS}})

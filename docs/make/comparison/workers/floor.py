"""What no voxelizer goes below on this CPU: zeroing the image, and adding to 8 voxels per atom without any maths."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from serve import Arm, Case, Drawing, View, serve, versions_of

SOURCE = Path(__file__).with_suffix(".c")


def compiled() -> ctypes.CDLL:
    """The functions of floor.c, with every instruction that this CPU has."""
    compiler = os.environ.get("CC", "cc")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "floor.so"
        for tuning in (["-march=native"], []):
            command = [*compiler.split(), "-O3", *tuning, "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-lm"]
            if subprocess.run(command, check=False).returncode == 0:
                return ctypes.CDLL(str(library))
    raise OSError(f"{compiler} cannot compile {SOURCE.name}")


def bound(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """A call whose arguments are converted once: only the call itself is left to be timed."""

    def draw() -> object:
        return function(*arguments)

    return draw


def arms_of(case: Case) -> dict[str, Arm]:
    """`zero`, and `splat`, which zeroes too."""
    library = compiled()
    image = np.zeros(case.shape, np.float32)
    target = ctypes.c_void_p(image.ctypes.data)
    length, n_channels = ctypes.c_int64(case.length_voxels), ctypes.c_int64(len(case.groups))

    def zero(view: View) -> Drawing:
        return Drawing(bound(library.zero, target, ctypes.c_int64(image.size)), lambda: image)

    def splat(view: View) -> Drawing:
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (view.coords_A, view.channels, view.occupancies)]
        grid = length, ctypes.c_double(case.resolution_A), n_channels
        return Drawing(
            bound(library.splat, *pointers, ctypes.c_int64(len(view.channels)), *grid, target), lambda: image
        )

    return {"zero": zero, "splat": splat}


if __name__ == "__main__":
    serve(arms_of, versions=versions_of())

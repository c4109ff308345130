"""Write bench_core/data/so3: the rotations at which fields are sampled, which are slow to compute.

    OMP_NUM_THREADS=1 python docs/make/so3_grids.py

takes 35 s (minutes with more threads, which get into each other's way) and needs escnn
(`pip install --no-deps escnn==1.0.11`, `pip install joblib`). What the file holds stands in
bench_core/models/so3/grids.py; tests/bench_core/test_so3_grids.py holds it against escnn.

The grids are what escnn's own optimiser finds: ten descents of a repulsive potential in float32, from points of
numpy.random.RandomState(42). Rounding decides where they end, so that each instruction set of a processor has a grid
of its own, as good as the others. A model is bound to the grid that it was trained with, hence a new run makes old
checkpoints worthless: a file that exists is kept, and has to be removed first.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.models.so3.grids import BLOCKS
from bench_core.models.stock.importing import import_escnn

FILE = Path(__file__).parents[2] / "bench_core" / "data" / "so3" / "thomson_cube.npz"


def main() -> None:
    if FILE.exists():
        sys.exit(f"{FILE} exists, and checkpoints depend on it: remove it to make another one")
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **thomson_cube_grids())


def thomson_cube_grids() -> dict[str, Any]:
    """Return the grids as escnn computes them here, by the names that they have in the file."""
    import_escnn()
    grids = importlib.import_module("escnn.group.groups.so3_utils")
    return {f"quaternions_{blocks}": grids.thomson_cube_so3.__wrapped__(blocks) for blocks in BLOCKS}


if __name__ == "__main__":
    main()

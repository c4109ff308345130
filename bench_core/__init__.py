"""bench_core: mmCIF structures to voxelized view pairs, fast enough to be worth measuring."""

from bench_core.atoms import Atoms
from bench_core.errors import (
    BenchCoreError,
    LoaderError,
    MissingOriginError,
    StoreError,
    StructureError,
    VoxelError,
)
from bench_core.grid import Grid, ImageSpec
from bench_core.origins import Origin, OriginStore, open_origins
from bench_core.structures import embedded_structure, embedded_structures, read_atoms, read_embedded
from bench_core.voxels import voxelize_atoms, voxelize_view, voxelize_views

__version__ = "0.1.0"

__all__ = [
    "Atoms",
    "BenchCoreError",
    "Grid",
    "ImageSpec",
    "LoaderError",
    "MissingOriginError",
    "Origin",
    "OriginStore",
    "StoreError",
    "StructureError",
    "VoxelError",
    "embedded_structure",
    "embedded_structures",
    "open_origins",
    "read_atoms",
    "read_embedded",
    "voxelize_atoms",
    "voxelize_view",
    "voxelize_views",
]

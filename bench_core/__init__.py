"""bench_core: mmCIF structures to voxelized view pairs, fast enough to be worth measuring."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bench_core.atoms import Atoms
from bench_core.errors import (
    BenchCoreError,
    LoaderError,
    MissingOriginError,
    ModelError,
    StoreError,
    StructureError,
    VoxelError,
)
from bench_core.grid import Grid, ImageSpec
from bench_core.origins import Origin, OriginStore, open_origins
from bench_core.structures import embedded_structure, embedded_structures, read_atoms, read_embedded
from bench_core.voxels import voxelize_atoms, voxelize_view, voxelize_views

if TYPE_CHECKING:
    from bench_core import datasets, loaders

__version__ = "0.1.0"

__all__ = [
    "Atoms",
    "BenchCoreError",
    "Grid",
    "ImageSpec",
    "LoaderError",
    "MissingOriginError",
    "ModelError",
    "Origin",
    "OriginStore",
    "StoreError",
    "StructureError",
    "VoxelError",
    "datasets",
    "embedded_structure",
    "embedded_structures",
    "loaders",
    "open_origins",
    "read_atoms",
    "read_embedded",
    "voxelize_atoms",
    "voxelize_view",
    "voxelize_views",
]

# These import torch: they load when first asked for, so that `import bench_core` stays at numpy and the C module.
_LAZY = ("datasets", "loaders")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"bench_core.{name}")
    raise AttributeError(f"module 'bench_core' has no attribute {name!r}")

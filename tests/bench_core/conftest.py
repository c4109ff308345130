"""Small prepared stores and images that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench_core
from bench_core import Grid, ImageSpec, embedded_structure, read_atoms
from bench_core.origins.prepare import prepare_store


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two structures with valid pairs and one without origins, prepared."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare_store({name: embedded_structure(name) for name in ("1gbt", "4zhl", "3jqh")}, folder, read_atoms)
    return folder


@pytest.fixture(scope="session")
def origins(prepared_folder: Path) -> bench_core.OriginStore:
    return bench_core.open_origins(prepared_folder)


@pytest.fixture(scope="session")
def small_image() -> ImageSpec:
    """9^3 voxels of 1 Å, four channels: quick to fill, large enough for pairs."""
    return ImageSpec(Grid(9, 1.0), [["C"], ["N"], ["O"], ["*"]])

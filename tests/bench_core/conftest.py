"""Small prepared stores and images that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bench_core
from bench_core import Grid, ImageSpec, embedded_structure, read_atoms
from bench_core.origins.prepare import prepare_store
from bench_core.simd import KNOWN_VARIANTS, simd_variant, simd_variants, use_simd_variant


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


@pytest.fixture(scope="module", params=KNOWN_VARIANTS)
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each kernel in turn, for a whole module: Hypothesis wants no fixture that is made anew for each test.

    `pytestmark = pytest.mark.usefixtures("variant")` runs all tests of a module with every kernel.
    """
    if request.param not in simd_variants():
        pytest.skip(f"no kernel {request.param}: this processor does not run it, or this build has none")
    before = simd_variant()
    use_simd_variant(request.param)
    yield request.param
    use_simd_variant(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread: small models gain nothing from more, which wait for each other on a busy machine
    twenty times as long as they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

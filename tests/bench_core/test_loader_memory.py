"""How much the loader's main process may allocate, by memray's own count."""

from __future__ import annotations

from pathlib import Path

import memray
import pytest

from bench_core import Grid, ImageSpec, OriginStore
from bench_core.datasets import OriginPairs
from bench_core.loaders import iterate, make_loader

pytestmark = pytest.mark.timeout(120)

BATCH_BYTES = 16 * 2 * 4 * 21**3 * 4
"""16 examples of two views of 21^3 voxels in 4 channels, float32: 4.7 MB."""


def peak_bytes(origins: OriginStore, workers: int, capture: Path, n_batches: int = 6) -> tuple[int, int]:
    """What this process holds at the peak of iterating the loader: (all that it allocated, without what
    it received from workers)."""
    image = ImageSpec(Grid(21, 0.75), [["C"], ["N"], ["O"], ["*"]])
    loader = make_loader(OriginPairs(origins, image, size=16 * n_batches), 16, workers)
    with memray.Tracker(capture):
        for _ in iterate(loader):
            pass
    records = list(memray.FileReader(capture).get_high_watermark_allocation_records(merge_threads=True))
    received = sum(
        record.size for record in records if any("rebuild_storage" in frame[0] for frame in record.stack_trace())
    )
    total = sum(record.size for record in records)
    return total, total - received


def test_with_workers_the_main_process_makes_no_images(origins: OriginStore, tmp_path: Path) -> None:
    """Batches arrive in shared memory that the workers filled: two per worker in flight, and one in use."""
    peak_bytes(origins, 2, tmp_path / "warm-up.bin", n_batches=2)  # imports, caches
    peak, own = peak_bytes(origins, 2, tmp_path / "load.bin")
    assert peak < 5.5 * BATCH_BYTES
    assert own < BATCH_BYTES / 4


def test_without_workers_it_holds_two_batches_and_the_examples_of_one(origins: OriginStore, tmp_path: Path) -> None:
    peak_bytes(origins, 0, tmp_path / "warm-up.bin", n_batches=2)
    peak, _ = peak_bytes(origins, 0, tmp_path / "load.bin")
    assert 2 * BATCH_BYTES < peak < 3.5 * BATCH_BYTES
    # More batches hold no more memory: nothing is kept from one to the next.
    assert peak_bytes(origins, 0, tmp_path / "longer.bin", n_batches=18)[0] < peak + BATCH_BYTES / 4

"""How much the loader's main process may allocate, by memray's own count."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import memray
import pytest

from bench_core import Grid, ImageSpec, OriginStore
from bench_core.datasets import OriginPairs
from bench_core.loaders import iterate, make_loader

pytestmark = pytest.mark.timeout(120)

BATCH_BYTES = 16 * 2 * 4 * 21**3 * 4
"""16 examples of two views of 21^3 voxels in 4 channels, float32: 4.7 MB."""


IMAGE = ImageSpec(Grid(21, 0.75), [["C"], ["N"], ["O"], ["*"]])


def batches(origins: OriginStore, workers: int, n_batches: int) -> Iterator[object]:
    """Iterate a loader."""
    return iterate(make_loader(OriginPairs(origins, IMAGE, size=16 * n_batches), 16, workers))


@pytest.fixture
def warm(origins: OriginStore) -> OriginStore:
    """The store, after what the first loader of a process imports and caches: tens of megabytes."""
    for workers in (0, 1):
        for _ in batches(origins, workers, 2):
            pass
    return origins


# What pytest-memray limits is the peak of the main process, in MiB; a batch has 4.5. Each limit is well below what
# twice the allocations of a batch would take: 27 and 54.


@pytest.mark.limit_memory("17 MB")
def test_loading_in_the_main_process_takes_three_batches(warm: OriginStore) -> None:
    assert sum(1 for _ in batches(warm, 0, 10)) == 10


@pytest.mark.limit_memory("30 MB")
def test_batches_of_workers_take_their_own_size_and_nothing_else(warm: OriginStore) -> None:
    """Kept, because it depends on the workers' speed how many are in flight; memray sees the mapping of each."""
    assert len(list(batches(warm, 2, 6))) == 6


def test_a_limit_is_no_mere_label(tmp_path: Path) -> None:
    """With the suite's own options, in a process of pytest-xdist."""
    (tmp_path / "test_limits.py").write_text(LIMITED)
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(root / "pyproject.toml"),
        "--rootdir",
        str(tmp_path),
        "-n",
        "1",
    ]
    done = subprocess.run([*command, str(tmp_path / "test_limits.py")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "Test was limited to 4.0MiB but allocated 8.0MiB" in done.stdout


LIMITED = """
import pytest

@pytest.mark.limit_memory("4 MB")
@pytest.mark.parametrize("megabytes", [2, 8])
def test_it(megabytes):
    assert bytearray(megabytes * 2**20)
"""


def peak_bytes(origins: OriginStore, workers: int, capture: Path, n_batches: int = 6) -> tuple[int, int]:
    """What this process holds at the peak of iterating the loader: (all that it allocated, without what
    it received from workers)."""
    loader = make_loader(OriginPairs(origins, IMAGE, size=16 * n_batches), 16, workers)
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

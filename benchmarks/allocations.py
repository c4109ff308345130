"""How often does loading allocate, and how much, by memray's count?

Batches is exact: the count, the sum of bytes and the peak of the loader in the main process are the same in every
process on one machine with the same versions, and one that differs is a change. Workers, forked, wait for each other:
count and bytes per worker repeat to 0.5 %, and their peak has two values that lie 13 % apart (no benchmark of it here).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from asv_runner.benchmarks.mark import SkipNotImplemented

from .base import PreparedSuite, Suite, or_nothing, prepared_folder, subject
from .examples import make_pairs
from .worker_memory import capture_loader

N_BATCHES = 10
BATCH_SIZE = 16


def counted(work: Any, file: Path) -> Any:
    """Return memray's statistics of a call."""
    import memray
    from memray._memray import compute_statistics

    with memray.Tracker(file):
        work()
    return compute_statistics(str(file))


class Batches(PreparedSuite):
    """Ten batches of 16 examples in the main process (num_workers=0), after two that import and fill caches."""

    def setup(self, folder: str) -> None:
        make_loader = subject("bench_core.loaders", "make_loader")

        def load(n_batches: int) -> None:
            for _ in make_loader(make_pairs(folder, n_batches * BATCH_SIZE), BATCH_SIZE, 0):
                pass

        with tempfile.TemporaryDirectory() as captures:
            counted(lambda: load(2), Path(captures, "warm-up.bin"))
            self.statistics = counted(lambda: load(N_BATCHES), Path(captures, "batches.bin"))

    def track_allocations(self, folder: str) -> float:
        return float(self.statistics.total_num_allocations)

    def track_allocated_bytes(self, folder: str) -> float:
        return float(self.statistics.total_memory_allocated)

    track_allocated_bytes.unit = "bytes"  # type: ignore[attr-defined]

    def track_peak_bytes(self, folder: str) -> float:
        return float(self.statistics.peak_memory_allocated)

    track_peak_bytes.unit = "bytes"  # type: ignore[attr-defined]


class PerWorker(Suite):
    """The loader command with two forked workers: the mean of what each allocated over its life."""

    def setup_cache(self) -> dict[str, float]:
        folder = or_nothing(folder_to_load)
        return measured(folder) if folder else {}

    def setup(self, means: dict[str, float]) -> None:
        if not means:
            raise SkipNotImplemented("this commit cannot load a prepared store")

    def track_allocations(self, means: dict[str, float]) -> float:
        return means["allocations"]

    def track_allocated_bytes(self, means: dict[str, float]) -> float:
        return means["allocated_bytes"]

    track_allocated_bytes.unit = "bytes"  # type: ignore[attr-defined]


def folder_to_load() -> str:
    """Prepare the embedded structures, at a commit that has the loader command."""
    subject("bench_core.commands.load", "run")
    return prepared_folder()


def measured(folder: str) -> dict[str, float]:
    """Run the loader command under memray; return the means over its workers."""
    from bench_harness.memory.memray_table import read_table

    with tempfile.TemporaryDirectory() as captures:
        capture_loader(folder, captures)
        workers = [row for row in read_table(Path(captures)).processes if row.role == "worker"]
    return {
        "allocations": float(np.mean([row.allocations for row in workers])),
        "allocated_bytes": float(np.mean([row.allocated_bytes for row in workers])),
    }

"""What does each worker cost in memory, and what do the main process and the workers allocate?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .base import PreparedSuite, Suite, needed, or_nothing, subject
from .examples import make_pairs

N_ORIGINS = 1_000_000
N_TAGS = 1000
WORKERS = 2


def synthetic_store() -> str:
    """Write a store of a million synthetic origins into asv's working folder; return the folder."""
    write_store = subject("bench_core.origins.prepare", "write_store")
    synthetic_origins = subject("bench_core.synthetic", "synthetic_origins")
    atoms = subject("bench_core.atoms", "Atoms")
    origins = synthetic_origins(np.random.default_rng(0), N_ORIGINS, N_TAGS)
    empty = atoms(np.empty((0, 3), np.float32), np.empty(0, np.uint8))
    bounds = zip(origins.offsets[:-1], origins.offsets[1:], strict=True)
    parts = [(empty, origins.xyz_A[first:last]) for first, last in bounds]
    folder = Path("synthetic").resolve()
    write_store(folder, list(origins.tags), parts, {"inputs": {}})
    return str(folder)


def capture_loader(folder: str, captures: str) -> None:
    """Run the loader command under memray; leave a capture per process in a folder."""
    # Never --aggregate: it loses the files of forked workers.
    command = [sys.executable, "-m", "memray", "run", "--quiet", "--follow-fork", "-o", f"{captures}/load.bin"]
    command += ["-m", "bench_core", "load", "--data", folder, "--workers", str(WORKERS), "--batches", "10"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=os.environ)
    if done.returncode or not json.loads(done.stdout)["completed"]:
        raise RuntimeError(f"the loader failed under memray: {done.stderr}")


class WorkerUss(Suite):
    """Private memory (USS) per forked worker that has touched every origin, net of a worker that holds nothing.

    asv's own `peakmem_` cannot answer this: it takes the peak RSS of the benchmark's process and ignores children.
    The figure is a difference of two measurements of some 8 MB each: it repeats to about 0.1 MB, so a ratio of two
    small values of it means nothing.
    """

    def setup_cache(self) -> str:
        return or_nothing(synthetic_store)

    def setup(self, folder: str) -> None:
        self.loader_of = subject("bench_core.loaders", "make_loader")
        lookups = subject("bench_core.datasets", "OriginLookups")
        open_origins = subject("bench_core.origins", "open_origins")
        self.lookups = lookups(open_origins(needed(folder)), repeats=WORKERS)

    def track_uss_bytes_per_worker_net_of_an_empty_one(self, folder: str) -> float:
        import torch

        from bench_harness.memory.worker_uss import loader_worker_uss_bytes

        nothing = torch.utils.data.TensorDataset(torch.zeros(len(self.lookups), 1))

        def mean_uss_bytes(dataset: Any) -> float:
            # Batches of one: the workers take turns, so that each comes to touch every origin.
            return float(np.mean(loader_worker_uss_bytes(self.loader_of(dataset, 1, WORKERS, "fork"))))

        # In pairs, and the median of them: a page that this process gives back while workers live becomes theirs.
        return float(np.median([mean_uss_bytes(self.lookups) - mean_uss_bytes(nothing) for _ in range(9)]))

    track_uss_bytes_per_worker_net_of_an_empty_one.unit = "bytes"  # type: ignore[attr-defined]


class MainProcess(PreparedSuite):
    """Peak RSS of the main process of a loader with two workers.

    `peakmem_` ignores children: the workers' memory is not in this figure (see WorkerUss and Allocations).
    """

    def setup(self, folder: str) -> None:
        self.loader = subject("bench_core.loaders", "make_loader")(make_pairs(folder, 160), 16, WORKERS, "fork")

    def peakmem_main_process_of_loader(self, folder: str) -> None:
        for _ in self.loader:
            pass


class Allocations(PreparedSuite):
    """memray on the loader command with two forked workers: one capture per process.

    A worker's peak has two values that lie 13 % apart from run to run; the main process's is steady. What a worker
    allocates over its life is steady too: allocations.PerWorker.
    """

    def setup(self, folder: str) -> None:
        needed(folder)
        subject("bench_core.commands.load", "run")

    def captured(self, folder: str) -> Any:
        """Run the command under memray and read its captures."""
        from bench_harness.memory.memray_files import read_folder

        with tempfile.TemporaryDirectory() as captures:
            capture_loader(folder, captures)
            return read_folder(Path(captures))

    def track_main_peak_bytes(self, folder: str) -> float:
        return float(max(p.peak_bytes for p in self.captured(folder).processes if p.role == "main"))

    def track_worker_peak_bytes(self, folder: str) -> float:
        return float(np.mean([p.peak_bytes for p in self.captured(folder).processes if p.role == "worker"]))

    track_main_peak_bytes.unit = "bytes"  # type: ignore[attr-defined]
    track_worker_peak_bytes.unit = "bytes"  # type: ignore[attr-defined]

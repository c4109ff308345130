"""bench_core's own store at full scale: what a worker that has read every origin holds for itself."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import worker_memory

N_ORIGINS = 16_000_000


def measure(n_origins: int = N_ORIGINS) -> dict[str, Any]:
    """Return private bytes per worker, net of one that holds nothing (benchmarks/worker_memory.py)."""
    suite = worker_memory.WorkerUss()
    with tempfile.TemporaryDirectory() as folder, _inside(folder):
        worker_memory.N_ORIGINS = n_origins
        store = suite.setup_cache()
        suite.setup(store)
        net_bytes = suite.track_uss_bytes_per_worker_net_of_an_empty_one(store)
        on_disk = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file())
    return {"origins": n_origins, "tags": worker_memory.N_TAGS, "store_bytes": on_disk, "net_uss_bytes": net_bytes}


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """As asv does: the suite writes its store into the working folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)

"""What do forked workers copy of what they read, by how it is stored?

examples/storages/measure.py, each storage in a process of its own: proportional memory (PSS) summed over the process
and its workers, before the first worker starts and at the end of an epoch, while they live. The page with all sizes and
start methods is docs/worker-memory.md, made by docs/make/worker_memory.py with what is here.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented

from .base import Suite

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "storages" / "measure.py"
KINDS = ["nothing", "list of str", "list of dict", "pandas object", "pandas categorical", "numpy", "torch", "memmap"]
ROWS = 100_000
WORKERS = 2
RUN_TIMEOUT_S = 1800


class FailedRun(Exception):
    """A run ended badly; one line."""


class TreePss(Suite):
    """Growth of the tree's PSS in an epoch of training, per worker; a data set that holds nothing is the floor.

    The libraries that other programs of the machine map as well make it differ by up to a megabyte or two.
    """

    params = (KINDS,)
    param_names = ("storage",)

    def setup_cache(self) -> dict[str, float]:
        return {kind: growth_bytes(run(kind, ROWS, WORKERS, loaders=1)) for kind in KINDS if is_installed(kind)}

    setup_cache.timeout = 600  # type: ignore[attr-defined]

    def setup(self, growth: dict[str, float], kind: str) -> None:
        if kind not in growth:
            raise SkipNotImplemented(f"{kind}: not installed")

    def track_pss_growth_bytes_per_worker(self, growth: dict[str, float], kind: str) -> float:
        return growth[kind] / WORKERS

    track_pss_growth_bytes_per_worker.unit = "bytes"  # type: ignore[attr-defined]


def growth_bytes(told: dict[str, Any]) -> float:
    """Return by how much PSS of the tree grew in training."""
    return float(told["training"]["pss_bytes"] - told["before"]["pss_bytes"])


def is_installed(kind: str) -> bool:
    """Whether what a storage is made of can be imported, and memory be read, here."""
    packages = [
        "torch",
        "psutil",
        *(["pandas"] if any(word in kind for word in ("pandas", "categor", "groups")) else []),
    ]
    packages += ["pyarrow"] if kind in ("pandas str", "pandas str, two chunks") else []
    return sys.platform == "linux" and all(importlib.util.find_spec(package) for package in packages)


def run(kind: str, rows: int, workers: int, start_method: str = "fork", loaders: int = 2) -> dict[str, Any]:
    """Measure a storage in a process of its own; return what the script told, in bytes.

    Args:
        rows: of the storage; training reads four of five, validation the fifth.
        workers: of each loader.
        loaders: 1 leaves out validation.

    Raises:
        FailedRun: the script failed.
    """
    command = [sys.executable, "-W", "ignore", str(SCRIPT), kind, "--rows", str(rows), "--workers", str(workers)]
    command += ["--start-method", start_method, "--loaders", str(loaders)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise FailedRun(f"{kind}, {rows} rows, {start_method}: not done in {RUN_TIMEOUT_S} s") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no word of it"])[-1]
        raise FailedRun(f"{kind}, {rows} rows, {start_method}: exit code {done.returncode}: {reason}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told

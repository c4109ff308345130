"""What is measured: every storage, in three sizes, under two start methods, as far as memory allows."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from bench_harness import environment
from bench_harness.git import git_output
from benchmarks import storages

SIZES = {"small": 20_000, "medium": 200_000, "full": 2_000_000}
METHODS = ("fork", "forkserver")
WORKERS = 8
PACKAGES = ("torch", "numpy", "pandas", "pyarrow")
# Of what is free: a process holds more while it makes or pickles its rows than afterwards.
USABLE_RATIO = 0.75

Results = dict[str, dict[str, Any]]


def key(kind: str, size: str, method: str) -> str:
    """Return the name of a run in measured.json."""
    return f"{kind} | {size} | {method}"


def combinations(kinds: Iterable[str], sizes: Iterable[str], methods: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return all of them, the small sizes first: they tell what the large ones need."""
    kinds, sizes, methods = list(kinds), set(sizes), list(methods)
    return [(kind, size, method) for size in SIZES if size in sizes for method in methods for kind in kinds]


def measure(
    wanted: Iterable[tuple[str, str, str]],
    results: Results,
    source: str,
    keep: Callable[[], None],
    progress: Callable[[str], None],
) -> None:
    """Measure what `results` lacks, in place; `keep` is called after each run, `source` is kept with each result.

    Raises:
        FailedRun: a run failed.
    """
    for one in wanted:
        name = key(*one)
        if name not in results and storages.is_installed(one[0]):
            results[name] = _measured(*one, results) | {"source": source}
            keep()
            progress(f"{name}: {_told(results[name])}")


def _measured(kind: str, size: str, method: str, results: Results) -> dict[str, Any]:
    free_bytes = psutil.virtual_memory().available * USABLE_RATIO
    needs = {loaders: expected_bytes(kind, size, method, results, loaders) for loaders in (2, 1)}
    fitting = next((loaders for loaders, need in needs.items() if need < free_bytes), None)
    if fitting is None:
        return {"skipped_needs_bytes": needs[1]}
    told = storages.run(kind, SIZES[size], WORKERS, method, fitting)
    return told if fitting == 2 else told | {"skipped_needs_bytes": needs[2]}


def expected_bytes(kind: str, size: str, method: str, results: Results, loaders: int) -> float:
    """Return the line through what the two smaller sizes took; 0 where they are not known."""
    smaller = [results.get(key(kind, name, method), {}) for name in ("small", "medium")]
    phase = "validation" if loaders == 2 else "training"
    if size != "full" or not all(phase in told for told in smaller):
        return 0.0
    small, medium = (float(told[phase]["pss_bytes"]) for told in smaller)
    slope = (medium - small) / (SIZES["medium"] - SIZES["small"])
    return medium + slope * (SIZES["full"] - SIZES["medium"])


def _told(told: dict[str, Any]) -> str:
    phases = [name for name in ("before", "training", "validation") if name in told]
    return " -> ".join(f"{told[name]['pss_bytes'] / 1e6:.0f} MB" for name in phases) or "left out"


def source_of(checkout: Path, folder: str) -> str:
    """Return git's id of the content of a folder: what a result was measured with, in whichever commit it is."""
    tree = git_output(checkout, "rev-parse", "--short=12", f"HEAD:{folder}") or "unknown"
    edited = git_output(checkout, "status", "--porcelain", "--", folder)
    return tree + (" with edits" if edited else "")


def conditions(checkout: Path) -> dict[str, Any]:
    """Return where and with what this was measured."""
    found, _ = environment.collect(checkout)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": found["cpu"]["model"],
        "cores": found["cpu"]["logical_count"],
        "memory_bytes": found["memory"]["total_bytes"],
        "kernel": f"{found['platform']['system']} {found['platform']['release']}",
        "python": found["python"]["version"],
        "packages": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    return {name: found.get(name, "not installed") for name in PACKAGES}

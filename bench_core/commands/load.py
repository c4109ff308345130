"""python -m bench_core load: iterate a DataLoader and say how fast it is.

This is the target that profilers are put around, for example
`memray run --follow-fork -m bench_core load --workers 2`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from bench_core.commands.data_folder import default_folder, ensure_prepared
from bench_core.commands.numbers import count, edge, length, positive, workers
from bench_core.commands.output import on_terminal, say, show
from bench_core.errors import LoaderError, StoreError

HELP = "iterate a DataLoader of view pairs and report its throughput"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", choices=["origins"], default="origins", help="which data set (default: origins)")
    parser.add_argument("--store", choices=["memmap"], default="memmap", help="origin store (default: memmap)")
    parser.add_argument("--mode", choices=["direction", "frame"], default="direction", help="target of the pairs")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="prepared folder (default: $BENCH_CORE_DATA, else the user's cache)"
    )
    parser.add_argument("--workers", type=workers, default=2, metavar="W", help="worker processes (default: 2)")
    parser.add_argument("--batches", type=positive, default=50, metavar="B", help="batches to load (default: 50)")
    parser.add_argument("--batch-size", type=positive, default=16, metavar="S", help="examples per batch (default: 16)")
    parser.add_argument(
        "--start-method", choices=["fork", "forkserver", "spawn"], default="fork", help="of the workers (default: fork)"
    )
    parser.add_argument("--length-voxels", type=edge, default=21, metavar="L", help="image edge (default: 21)")
    parser.add_argument("--resolution-A", type=length, default=0.75, metavar="H", help="voxel edge, Å (default: 0.75)")
    parser.add_argument("--seed", type=count, default=0, help="seed of the examples (default: 0)")
    parser.add_argument(
        "--timeout", type=length, default=300.0, metavar="SECONDS", help="until a silent worker is hung (default: 300)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, all else on stderr")


def run(arguments: argparse.Namespace) -> int:
    _require_torch()
    _warn_if_memray_is_blind(arguments.workers, arguments.start_method)
    folder = arguments.data or default_folder()
    ensure_prepared(folder)
    result = _load(arguments, folder)
    show(json.dumps(result) if arguments.json else _told(result))
    return 0 if result["completed"] else 130


def _told(result: dict[str, Any]) -> str:
    how = f"({result['workers']} workers, {result['start_method'] or 'main process'}, simd {result['simd']})"
    if not result["examples"]:
        return f"0 examples in {result['wall_s']:.2f} s {how}"
    return (
        f"{result['examples']} examples in {result['wall_s']:.2f} s, the first batch after "
        f"{result['first_batch_s']:.2f} s: {result['examples_per_s']:.1f} examples/s, "
        f"{result['example_s'] * 1e3:.3f} ms per example in the worker {how}"
    )


def _load(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Iterate the loader; an interrupt ends it early, and what was measured until then is the result.

    `examples_per_s` is the rate after the first batch, which waits for the workers to start (`first_batch_s`).
    """
    from bench_core import voxels
    from bench_core.loaders import interrupts_are_ours, iterate, limit_threads

    limit_threads(1)
    if arguments.workers and arguments.start_method == "forkserver":
        with interrupts_are_ours():  # nobody else in this process needs its forkserver to take interrupts
            forkserver.ensure_running()
    loader = _loader(arguments, folder)
    examples, skipped, in_worker_s, first_batch_s, completed = 0, 0, 0.0, None, True
    start = time.perf_counter()
    batches = iterate(loader)
    try:
        for (x, _), cost in _with_bar(batches, arguments.batches):
            first_batch_s = first_batch_s or time.perf_counter() - start
            examples += len(x)
            skipped += cost.skipped
            in_worker_s += cost.seconds
    except KeyboardInterrupt:
        completed = False
        say(f"interrupted after {examples} of {arguments.batches * arguments.batch_size} examples")
    wall_s = time.perf_counter() - start
    batches.close()
    later = max(0, examples - arguments.batch_size)
    return {
        "examples": examples,
        "examples_per_s": later / (wall_s - first_batch_s) if later and first_batch_s else examples / wall_s,
        "example_s": in_worker_s / examples if examples else None,
        "skipped_structures": skipped,
        "wall_s": wall_s,
        "first_batch_s": first_batch_s,
        "workers": arguments.workers,
        "start_method": arguments.start_method if arguments.workers else None,
        "batch_size": arguments.batch_size,
        "dataset": arguments.dataset,
        "store": arguments.store,
        "mode": arguments.mode,
        "grid": {"length_voxels": arguments.length_voxels, "resolution_A": arguments.resolution_A},
        "simd": voxels.simd_variant(),
        "completed": completed,
    }


def _loader(arguments: argparse.Namespace, folder: Path) -> Any:
    from bench_core.datasets import OriginPairs
    from bench_core.grid import Grid, ImageSpec
    from bench_core.loaders import make_loader
    from bench_core.origins import open_origins

    image = ImageSpec(Grid(arguments.length_voxels, arguments.resolution_A), [["C"], ["N"], ["O"], ["*"]])
    store = open_origins(folder, arguments.store)
    if not len(store):
        raise StoreError(f"{folder} holds no origins: prepare larger structures")
    size = arguments.batches * arguments.batch_size
    pairs = OriginPairs(store, image, mode=arguments.mode, size=size, seed=arguments.seed)
    return make_loader(
        pairs, arguments.batch_size, arguments.workers, arguments.start_method, timed=True, timeout_s=arguments.timeout
    )


def _with_bar(batches: Any, total: int) -> Any:
    """Yield the batches under a progress bar on stderr; without a terminal there is none."""
    if not on_terminal():
        yield from batches
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(batches, description="loading", total=total, console=Console(stderr=True), transient=True)


def _require_torch() -> None:
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        error = LoaderError("torch is not installed: `pip install 'bench_core[loader]'`")
        error.exit_code = 2
        raise error


def _warn_if_memray_is_blind(n_workers: int, start_method: str) -> None:
    """memray follows workers only where they are forked and it is told to; else the loader looks free of cost."""
    argv = getattr(sys, "orig_argv", [])
    under_memray = "run" in argv and any(Path(a).name == "memray" for a in argv)
    if not (n_workers and under_memray):
        return
    if start_method != "fork":
        say(f"warning: memray cannot follow workers of --start-method {start_method}: they stay invisible; use fork")
    elif "--follow-fork" not in argv:
        say("warning: memray runs without --follow-fork: the workers stay invisible; add --follow-fork")
    if "--aggregate" in argv:
        say("warning: memray --aggregate loses the captures of forked workers; leave it out")

"""Count what the calls of a benchmark do, rather than time them: setup before each, garbage collection off in them.

asv_body.py imports this by path, in environments without bench_harness: only the standard library, from Python 3.8 on,
and memray where allocations are asked for.
"""

from __future__ import annotations

import cProfile
import gc
import importlib
import os
from typing import Any, Callable  # noqa: UP035  (Python 3.8)

_DISABLE = "method 'disable' of '_lsprof.Profiler'"  # the call that ends the counting is counted


def counted(sampler: Any, way: str, calls: int) -> dict[str, float]:
    """Call a benchmark once to warm up, and then count.

    Args:
        sampler: of asv_timing, with the benchmark.
        way: calls or allocations: of one call. instructions: make `calls` calls and leave the counting to who looks
            at the process. setups: only what comes before each of so many calls.
    """
    sampler.sample(1)
    if way == "calls":
        return {way: float(_function_calls(sampler))}
    if way == "allocations":
        return {way: float(_allocations(sampler))}
    for _ in range(calls):
        if sampler.setup_each_call:
            sampler.benchmark.redo_setup()
        if way == "instructions":
            _uncollected(sampler.function)
    return {}


def _uncollected(call: Callable[..., Any], *arguments: Any) -> None:
    collecting = gc.isenabled()
    gc.disable()
    try:
        call(*arguments)
    finally:
        if collecting:
            gc.enable()


def _function_calls(sampler: Any) -> int:
    sampler.benchmark.redo_setup()
    profile = cProfile.Profile()
    _uncollected(profile.runcall, sampler.function)
    return sum(entry.callcount for entry in profile.getstats() if _DISABLE not in str(entry.code))


def _allocations(sampler: Any) -> int:
    """Return the allocations of one call, of processes that it forks too."""
    try:
        memray = importlib.import_module("memray")
    except ImportError:
        raise RuntimeError(
            "allocations are counted by memray, which this side's environment lacks: add it to the matrix"
        ) from None
    sampler.benchmark.redo_setup()
    folder, name = os.getcwd(), f"allocations-{os.getpid()}.bin"  # noqa: PTH109
    with memray.Tracker(os.path.join(folder, name), follow_fork=True):  # noqa: PTH118
        _uncollected(sampler.function)
    total = 0
    for found in os.listdir(folder):  # noqa: PTH208
        if found.startswith(name):
            path = os.path.join(folder, found)  # noqa: PTH118
            with memray.FileReader(path) as reader:
                total += reader.metadata.total_allocations
            os.unlink(path)  # noqa: PTH108  the folder may be that of a setup_cache
    return total

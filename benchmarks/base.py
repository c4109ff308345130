"""What the suites share: the version of a result, and skipping what a commit does not have yet."""

from __future__ import annotations

import importlib
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented

from bench_harness import __version__ as instruments_version


def versioned(own: int) -> str:
    """Return the `version` of a benchmark: its own number, raised by hand when its meaning changes, and the
    instruments'. asv drops stored results of another version; left alone, it would hash the benchmark's source, which
    knows nothing of the instruments it calls."""
    return f"{own}.{instruments_version}"


def subject(module: str, *names: str) -> Any:
    """Import names of bench_core in a setup; skip the benchmark at a commit that lacks them."""
    try:
        found = importlib.import_module(module)
        values = tuple(getattr(found, name) for name in names)
    except (ImportError, AttributeError) as error:
        raise SkipNotImplemented(f"this commit has no {module}: {', '.join(names)} ({error})") from None
    return values[0] if len(values) == 1 else values

"""What the suites share: the version of a result, skipping what a commit does not have yet, and warm state."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
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


def once(setup: Callable[..., None]) -> Callable[..., None]:
    """Let a `setup` do its work once per process and parameters.

    asv runs `setup` again before every timed call, and times each call alone. With what it made anew, every sample
    would be a first call: cold caches, unmapped files, and always the same example.
    """

    @functools.wraps(setup)
    def warm(self: Any, *parameters: Any) -> None:
        if getattr(self, "_warm", None) != parameters:
            setup(self, *parameters)
            self._warm = parameters

    return warm


class Suite:
    """Base of the suites: single calls, as many as fit into two seconds, the median of which asv stores."""

    version = versioned(2)
    repeat = (2, 400, 2.0)
    timeout = 300


def prepared_folder() -> str:
    """Prepare the embedded structures in asv's own working folder; return the folder."""
    prepare = subject("bench_core.commands.data_folder", "prepare_with_progress")
    folder = Path("prepared").resolve()
    prepare(None, folder)
    return str(folder)


class PreparedSuite(Suite):
    """Base of the suites that read the prepared structures: `setup` and the benchmarks are given the folder."""

    def setup_cache(self) -> str:
        return or_nothing(prepared_folder)


def or_nothing(make: Callable[[], str]) -> str:
    """Make a folder, or return "" at a commit that cannot: asv takes a skip in `setup_cache` for a failure."""
    try:
        return make()
    except SkipNotImplemented:
        return ""


def needed(folder: str) -> str:
    """Return the folder that `setup_cache` made; skip where the commit could not make one."""
    if not folder:
        raise SkipNotImplemented("this commit cannot prepare a store")
    return folder

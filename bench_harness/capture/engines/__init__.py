"""The profilers that run inside a captured process, behind one interface."""

import importlib
import sys
from collections.abc import Callable
from typing import Protocol

from bench_harness.errors import UsageError
from bench_harness.optional import require

# Name: (module with a class of that name, its class, whether it counts calls); py-spy watches from outside.
_INSIDE = {
    "cprofile": ("bench_harness.capture.engines.deterministic", "CProfileEngine"),
    "pyinstrument": ("bench_harness.capture.engines.sampling", "PyinstrumentEngine"),
    "monitoring": ("bench_harness.capture.engines.monitoring", "MonitoringEngine"),
    "none": ("bench_harness.capture.engines.nothing", "NoEngine"),
    "py-spy": ("bench_harness.capture.engines.nothing", "NoEngine"),
}
ENGINES = tuple(_INSIDE)
COUNTING = ("cprofile", "monitoring")  # calls: of a function that never returns they know nothing


class Engine(Protocol):
    """A profiler of one process.

    `start` and `stop` are called by the thread to capture, `content` by any: it returns the ending of the file and
    its bytes, for what was measured up to now, or None where the engine measures nothing in the process.
    """

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def content(self) -> tuple[str, bytes] | None: ...

    def freeze(self) -> Callable[[], tuple[str, bytes] | None]:
        """Return what makes the content of this moment, later; called by the thread to capture, and quick."""

    def changes(self, base: str | None) -> tuple[str, bytes] | None:
        """Return the content up to now, of a process that goes on.

        What is as at the last `freeze` may be left out, and `base` named instead, if that is not None.
        """

    def threads_content(self) -> bytes | None:
        """Return marshalled statistics of the process's other threads, where the engine sees them."""

    def warnings(self) -> list[str]:
        """Return what the engine could not measure, one line each."""


def make_engine(name: str, interval_s: float) -> Engine:
    """Return a new engine.

    Raises:
        UsageError: no engine has this name, or it cannot run here.
    """
    check_engine(name)
    module, cls = _INSIDE[name]
    engine: Engine = getattr(importlib.import_module(module), cls)(interval_s)
    return engine


def check_engine(name: str) -> None:
    """Raise UsageError if no engine has this name, or it cannot run under this Python, or lacks its package."""
    if name not in _INSIDE:
        raise UsageError(f"--engine {name}: expected one of {', '.join(ENGINES)}")
    if name == "monitoring" and sys.version_info < (3, 12):
        raise UsageError("--engine monitoring needs Python 3.12 or newer; take cprofile")
    if name == "pyinstrument":
        require("pyinstrument", "sampling")

"""Track this process and all that come of it with memray, one capture each: how a run is put under memray.

The main process begins, and memray itself follows its forks: a worker that it forks writes a file of its own from its
first allocation on, which survives whatever ends the worker. A process that was started anew (forkserver, spawn) begins
by itself. `end` only completes the file of a process that leaves in order; the others are read all the same.

Never aggregated: that keeps everything in memory until the end, and forked workers lose it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_harness.optional import require

FILE_NAME = "memray.bin"


@dataclass(frozen=True)
class MemrayOptions:
    """How a run is tracked.

    Args:
        folder: absolute path of the folder for captures, which exists.
        native: record frames of C and C++ too: larger files, and about half the speed.
        python_allocators: record what pymalloc hands out: every Python object, and ten times the records.
    """

    folder: str
    native: bool = False
    python_allocators: bool = False


class _InThisProcess:
    """The tracker that runs here; a fork inherits it, and memray has it write into the fork's own file."""

    tracker: Any = None


def begin(options: MemrayOptions, *, is_main: bool) -> None:
    """Track this process from now on, and all that it forks; where memray has followed it through a fork, it does.

    sys.setprofile is memray's from then on: no profiler that needs it can run beside.

    Args:
        is_main: whether the capture is called FILE_NAME; that of a process that was started anew ends in its pid.

    Raises:
        MissingPackageError: memray is not installed.
    """
    memray = require("memray", "memray")
    if _InThisProcess.tracker is not None:
        return
    path = Path(options.folder, FILE_NAME if is_main else f"{FILE_NAME}.{os.getpid()}")
    tracker = memray.Tracker(
        destination=memray.FileDestination(path, overwrite=True),
        native_traces=options.native,
        trace_python_allocators=options.python_allocators,
        follow_fork=True,
    )
    tracker.__enter__()
    _InThisProcess.tracker = tracker


def end() -> None:
    """Complete the capture of this process; further calls do nothing, also one by a signal in the middle of it."""
    tracker, _InThisProcess.tracker = _InThisProcess.tracker, None
    if tracker is not None:
        tracker.__exit__(None, None, None)

"""Threads of this process, and whose they are: a fork copies the locks that they hold, and not the threads."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_TASKS = Path("/proc/self/task")
_ENDING_S = 0.02  # what a thread that has ended may take to vanish
# Beginnings of names of threads, and whose they are.
_OWNERS = {
    "polars": "polars",
    "async-executor": "polars",
    "tokio": "a Rust library (tokio)",
    "rayon": "a Rust library (rayon)",
    "jemalloc": "jemalloc",
    "pt_autograd": "torch autograd",
    "grpc": "gRPC",
    "cuda": "CUDA",
}
# Parts of the names of loaded libraries that start threads without naming them.
_LIBRARIES = {
    "libgomp": "OpenMP",
    "libiomp": "OpenMP",
    "libomp": "OpenMP",
    "openblas": "OpenBLAS",
    "libmkl": "MKL",
    "libarrow": "Arrow",
    "libtbb": "TBB",
}
# Python threads that hold no lock a worker could want: torch's, and those of progress bars.
_HARMLESS = ("_pin_memory_loop", "QueueFeederThread", "TMonitor", "tqdm")


@dataclass(frozen=True)
class Thread:
    """A thread beside the main one.

    Args:
        name: as the program or the library calls it.
        owner: Python, a library, or a guess: "OpenMP or OpenBLAS".
        is_python: whether it runs Python code.
    """

    name: str
    owner: str
    is_python: bool = False


def other_threads() -> list[Thread]:
    """Return the threads of this process beside the one that calls and the main one."""
    python = {thread.native_id: thread for thread in threading.enumerate()}
    skipped = {os.getpid(), threading.get_native_id()}
    if not _TASKS.is_dir():
        return [Thread(_python_name(each), "Python", True) for number, each in python.items() if number not in skipped]
    guess = " or ".join(sorted(loaded_libraries())) or "a native library"
    threads = []
    for number, name in _tasks():
        if number in skipped:
            continue
        if number in python:
            threads.append(Thread(_python_name(python[number]), "Python", True))
        else:
            owner = next((owner for start, owner in _OWNERS.items() if name.startswith(start)), guess)
            threads.append(Thread(name, owner))
    return threads


def is_harmless(thread: Thread) -> bool:
    """Tell whether a Python thread is known to do no harm to a fork."""
    return any(part in thread.name for part in _HARMLESS)


def loaded_libraries(maps: Path = Path("/proc/self/maps")) -> set[str]:
    """Return which libraries that start threads are loaded."""
    try:
        text = maps.read_text(errors="replace")
    except OSError:
        return set()
    files = {Path(line.rpartition(" ")[2]).name for line in text.splitlines() if ".so" in line}
    return {owner for part, owner in _LIBRARIES.items() if any(part in file for file in files)}


def _tasks() -> list[tuple[int, str]]:
    before = {folder.name for folder in _TASKS.iterdir()}
    time.sleep(_ENDING_S)
    names = {folder.name: _comm(folder) for folder in _TASKS.iterdir() if folder.name in before}
    return sorted((int(number), name) for number, name in names.items() if name)


def _comm(task: Path) -> str:
    try:
        return (task / "comm").read_text().strip()
    except OSError:  # it ended just now
        return ""


def _python_name(thread: threading.Thread) -> str:
    kind = type(thread).__name__
    return thread.name if kind in ("Thread", "_DummyThread") else f"{thread.name} ({kind})"

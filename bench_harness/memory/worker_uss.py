"""Memory that DataLoader workers hold for themselves: USS, from the kernel's own accounts.

USS (unique set size) is what ends with a process: its private pages, touched or copied on write. RSS counts every
mapped page again in every process, shared or not, and so neither shows the cost of a worker nor its growth.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from multiprocessing.connection import wait
from typing import Any

from bench_harness.errors import CouldNotMeasureError
from bench_harness.memory.process_memory import read_held

_ENDING_S = 1.0


def uss_bytes(pid: int) -> int:
    """Return the private bytes of a live process: Private_Clean + Private_Dirty of /proc/PID/smaps_rollup.

    Raises:
        CouldNotMeasureError: no such process, one of another user, or a system without smaps_rollup (Linux has it).
    """
    held = read_held(pid)
    if held is None:
        raise CouldNotMeasureError(
            f"USS of process {pid} cannot be read: it is gone, another user's, or there is no /proc/{pid}/smaps_rollup"
        )
    return held.uss_bytes


def loader_worker_uss_bytes(loader: Iterable[Any]) -> list[int]:
    """Iterate a loader to its last batch, and return the USS of each worker it started, while all are alive.

    `loader` is a torch DataLoader, or anything sized that starts its workers through multiprocessing in iter().

    Raises:
        CouldNotMeasureError: the loader started no workers, or one of them ended before the last batch was delivered.
    """
    before = {process.pid for process in multiprocessing.active_children()}
    workers: list[Any] = []
    try:
        # Within the try: torch raises wherever the main process is when a worker dies.
        batches = iter(loader)
        workers += [process for process in multiprocessing.active_children() if process.pid not in before]
        if not workers:
            raise CouldNotMeasureError("the loader started no worker processes: is num_workers 0?")
        for _ in range(len(loader)):  # type: ignore[arg-type]
            next(batches)
    except (RuntimeError, OSError, EOFError) as error:
        # A worker that ends closes its connections a moment before it counts as ended.
        if workers and not wait([process.sentinel for process in workers], timeout=_ENDING_S):
            raise
        raise CouldNotMeasureError(f"a worker of the loader died: {error}") from error
    dead = [str(process.pid) for process in workers if not process.is_alive()]
    if dead:
        raise CouldNotMeasureError(f"{len(dead)} of {len(workers)} workers ended too early: pid {', '.join(dead)}")
    return [uss_bytes(process.pid) for process in workers if process.pid is not None]

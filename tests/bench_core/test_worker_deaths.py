"""What torch says of a dead worker, read back; real deaths are in test_loaders and test_command_line."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from bench_core import LoaderError
from bench_core.worker_deaths import deaths_named

TORCH = "DataLoader worker (pid 41) "


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("is killed by signal: Killed. ", r"^worker \(pid 41\) died with exit code -9 \(SIGKILL\): likely the kernel"),
        ("is killed by signal: Segmentation fault. ", r"-11 \(SIGSEGV\): it crashed in native code"),
        ("is killed by signal: Bus error. It is possible", r"-7 \(SIGBUS\): likely /dev/shm is full"),
        ("is killed by signal: Terminated. ", r"-15 \(SIGTERM\)"),
        ("is killed by signal: Aborted. ", r"-6 \(SIGABRT\): killed by that signal"),
        ("exited unexpectedly with exit code 7. Details are lost", "exit code 7: its own output"),
    ],
)
def test_messages_of_torch(message: str, expected: str) -> None:
    with pytest.raises(LoaderError, match=expected), deaths_named():
        raise RuntimeError(TORCH + message)


def end(how: int | None) -> None:
    """Live on, exit, or die of a signal."""
    if how is None:
        time.sleep(60)
    elif how < 0:
        if how == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), -how)
    else:
        os._exit(how)


@contextmanager
def processes(*ends: int | None) -> Generator[list[Any], None, None]:
    """Real processes that have ended so, or live (None)."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=end, args=(how,), daemon=True) for how in ends]
    for worker in workers:
        worker.start()
    for worker, how in zip(workers, ends, strict=True):
        if how is not None:
            worker.join(10)
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def test_known_workers_come_first_and_all_dead_ones_are_named() -> None:
    with processes(None, -9, 0, 3, -44) as workers:
        pids = [worker.pid for worker in workers]
        with pytest.raises(LoaderError) as caught, deaths_named(workers):
            raise ConnectionResetError("reset")
    clauses = str(caught.value).split("; worker ")
    assert clauses[0].startswith(f"worker 1 (pid {pids[1]}) died with exit code -9 (SIGKILL)")
    assert clauses[1].startswith(f"2 (pid {pids[2]}) died with exit code 0: something in it called exit")
    assert clauses[2].startswith(f"3 (pid {pids[3]}) died with exit code 3")
    assert clauses[3] == f"4 (pid {pids[4]}) died with exit code -44: killed by signal 44"


def test_an_interrupted_worker_is_an_interrupt() -> None:
    with processes(-2) as workers, pytest.raises(KeyboardInterrupt), deaths_named(workers):
        raise RuntimeError("DataLoader worker (pid(s) 1) exited unexpectedly")


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shape mismatch"), RuntimeError(f"Caught RuntimeError in {TORCH}"), ValueError(TORCH), OSError("x")],
)
def test_other_errors_pass(error: Exception) -> None:
    with processes(None) as workers, pytest.raises(type(error)), deaths_named(workers):
        raise error

"""Who died, of what, and what to do about it: in place of torch's general message.

A dead worker shows in several ways: torch names process ids when its queue times out, its SIGCHLD handler raises while
workers are started or waited for, and a batch that was being handed over ends in a reset connection.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

from bench_core.errors import LoaderError

CAUSES = {
    signal.SIGKILL: "likely the kernel's out-of-memory killer; use fewer workers or a smaller batch",
    signal.SIGSEGV: "it crashed in native code; run with --workers 0 and `python -X faulthandler` to see where",
    signal.SIGBUS: "likely /dev/shm is full; enlarge it, or use smaller batches",
    signal.SIGTERM: "something asked it to end",
}
_ERRORS = (RuntimeError, OSError, EOFError)
_BY_SIGNAL = re.compile(r"DataLoader worker \(pid (\d+)\) is killed by signal: ([^.]*)\.")
_BY_EXIT = re.compile(r"DataLoader worker \(pid (\d+)\) exited unexpectedly with exit code (\d+)")
_GRACE_S = 0.5
"""torch reports a death as soon as it sees one; the exit code may take a moment to be collected."""


@contextmanager
def deaths_named(workers: Sequence[Any] = ()) -> Generator[None, None, None]:
    """Turn what torch raises in this block when a worker dies into a LoaderError; other errors pass.

    Args:
        workers: the worker processes in the order of their ranks, as far as they are known (may grow meanwhile).

    Raises:
        LoaderError: names the worker's rank where known, its process id, exit code and the likely cause.
        KeyboardInterrupt: a worker was interrupted, as by Ctrl-C: so is the whole.
    """
    try:
        yield
    except _ERRORS as error:
        dead = _found(error, workers)
        if any(exit_code == -signal.SIGINT for _, _, exit_code in dead):
            raise KeyboardInterrupt from error
        if dead:
            raise LoaderError("; ".join(described(*one) for one in dead)) from error
        raise


def described(who: str, pid: int, exit_code: int) -> str:
    """One clause about a worker that ended with `exit_code` (negative: the signal that killed it)."""
    return f"{who} (pid {pid}) died with exit code {_explained(exit_code)}"


def _explained(exit_code: int) -> str:
    if exit_code == 0:
        return "0: something in it called exit"
    if exit_code > 0:
        return f"{exit_code}: its own output above says why"
    try:
        number = signal.Signals(-exit_code)
    except ValueError:
        return f"{exit_code}: killed by signal {-exit_code}"
    return f"{exit_code} ({number.name}): {CAUSES.get(number, 'killed by that signal')}"


def _found(error: BaseException, workers: Sequence[Any]) -> list[tuple[str, int, int]]:
    """Return (who, pid, exit code) of each dead worker, if it is a death that the error tells of."""
    message = str(error)
    if message.startswith("Caught ") or (isinstance(error, RuntimeError) and "DataLoader worker" not in message):
        return []  # the data set's own error, from a worker that lives; or none of torch's
    return _among(workers) or _told_by(message)


def _among(workers: Sequence[Any]) -> list[tuple[str, int, int]]:
    closed = wait([process.sentinel for process in workers], timeout=_GRACE_S)
    ended = [(rank, process) for rank, process in enumerate(workers) if process.sentinel in closed]
    for _, process in ended:
        process.join(timeout=_GRACE_S)  # its files are closed a moment before there is an exit code
    return [
        (f"worker {rank}", process.pid, process.exitcode) for rank, process in ended if process.exitcode is not None
    ]


def _told_by(message: str) -> list[tuple[str, int, int]]:
    """Read torch's own message."""
    by_exit, by_signal = _BY_EXIT.search(message), _BY_SIGNAL.search(message)
    if by_exit:
        return [("worker", int(by_exit[1]), int(by_exit[2]))]
    if by_signal:
        numbers = [n for n in signal.valid_signals() if (signal.strsignal(n) or "").startswith(by_signal[2])]
        return [("worker", int(by_signal[1]), -int(min(numbers, default=0)))]
    return []

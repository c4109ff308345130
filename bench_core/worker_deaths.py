"""Who died, of what, and what to do about it: in place of torch's general message.

torch notices a dead worker in several ways: its queue's time-out names the process ids, its SIGCHLD handler raises in
whatever line the main process is just executing, and a batch that was being handed over ends in a reset connection.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
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


@contextmanager
def deaths_named(workers: Sequence[Any] = ()) -> Generator[None, None, None]:
    """Turn what torch raises in this block when a worker dies into a LoaderError; other errors pass.

    Put it around the loop that consumes a loader: the handler's error comes up in the loop's own body too.

    Args:
        workers: the worker processes in the order of their ranks, as far as they are known (may grow meanwhile).

    Raises:
        LoaderError: names the worker's rank where known, its process id, exit code and the likely cause.
    """
    try:
        yield
    except _ERRORS as error:
        dead = _among(workers) or _told_by(str(error))
        if dead:
            raise LoaderError("; ".join(dead)) from error
        raise


def described(who: str, pid: int, exit_code: int) -> str:
    """One clause about a worker that ended with `exit_code` (negative: the signal that killed it)."""
    return f"{who} (pid {pid}) died with exit code {_explained(exit_code)}"


def _explained(exit_code: int) -> str:
    if exit_code >= 0:
        return f"{exit_code}: its own output above says why"
    try:
        number = signal.Signals(-exit_code)
    except ValueError:
        return f"{exit_code}: killed by signal {-exit_code}"
    return f"{exit_code} ({number.name}): {CAUSES.get(number, 'killed by that signal')}"


def _among(workers: Sequence[Any]) -> list[str]:
    clauses = []
    for rank, process in enumerate(workers):
        # torch reports a death as soon as it sees one; the exit code may take a moment to be collected.
        process.join(timeout=0.5)
        if process.exitcode:
            clauses.append(described(f"worker {rank}", process.pid, process.exitcode))
    return clauses


def _told_by(message: str) -> list[str]:
    """Read torch's own message."""
    by_exit, by_signal = _BY_EXIT.search(message), _BY_SIGNAL.search(message)
    if by_exit:
        return [described("worker", int(by_exit[1]), int(by_exit[2]))]
    if by_signal:
        numbers = [n for n in signal.valid_signals() if (signal.strsignal(n) or "").startswith(by_signal[2])]
        return [described("worker", int(by_signal[1]), -int(min(numbers, default=0)))]
    return []

"""What torch says of a dead worker, read back; real deaths are in test_loaders and test_command_line."""

from __future__ import annotations

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


class Process:
    """A worker process as far as it is looked at."""

    def __init__(self, pid: int, exitcode: int | None) -> None:
        self.pid, self.exitcode = pid, exitcode

    def join(self, timeout: float) -> None:
        """Have ended already, or not."""


def test_known_workers_come_first_and_all_dead_ones_are_named() -> None:
    workers = [Process(5, None), Process(6, -9), Process(7, 0), Process(8, 3), Process(9, -44)]
    expected = r"^worker 1 \(pid 6\) .*; worker 3 \(pid 8\) died with exit code 3.*; worker 4 \(pid 9\) .* signal 44$"
    with pytest.raises(LoaderError, match=expected), deaths_named(workers):
        raise ConnectionResetError("reset")


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError("disk"), ValueError(TORCH)])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)), deaths_named([Process(5, None), Process(6, 0)]):
        raise error

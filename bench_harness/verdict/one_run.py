"""Run a command once, to its end and that of everything it started, and say what it took.

A process of our own stands between us and the command: the kernel hands it every descendant whose parent is gone
(PR_SET_CHILD_SUBREAPER), so it can wait for them all, and end them all. CPU seconds are the sum of what wait4 says of
each process that it waits for: user and system time of that process and of all its children that were waited for. So a
worker that its parent killed and never waited for is counted when its parent has ended. Lost are only children of a
process that ignores SIGCHLD: the kernel forgets their time itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bench_harness.errors import CouldNotMeasureError
from bench_harness.memory.process_memory import tree_of

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
# What a command leaves running, such as a resource tracker that notices its end, may take this long to go.
STRAGGLERS_LEAVE_S = 2.0
_TAIL_CHARACTERS, _TAIL_LINES = 2000, 3

Beside = Callable[[int], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Ran:
    """How a run ended.

    Args:
        code: exit code, or 128 + the number of the signal, as a shell says it; 127: it could not be started.
        cpu_s: user and system seconds of the command and its descendants.
        wall_s: from its start to its end, without what it left running.
        timed_out: it was ended because it took too long.
        killed: descendants that outlived it and were ended.
        stderr: the end of what it wrote there.
    """

    code: int
    cpu_s: float
    wall_s: float
    timed_out: bool
    killed: int
    stderr: str

    def problem(self, timeout_s: float | None) -> str | None:
        """Return in one line why this run gives no numbers; None if it does."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        tail = " | ".join(lines[-_TAIL_LINES:]) or "it wrote nothing to stderr"
        if self.timed_out:
            return f"took longer than {timeout_s:g} s and was ended"
        return f"exit code {self.code}: {tail}" if self.code else None


def run_once(
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout_s: float | None = None,
    beside: Beside = lambda pid: contextlib.nullcontext(),
) -> Ran:
    """Run a command with nothing on stdin and its stdout thrown away.

    Args:
        environment: the whole of it.
        beside: given the pid of the process above the command, a context to hold from its start to its end.

    Raises:
        CouldNotMeasureError: not Linux, or this process may not start others.
    """
    if sys.platform != "linux":
        raise CouldNotMeasureError("commands are compared on Linux only: elsewhere orphans cannot be waited for")
    with tempfile.TemporaryFile() as errors:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _supervise(command, environment, errors.fileno(), writer)
        os.close(writer)
        with os.fdopen(reader) as answers, _ended_with_us(pid):
            answers.readline()  # it has begun to run its own program
            with beside(pid):
                timed_out = not _readable(answers.fileno(), timeout_s)
                if timed_out:
                    os.kill(pid, signal.SIGTERM)
                line = answers.readline()
        if not line:
            raise CouldNotMeasureError(f"{command[0]}: the process that watches over it was ended from outside")
        size = errors.seek(0, os.SEEK_END)
        errors.seek(max(0, size - _TAIL_CHARACTERS))
        stderr = errors.read().decode(errors="replace")
    told: dict[str, Any] = json.loads(line)
    return Ran(told["code"], told["cpu_s"], told["wall_s"], timed_out, told["killed"], told["error"] or stderr)


def _readable(descriptor: int, timeout_s: float | None) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])


@contextlib.contextmanager
def _ended_with_us(pid: int) -> Iterator[None]:
    """Wait for the process above the command; where we are interrupted, have it end everything first."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        raise
    finally:
        os.waitpid(pid, 0)


def _supervise(command: Sequence[str], environment: Mapping[str, str], errors: int, writer: int) -> NoReturn:
    """Be the process above the command. Never returns: what follows in the caller is none of its business."""
    try:
        _become_supervisor()
        answer = _watched(command, environment, errors, writer)
        os.write(writer, json.dumps(answer).encode() + b"\n")
        os._exit(0)
    finally:
        os._exit(1)


def _become_supervisor() -> None:
    os.setsid()  # Ctrl-C is for us: we have the command ended
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_all)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class _Asked:
    """Whether we were asked to end the command, which may be before it has begun."""

    to_end = False


def _end_all(number: int, frame: object) -> None:
    _Asked.to_end = True
    _kill_all()


def _watched(command: Sequence[str], environment: Mapping[str, str], errors: int, writer: int) -> dict[str, Any]:
    begin_s = time.perf_counter()
    try:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
    except OSError as error:
        os.write(writer, b"\n")
        return {"code": 127, "cpu_s": 0.0, "wall_s": 0.0, "killed": 0, "error": f"{command[0]}: {error.strerror}"}
    os.write(writer, b"\n")
    if _Asked.to_end:
        _kill_all()
    cpu_s, found = 0.0, 0
    while found != child.pid:
        found, status, usage = os.wait4(-1, 0)
        cpu_s += usage.ru_utime + usage.ru_stime
    wall_s = time.perf_counter() - begin_s
    code = child.returncode = os.waitstatus_to_exitcode(status)
    late_cpu_s, killed = _see_off_stragglers()
    code = 128 - code if code < 0 else code
    return {"code": code, "cpu_s": cpu_s + late_cpu_s, "wall_s": wall_s, "killed": killed, "error": ""}


def _see_off_stragglers() -> tuple[float, int]:
    """Wait for what the command left running; return its CPU seconds, and how many had to be ended."""
    cpu_s, pause_s = 0.0, 0.001
    killed: set[int] = set()
    deadline_s = time.monotonic() + STRAGGLERS_LEAVE_S
    while True:
        try:
            found, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu_s, len(killed)
        if found:
            cpu_s += usage.ru_utime + usage.ru_stime
        elif time.monotonic() > deadline_s:
            killed |= _kill_all()
        else:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.05)


def _kill_all() -> set[int]:
    """End all descendants; return which. Those whose parent goes become our children."""
    own = os.getpid()
    pids = {pid for pid in tree_of(own) if pid != own and not _is_zombie(pid)}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True

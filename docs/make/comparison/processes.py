"""Child processes that end when asked to, and whose last words are kept."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM", "NUMBA")
} | {"POLARS_MAX_THREADS": "1"}


class ProcessError(Exception):
    """A child failed; the message is one line."""


def last_words(log: Path) -> str:
    """The last line of a log that says something; pip's own ERROR line, where it has one."""
    lines = [" ".join(line.split()) for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it said nothing"])[-1][:300]


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that still runs, and its own children (it leads a session), and reap it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(command: list[str], log: Path, timeout_s: float) -> None:
    """Run a command to its end, its output appended to `log`.

    Raises:
        ProcessError: it could not be started, failed, or ran out of time.
    """
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            raise ProcessError(str(error)) from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"gave up after {timeout_s:.0f} s: {last_words(log)}") from None
        finally:
            end(process)
    if code != 0:
        raise ProcessError(last_words(log))


class Worker:
    """One worker of the comparison (workers/serve.py): started, asked, killed.

    Args:
        command: interpreter and script.
        log: file for what it prints.
        start_timeout_s: until it says what it is.

    Raises:
        ProcessError: from every method: the worker died or did not answer in time, and is gone; or its reply is an
            error, and it lives on.
    """

    def __init__(self, command: list[str], log: Path, start_timeout_s: float = 180.0) -> None:
        self._log = log
        self._unread = b""
        self._end = "it was closed"
        self._replies, theirs = os.pipe()
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [*command, str(theirs)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    pass_fds=[theirs],
                    env={**os.environ, **ONE_THREAD},
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._replies)
            raise
        finally:
            os.close(theirs)
        self.alive = True
        try:
            self.about: dict[str, Any] = self._reply(start_timeout_s)["about"]
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, timeout_s: float = 60.0, **arguments: Any) -> dict[str, Any]:
        """Send one request and return the reply."""
        if not self.alive:
            raise ProcessError(self._end)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        reply = self._reply(timeout_s)
        if "error" in reply:
            raise ProcessError(reply["error"])
        return reply

    def close(self) -> None:
        """Kill and reap it; twice is fine."""
        if self.alive:
            end(self._process)
            os.close(self._replies)
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self.alive = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _reply(self, timeout_s: float) -> dict[str, Any]:
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._replies], [], [], max(0.0, deadline_s - time.monotonic()))
            if not ready:
                raise self._closed(f"no answer within {timeout_s:.0f} s")
            received = os.read(self._replies, 65536)
            if not received:
                raise self._died()
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _died(self) -> ProcessError:
        # Its exit code, where it ended by itself, is more to the point than our signal.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.returncode
        how = "no more replies" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        return self._closed(f"{how}: {last_words(self._log)}")

    def _closed(self, why: str) -> ProcessError:
        """Close it; whoever asks again is told the same."""
        self.close()
        self._end = why
        return ProcessError(why)

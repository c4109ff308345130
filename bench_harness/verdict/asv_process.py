"""One process of asv_body.py in the environment of a side: started, listened to, and ended with all that it started.

Whatever a benchmark does to its process (a crash, os._exit, a hang) is pinned to that benchmark; those after it go on
in a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench_harness.optional import require

BODY = Path(__file__).with_name("asv_body.py")
STARTUP_LIMIT_S = 300.0  # until the first benchmark begins: an interpreter and asv_runner, on a slow disk
_WAKE_S = 0.5
_CLOSING_S = 2.0  # between the end of a process's output and its own
_EXIT_S = 10.0  # for what a suite registered with atexit
_LOG_LINES = 12
TIMED_OUT = "timed out"


class Starter(Protocol):
    """Starts the side's Python with these arguments in folder `cwd`; its standard output is a pipe, errors go there."""

    def __call__(self, arguments: list[str], cwd: str) -> subprocess.Popen[bytes]: ...


@dataclass
class Run:
    """What one or more processes said: the last event of each job, every other event, and the wall seconds.

    Args:
        by_job: event fields, `event` among them: done, planned, skipped or failed.
        others: events that belong to no job.
        trouble: why a process ended without a benchmark to pin it to; None: none did.
    """

    by_job: dict[int, dict[str, Any]] = field(default_factory=dict)
    others: list[dict[str, Any]] = field(default_factory=list)
    trouble: str | None = None
    wall_s: float = 0.0

    @property
    def body_s(self) -> float:
        """Wall seconds of the benchmarks themselves."""
        return sum(float(event.get("body_s", 0.0)) for event in self.by_job.values())


def run_jobs(start: Starter, root: str, jobs: Sequence[Mapping[str, Any]]) -> Run:
    """Run jobs in one fresh process, and in another those after a benchmark that ended it.

    Args:
        start: starts Python in the side's environment.
        root: the folder of the suite.
        jobs: as in asv_body.py; `timeout_s` besides, for this harness alone.
    """
    run, left = Run(), list(jobs)
    while left and run.trouble is None:
        listener = _Listener(start, {"mode": "run", "root": root, "jobs": left}, run)
        running = listener.listen({int(job["job"]): float(job["timeout_s"]) for job in left})
        left = [job for job in left if job["job"] not in run.by_job]
        if left and running is None and run.trouble is None:
            run.trouble = listener.ended()
    return run


def list_suite(start: Starter, root: str) -> Run:
    """Return the events `benchmark` and `broken` of a suite; `trouble` where it cannot be listed at all."""
    run = Run()
    listener = _Listener(start, {"mode": "list", "root": root}, run)
    listener.listen({})
    if not listener.complete and run.trouble is None:
        run.trouble = listener.ended()
    return run


class _Listener:
    """Starts one process and takes its events into a Run."""

    def __init__(self, start: Starter, request: dict[str, Any], run: Run) -> None:
        self._start, self._request, self._run = start, request, run
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said: list[str] = []  # not events: Python itself, before the body took over its output
        self._code: int | None = None
        self._patience_s = 0.0  # for the process to exit by itself
        self.complete = False

    def listen(self, timeouts_s: Mapping[int, float]) -> int | None:
        """Run it to its end; return the job that was running when it came too early, None otherwise."""
        began = time.perf_counter()
        with _folder() as folder:
            log = Path(folder, "log")
            request = Path(folder, "request.json")
            work = Path(folder, "work")
            work.mkdir()
            jobs = [{**job, "folder": job["folder"] or str(work)} for job in self._request.get("jobs", [])]
            request.write_text(json.dumps({**self._request, "log": str(log), "jobs": jobs}), encoding="utf-8")
            with self._process(request, work) as process:
                running, why = self._take(process, timeouts_s)
            self._code = process.returncode
            self._said += _tail(log)
        self._run.wall_s += time.perf_counter() - began
        if running is not None:
            self._run.by_job[running] = {"event": "failed", "why": why or f"{self.ended()} while it ran"}
        elif why is not None:
            self._run.trouble = why
        return running

    @contextlib.contextmanager
    def _process(self, request: Path, work: Path) -> Iterator[subprocess.Popen[bytes]]:
        process = self._start([str(BODY), str(request)], cwd=str(work))
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        try:
            yield process
        finally:
            end(process, self._patience_s)
            reader.join(timeout=_WAKE_S)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _take(self, process: subprocess.Popen[bytes], timeouts_s: Mapping[int, float]) -> tuple[int | None, str | None]:
        """Return (job that was running at a premature end, why it was ended where we did so)."""
        running, limit_s = None, STARTUP_LIMIT_S
        deadline = time.monotonic() + limit_s
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return running, f"{TIMED_OUT} after {limit_s:g} s" if running is not None else _NEVER_BEGAN
            try:
                line = self._lines.get(timeout=min(left_s, _WAKE_S))
            except queue.Empty:
                if not _has_exited(process):
                    continue
                line = None  # a process that it left behind still holds the pipe
            if line is None:
                self._patience_s = _CLOSING_S
                return running, None
            event = self._parsed(line)
            if event is None:
                continue
            if event["event"] == "end":
                self.complete, self._patience_s = True, _EXIT_S
                return None, None
            if event["event"] == "start":
                running = int(event["job"])
                limit_s = timeouts_s[running]
            else:
                self._keep(event)
                running, limit_s = None, STARTUP_LIMIT_S
            deadline = time.monotonic() + limit_s

    def _parsed(self, line: bytes) -> dict[str, Any] | None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "event" in event:
            return event
        self._said.append(line.decode("utf-8", "replace").rstrip())
        return None

    def _keep(self, event: dict[str, Any]) -> None:
        if "job" in event:
            self._run.by_job[int(event["job"])] = event
        else:
            self._run.others.append(event)

    def ended(self) -> str:
        """Say how the process ended, and the last line that it printed."""
        code = self._code
        if code is not None and code < 0:
            how = f"its process was killed by {signal.Signals(-code).name}"
        else:
            how = f"its process exited with code {code}"
        last = next((line.strip() for line in reversed(self._said) if line.strip()), "")
        return f"{how} ({last})" if last else how


_NEVER_BEGAN = f"the side's Python had begun no benchmark after {STARTUP_LIMIT_S:g} s"


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """End a process after `patience_s`, and at once its group and all its descendants.

    What a benchmark left running would disturb the measurements after it.
    """
    psutil = require("psutil")
    below = []
    deadline = time.monotonic() + patience_s
    while not _has_exited(process) and time.monotonic() < deadline:
        time.sleep(0.002)
    if not _has_exited(process):
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(process.pid).children(recursive=True)
    if process.returncode is None and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it is not reaped yet: nobody else can have its number
    elif process.returncode is None:
        process.kill()
    for child in below:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.wait()


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether it has, without reaping it where the system can: its number stays its own."""
    if process.returncode is not None:
        return True
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="bench-compare-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tail(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return []

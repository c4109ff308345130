"""End a target that hangs, or whose workers do, after a while: `bench doctor` must come back where it would not.

A worker that is at one fetch is known to be. That the main process sleeps may be meant, so it is given five times as
long, and hangs where in all that time nothing of the tree ran and no batch was handed out.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench_harness.capture.pipeline.aggregate import read_pipeline
from bench_harness.capture.pipeline.layout import read_fetched
from bench_harness.capture.supervisor import ORPHANS_LEAVE_S
from bench_harness.memory.process_memory import tree_of
from bench_harness.optional import require
from bench_harness.segments import ANNOUNCED, Segment, read_segments

_LOOK_S = 0.25
_MAIN_FACTOR = 5
# A share of one core per process. Writing down what was seen, twice a second in each, takes half a percent at most.
_RUNS_SHARE = 0.02


@dataclass(frozen=True)
class _Busy:
    """CPU seconds of the tree, and batches, when something was last known to run."""

    cpu_s: float
    at_s: float
    batches: int


class Patience:
    """Watches a target and its workers.

    Args:
        folder: of the segments.
        patience_s: how long a worker may be at its start, or at one fetch; nothing may run for five times as long.
    """

    def __init__(self, folder: Path, patience_s: float) -> None:
        self._folder, self._patience_s = folder, patience_s
        self._ended = threading.Event()
        self._busy = _Busy(0.0, time.monotonic(), 0)
        self.hung: list[str] = []  # what hung, in words, before the target was ended

    @contextlib.contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        """Watch while the target runs; `pid` leads its process group."""
        thread = threading.Thread(target=self._watch, args=(pid,), name="patience", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self, pid: int) -> None:
        while not self._ended.wait(_LOOK_S):
            with contextlib.suppress(OSError, ValueError):
                self.hung = [said for segment in read_segments(self._folder) if (said := self._hangs(segment))]
                self.hung = self.hung or self._rests(pid)
            if self.hung:
                self._end(pid)
                return

    def _rests(self, pid: int) -> list[str]:
        """Return in words that nothing ran for long; an empty list while something does."""
        now_s, pids = time.monotonic(), tree_of(pid)
        if not pids:  # it has ended, or there is no /proc to look into
            return []
        cpu_s = sum(_cpu_s(each) for each in pids)
        since = self._busy
        patience_s = _MAIN_FACTOR * self._patience_s
        # Where a process ended that nobody waited for, its time is gone from the sum.
        if abs(cpu_s - since.cpu_s) > _RUNS_SHARE * patience_s * len(pids):
            self._busy = _Busy(cpu_s, now_s, since.batches)
        elif now_s - since.at_s > patience_s:
            batches = sum(loop["batches"] for loop in read_pipeline(self._folder).results["loaders"])
            if batches <= since.batches:
                return [f"main: nothing ran and no batch was handed out for {patience_s:g} s"]
            self._busy = _Busy(cpu_s, now_s, batches)
        return []

    def _end(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not self._ended.wait(ORPHANS_LEAVE_S):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _hangs(self, segment: Segment) -> str:
        identity = segment.identity
        if identity.role != "worker" or segment.exit_code is not None or segment.is_final:
            return ""
        fetched = read_fetched(segment.pipeline) if segment.pipeline is not None else None
        if fetched is None or not fetched.began_s:  # not ready for one
            started_s = (self._folder / f"{identity.serial}{ANNOUNCED}").stat().st_mtime
            is_slow = time.time() - started_s > self._patience_s
            return f"{identity.label()} came to no fetch in {self._patience_s:g} s" if is_slow else ""
        if not fetched.fetching or time.monotonic() - fetched.began_s < self._patience_s:
            return ""
        items = f" of items {fetched.items[:8]}" if fetched.items else ""
        return f"{identity.label()} is at one fetch{items} for {self._patience_s:g} s"


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that it waited for; 0 if it is gone."""
    psutil = require("psutil")
    with contextlib.suppress(psutil.Error):
        return float(sum(psutil.Process(pid).cpu_times()[:4]))  # user, system, and both of the children
    return 0.0

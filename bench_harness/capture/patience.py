"""End a target whose workers hang, after a while: `bench doctor` must come back where the target would not."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench_harness.capture.pipeline.layout import read_fetched
from bench_harness.capture.supervisor import ORPHANS_LEAVE_S
from bench_harness.segments import ANNOUNCED, Segment, read_segments

_LOOK_S = 0.25


class Patience:
    """Watches the workers of a target.

    Args:
        folder: of the segments.
        patience_s: how long a worker may be at its start, or at one fetch.
    """

    def __init__(self, folder: Path, patience_s: float) -> None:
        self._folder, self._patience_s = folder, patience_s
        self._ended = threading.Event()
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
            if self.hung:
                self._end(pid)
                return

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

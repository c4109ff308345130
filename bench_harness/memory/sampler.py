"""Samples of what a tree of processes holds, taken from outside while it runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench_harness.memory.process_memory import (
    Held,
    read_cgroup_bytes,
    read_held,
    read_rss_bytes,
    read_shm_bytes,
    tree_of,
)

# Between looks at the cheap counters; each takes some tens of microseconds per process.
CHEAP_EVERY_S = 0.05
# Of the time that full looks may take: reading smaps_rollup holds up the page faults of who is read.
_SHARE = 0.1
# After processes have come or gone, and after the memory of the machine has moved, a full look comes sooner.
_SOON_S = 0.2
_MOVED_BYTES = 32 << 20


@dataclass(frozen=True)
class Sample:
    """One look at the whole tree.

    Args:
        time_s: time.monotonic() in the middle of it.
        processes: what each process holds, by pid.
        cgroup_bytes, shm_bytes: of the control group and of /dev/shm, whoever else is in there; None: not readable.
    """

    time_s: float
    processes: dict[int, Held]
    cgroup_bytes: int | None
    shm_bytes: int | None

    @property
    def pss_bytes(self) -> int:
        """What the tree holds."""
        return sum(held.pss_bytes for held in self.processes.values())

    @property
    def rss_bytes(self) -> int:
        """The sum that counts shared pages again in every process."""
        return sum(held.rss_bytes for held in self.processes.values())


@dataclass
class TreeSampler:
    """Samples a tree of processes in a thread of its own.

    Args:
        interval_s: between full looks; a look at many or large processes may take longer, and they are then rarer.
    """

    interval_s: float = 1.0
    samples: list[Sample] = field(default_factory=list)
    cgroup_before_bytes: int | None = None
    cgroup_peak_bytes: int | None = None
    cgroup_highest_bytes: int | None = None
    shm_before_bytes: int | None = None
    shm_highest_bytes: int | None = None
    looks: int = 0
    cpu_s: float = 0.0

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._seen: set[int] = set()
        self._rss_bytes = 0
        self._next_s = self._soonest_s = 0.0

    @contextlib.contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        """Sample a process and its descendants for as long as the block lasts."""
        self.cgroup_before_bytes, _ = read_cgroup_bytes()
        self.shm_before_bytes = read_shm_bytes()
        thread = threading.Thread(target=self._watch, args=(pid,), name="bench-sampler", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            _, self.cgroup_peak_bytes = read_cgroup_bytes()

    def _watch(self, pid: int) -> None:
        while not self._ended.is_set():
            self.look(pid)
            self._ended.wait(min(CHEAP_EVERY_S, self.interval_s))
        self.cpu_s = time.thread_time()

    def look(self, pid: int) -> None:
        """Look at the cheap counters, and at everything if it is time."""
        self.looks += 1
        pids = tree_of(pid)
        cgroup, _ = read_cgroup_bytes()
        shm = read_shm_bytes()
        self.cgroup_highest_bytes = _highest(self.cgroup_highest_bytes, cgroup)
        self.shm_highest_bytes = _highest(self.shm_highest_bytes, shm)
        rss_bytes = sum(read_rss_bytes(each) or 0 for each in pids)
        if set(pids) != self._seen or abs(rss_bytes - self._rss_bytes) > _MOVED_BYTES:
            self._next_s = min(self._next_s, self._soonest_s)
        if not pids or time.monotonic() < self._next_s:
            return
        begin_s, begin_cpu_s = time.monotonic(), time.thread_time()
        held = {each: found for each in pids if (found := read_held(each)) is not None}
        end_s = time.monotonic()
        if held:
            self.samples.append(Sample((begin_s + end_s) / 2, held, cgroup, shm))
        self._seen, self._rss_bytes = set(pids), rss_bytes
        rest_s = (time.thread_time() - begin_cpu_s) / _SHARE
        self._next_s = end_s + max(self.interval_s, rest_s)
        self._soonest_s = end_s + max(min(_SOON_S, self.interval_s), rest_s)

    def leave_out(self, pid: int) -> None:
        """Forget a process that was ours, and none of the target's."""
        for sample in self.samples:
            sample.processes.pop(pid, None)


def _highest(before: int | None, now: int | None) -> int | None:
    return before if now is None else now if before is None else max(before, now)

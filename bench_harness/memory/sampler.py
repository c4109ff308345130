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

# Between looks at the cheap counters, which take some tens of microseconds per thread; and the share of the time of one
# core that they may take, as they are rarer where there are many.
CHEAP_EVERY_S = 0.05
_CHEAP_SHARE = 0.003
_LEAST_S = 0.005  # whatever interval is asked for
# Of the time of one core, what full looks may take: reading smaps_rollup walks all pages of who is read, and holds up
# its page faults. First ALLOWANCE_S on top, for short runs and for the beginning, never more than _SHARE at a time; the
# last _RESERVE_S of what may be spent is for looks that something calls for.
ALLOWANCE_S = 3.0
_LASTING_SHARE = 0.007
_SHARE = 0.1
_RESERVE_S = 1.0
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
        interval_s: between full looks; they are rarer where each takes long, for many or large processes, and in long
            runs.
        allowance_s: CPU seconds that full looks may take beyond 0.7 % of the time.
    """

    interval_s: float = 1.0
    allowance_s: float = ALLOWANCE_S
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
        self._begin_s = time.monotonic()
        self._spent_s = 0.0

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
            begin_s, full = time.thread_time(), len(self.samples)
            self.look(pid)
            took_s = 0.0 if len(self.samples) > full else time.thread_time() - begin_s
            self._ended.wait(min(max(CHEAP_EVERY_S, took_s / _CHEAP_SHARE), max(self.interval_s, _LEAST_S)))
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
        called_for = set(pids) != self._seen or abs(rss_bytes - self._rss_bytes) > _MOVED_BYTES
        if not pids or time.monotonic() < self._due_s(called_for=called_for):
            return
        begin_s, begin_cpu_s = time.monotonic(), time.thread_time()
        held = {each: found for each in pids if (found := read_held(each)) is not None}
        end_s = time.monotonic()
        if held:
            self.samples.append(Sample((begin_s + end_s) / 2, held, cgroup, shm))
        self._seen, self._rss_bytes = set(pids), rss_bytes
        took_s = time.thread_time() - begin_cpu_s
        self._spent_s += took_s
        rest_s = took_s / _SHARE
        self._next_s = end_s + max(self.interval_s, rest_s)
        self._soonest_s = end_s + max(min(_SOON_S, self.interval_s), rest_s)

    def _due_s(self, *, called_for: bool) -> float:
        """Return when the next full look is due: what there is to spend by then has paid for those before it."""
        reserve_s = 0.0 if called_for else min(_RESERVE_S, self.allowance_s)
        paid_s = self._begin_s + (self._spent_s - self.allowance_s + reserve_s) / _LASTING_SHARE
        return max(min(self._next_s, self._soonest_s) if called_for else self._next_s, paid_s)

    def leave_out(self, pid: int) -> None:
        """Forget a process that was ours, and none of the target's."""
        for sample in self.samples:
            sample.processes.pop(pid, None)


def _highest(before: int | None, now: int | None) -> int | None:
    return before if now is None else now if before is None else max(before, now)

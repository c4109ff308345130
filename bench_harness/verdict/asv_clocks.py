"""Two clocks around the calls of a benchmark: wall seconds, and CPU seconds of the process and all below it.

asv_body.py imports this by path, in environments without bench_harness: only the standard library, from Python 3.8 on.
"""

from __future__ import annotations

import os
import time

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_CPUCLOCK_SCHED = (
    2  # linux/posix-timers.h: a clock id is the complement of the pid, shifted by 3, and the kind of clock
)


class Clocks:
    """Sums up wall and CPU seconds between `start` and `stop`."""

    def __init__(self) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def start(self) -> None:
        """Begin; the own CPU clock is read last here and first in `stop`: reading the others is not counted."""
        self._below_ns = cpu_below_ns()
        self._wall_ns = time.perf_counter_ns()
        self._own_ns = time.process_time_ns()

    def stop(self) -> None:
        """End, and add up."""
        own_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
        self.wall_s += (wall_ns - self._wall_ns) * 1e-9
        self.cpu_s += (own_ns - self._own_ns + cpu_below_ns() - self._below_ns) * 1e-9


def cpu_below_ns() -> int:
    """Return the CPU time, user and system, of all descendants: those waited for, and on Linux those that live on.

    A loader's workers may outlive the call that they work for: getrusage alone would count them in a later one.
    """
    ended_ns = 0
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended_ns = round((used.ru_utime + used.ru_stime) * 1e9)
    return ended_ns + (_living_ns(os.getpid()) if _has_children() else 0)


def _has_children() -> bool:
    # One system call instead of a walk through /proc: most benchmarks have none.
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    except (AttributeError, OSError):
        return False  # no Linux: only those waited for are counted
    return True


def _living_ns(pid: int) -> int:
    return sum(_clock_ns(child) + _waited_for_ns(child) + _living_ns(child) for child in _children(pid))


def _children(pid: int) -> list[int]:
    # A child belongs to the thread that started it.
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  (pathlib costs more than the rest)
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                children += map(int, file.read().split())
    except OSError:
        pass  # it ended meanwhile
    return children


def _clock_ns(pid: int) -> int:
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return 0


def _waited_for_ns(pid: int) -> int:
    """Return what `pid` used through children of its own that it has waited for, in clock ticks of 10 ms."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return (int(fields[13]) + int(fields[14])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")

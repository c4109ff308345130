"""CPU time of other processes, as /proc/PID/stat has it (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# Of the fields behind the name, which may hold anything: utime, stime, cutime, cstime.
_TIMES = slice(11, 15)


def read_cpu_s(pid: int) -> float:
    """Return user and system seconds of a process and of its children that it waited for; 0 if it is gone."""
    try:
        _, _, fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return 0.0
    return sum(map(int, fields.split()[_TIMES])) / _TICKS_PER_S

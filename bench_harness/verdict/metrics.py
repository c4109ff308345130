"""What can be measured of a process and its children, by name, and the units of it."""

from __future__ import annotations

UNITS = {
    "cpu_s": "s",
    "wall_s": "s",
    "peak_pss_bytes": "bytes",
    "instructions": "",
    "calls": "",
    "allocations": "",
}
CLOCKS = ("cpu_s", "wall_s")
# Exact on many programs, and counted by another way of running than the clocks'.
COUNTERS = ("instructions", "calls", "allocations")

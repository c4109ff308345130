"""Let a profiler beside us read this process."""

import ctypes
import sys

_PR_SET_PTRACER, _PR_SET_PTRACER_ANY = 0x59616D61, ctypes.c_ulong(-1)  # linux/prctl.h


def allow_watching() -> None:
    """Let py-spy read this process where Yama lets a process be traced by its ancestors only (ptrace_scope 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY, 0, 0, 0)

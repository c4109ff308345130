"""What the first full run of Python's garbage collector in a forked worker copies: it writes to every object."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable

from bench_harness.memory.process_memory import read_held


def tell_first_collection(tell: Callable[[int], None]) -> None:
    """Have the bytes told that this process holds more for itself after its next full collection; once."""
    before: list[int] = []

    def collecting(phase: str, info: dict[str, int]) -> None:
        if info["generation"] < 2 or (phase == "stop" and not before):
            return
        held = read_held()
        if phase == "start" and held is not None:
            before[:] = [held.uss_bytes]
            return
        with contextlib.suppress(ValueError):  # the target may empty the list
            gc.callbacks.remove(collecting)
        if held is not None and before:
            tell(max(0, held.uss_bytes - before[0]))

    gc.callbacks.append(collecting)

"""pyinstrument's sampler in one process, its samples folded as they come."""

import json
import threading
from collections.abc import Callable
from typing import Any

from bench_harness.optional import require
from bench_harness.segments import STACKS, Stacks

_Folded = dict[tuple[str, ...], float]


class PyinstrumentEngine:
    """Stacks of the thread that starts it, sampled by wall time: waiting is seen too."""

    def __init__(self, interval_s: float) -> None:
        self._sampler_of_thread = require("pyinstrument.stack_sampler", "sampling").get_stack_sampler
        self._had_threads = False
        self._interval_s = interval_s
        self._new: list[tuple[list[str], float]] = []
        self._folded: _Folded = {}  # since the last `freeze`
        self._base: _Folded = {}  # before it

    def start(self) -> None:
        """Sample this thread from now on."""
        self._sampler_of_thread().subscribe(
            self._saw, desired_interval=self._interval_s, use_async_context=False, use_timing_thread=False
        )

    def stop(self) -> None:
        """Stop sampling; must be called by the thread that started it."""
        self._sampler_of_thread().unsubscribe(self._saw)

    def content(self) -> tuple[str, bytes]:
        """Return the stacks up to now."""
        return STACKS, self._as_bytes(self._all())

    def freeze(self) -> Callable[[], tuple[str, bytes]]:
        """Return what makes the content of this moment."""
        folded = self._all()
        self._base, self._folded = folded, {}
        return lambda: (STACKS, self._as_bytes(folded))

    def changes(self, base: str | None) -> tuple[str, bytes]:
        """Return the stacks since the last `freeze`, which is called `base`: those of imports are thousands."""
        if base is None:
            return self.content()
        self._fold()
        return STACKS, self._as_bytes(self._folded, base)

    def _all(self) -> _Folded:
        self._fold()
        folded = dict(self._base)
        for stack, seconds in self._folded.items():
            folded[stack] = folded.get(stack, 0.0) + seconds
        return folded

    def _as_bytes(self, folded: _Folded, base: str | None = None) -> bytes:
        frames: dict[str, int] = {}
        samples = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack in folded]
        weights_s = list(folded.values())
        stacks = Stacks(self._interval_s, [_frame(text) for text in frames], samples, weights_s, base)
        return json.dumps(vars(stacks)).encode()

    def threads_content(self) -> bytes | None:
        """Return nothing: the sampler follows one thread."""
        return None

    def warnings(self) -> list[str]:
        """Return that there were threads which are not followed, where it is so."""
        said = (
            "pyinstrument follows one thread of a process, and there were others: what they did is not captured; "
            "--engine py-spy samples all of them"
        )
        return [said] if self._had_threads else []

    def _saw(self, call_stack: list[str], since_last_s: float, async_state: Any) -> None:
        self._new.append((call_stack, since_last_s))

    def _fold(self) -> None:
        self._had_threads |= threading.active_count() > 1
        count = len(self._new)
        new, self._new[:count] = self._new[:count], []  # the sampler may append meanwhile
        for call_stack, seconds in new:
            # Behind \x01 stands what differs from sample to sample, the line of the call among it.
            stack = tuple(frame.partition("\x01")[0] for frame in call_stack)
            self._folded[stack] = self._folded.get(stack, 0.0) + seconds


def _frame(identifier: str) -> tuple[str, str, int]:
    name, file, line = (*identifier.split("\x00"), "", "0")[:3]
    return name, file, int(line)

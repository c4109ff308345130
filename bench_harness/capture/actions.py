"""Where time goes among named, nested actions: inclusive and exclusive, apart by stage and epoch, in every thread.

At any moment a thread's time belongs to the action that it began last and has not ended: that is exclusive time, and
over all actions it adds up to the time in which any was under way. An action's inclusive time is that in which it was
under way itself, whatever ran within it; one that runs within itself (recursion) counts that time once.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """When an action began: in which stage ("train", "validate", "sanity_check", ...), and in which epoch if in one."""

    stage: str
    epoch: int | None = None


@dataclass(frozen=True)
class ActionRow:
    """What an action took in one place.

    Args:
        calls: how often it began; one that has not ended yet counts with the time it has taken so far.
        inclusive_s: seconds in which it was under way; of actions in several threads, the sum over the threads.
        exclusive_s: seconds of it in which no action was under way that began within it.
        mean_s: inclusive seconds per call.
    """

    stage: str
    epoch: int | None
    action: str
    calls: int
    inclusive_s: float
    exclusive_s: float
    mean_s: float


class _Key(NamedTuple):
    place: Place
    action: str


@dataclass
class _Total:
    calls: int = 0
    inclusive_ns: int = 0
    exclusive_ns: int = 0
    depth: int = 0
    """How often it is under way now; more than once where it runs within itself."""
    since_ns: int = 0
    """When the outermost of those began."""


@dataclass
class _Thread:
    """The actions under way in one thread, the last one innermost, and what all have taken until `until_ns`."""

    under_way: list[_Key] = field(default_factory=list)
    until_ns: int = 0
    totals: dict[_Key, _Total] = field(default_factory=dict)

    def advance(self, now_ns: int) -> None:
        """Charge the time until now to the innermost action."""
        if self.under_way:
            self.totals[self.under_way[-1]].exclusive_ns += now_ns - self.until_ns
        self.until_ns = now_ns

    def begin(self, key: _Key, now_ns: int) -> None:
        self.advance(now_ns)
        total = self.totals.setdefault(key, _Total())
        total.calls += 1
        if not total.depth:
            total.since_ns = now_ns
        total.depth += 1
        self.under_way.append(key)

    def end(self, action: str, now_ns: int) -> None:
        """End the last one of this name: the innermost in order, another where actions overlap without nesting."""
        found = next((i for i in reversed(range(len(self.under_way))) if self.under_way[i].action == action), None)
        if found is None:
            raise ValueError(f"action {action!r} ended in a thread where it was not under way")
        self.advance(now_ns)
        total = self.totals[self.under_way.pop(found)]
        total.depth -= 1
        if not total.depth:
            total.inclusive_ns += now_ns - total.since_ns


class ActionTimes:
    """Records actions; each thread of a process has its own that nest.

    Args:
        clock_ns: returns nanoseconds. Whole numbers: exclusive times then add up to the total exactly.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock_ns = clock_ns
        self._threads: dict[int, _Thread] = {}

    def start(self, action: str, place: Place) -> None:
        """Note that an action begins; also within another one, or within itself."""
        thread = self._threads.setdefault(threading.get_ident(), _Thread())
        thread.begin(_Key(place, action), self._clock_ns())

    def stop(self, action: str) -> None:
        """Note that an action ends.

        Raises:
            ValueError: it was not under way in this thread.
        """
        now_ns = self._clock_ns()
        self._threads.get(threading.get_ident(), _Thread()).end(action, now_ns)

    def rows(self) -> list[ActionRow]:
        """Return what each action took until now, in the order of their first beginnings."""
        now_ns = self._clock_ns()
        merged: dict[_Key, _Total] = {}
        # Copied in one go each: other threads may begin actions meanwhile.
        for thread in list(self._threads.values()):
            innermost = thread.under_way[-1:]
            for key, total in list(thread.totals.items()):
                row = merged.setdefault(key, _Total())
                row.calls += total.calls
                row.inclusive_ns += total.inclusive_ns + (now_ns - total.since_ns if total.depth else 0)
                row.exclusive_ns += total.exclusive_ns + (now_ns - thread.until_ns if [key] == innermost else 0)
        return [_row(key, total) for key, total in merged.items()]

    def reset(self) -> None:
        """Forget what was recorded; actions under way go on, as if they began now."""
        now_ns = self._clock_ns()
        threads = {ident: thread.under_way for ident, thread in self._threads.items() if thread.under_way}
        self._threads = {}
        for ident, under_way in threads.items():
            self._threads[ident] = thread = _Thread()
            for key in under_way:
                thread.begin(key, now_ns)


def _row(key: _Key, total: _Total) -> ActionRow:
    inclusive_s = total.inclusive_ns / 1e9
    return ActionRow(
        *key.place, key.action, total.calls, inclusive_s, total.exclusive_ns / 1e9, inclusive_s / total.calls
    )

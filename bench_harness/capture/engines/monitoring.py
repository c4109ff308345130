"""sys.monitoring (Python >= 3.12): exact counts and times of the user's own functions, in every thread.

cProfile pays for every call of every function, C functions among them. Here a function of the standard library or of an
installed package is told to be silent the first time it is called, and costs nothing from then on: its time is counted
as own time of the function of the user's that called it. So is that of the user's own small functions once they have
been called FOLD_AFTER times: a call of Python code at every call and return costs more than such a function itself.
And where cProfile puts the calls of all threads on one stack
(from 3.12 on it is one tool for the whole process), every thread has a stack of its own here.
"""

import marshal
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType
from typing import Any

from bench_harness.call_entries import Key, Table
from bench_harness.errors import UsageError
from bench_harness.profiles.own_code import OwnCode
from bench_harness.segments import PROFILE

_NAME = "bench_harness"
FOLD_AFTER = 5_000  # calls
FOLD_BELOW_NS = 20_000  # mean time of a call
_monitoring: Any = getattr(sys, "monitoring", None)


class _Open:
    """A call that has not returned: when it began, and what its callees took of it."""

    __slots__ = ("begin_ns", "callees_ns", "code")

    def __init__(self, code: CodeType, begin_ns: int) -> None:
        self.code, self.begin_ns, self.callees_ns = code, begin_ns, 0


class _Thread(threading.local):
    """The open calls of one thread, and its own counts: no lock is needed to add to them."""

    def __init__(self, tables: "list[tuple[bool, _Counts]]", captured: int) -> None:
        self.stack: list[_Open] = []
        self.depth: dict[CodeType, int] = {}
        # By (function, caller): calls, outermost calls, own ns, inclusive ns of the outermost.
        self.counts: _Counts = {}
        tables.append((threading.get_ident() == captured, self.counts))


_Counts = dict[tuple[CodeType, CodeType | None], list[int]]


class MonitoringEngine:
    """Counts and times the user's own functions in all threads."""

    def __init__(self, interval_s: float) -> None:
        self._own_code, self._own = OwnCode(), dict[str, bool]()
        self._tables: list[tuple[bool, _Counts]] = []
        self._thread: _Thread
        self._tool = -1
        self._folded: set[CodeType] = set()

    def start(self) -> None:
        """Monitor from now on.

        Raises:
            UsageError: other tools have taken every free number of sys.monitoring.
        """
        self._thread = _Thread(self._tables, threading.get_ident())
        self._tool = next((tool for tool in (3, 4, 2) if _monitoring.get_tool(tool) is None), -1)
        if self._tool < 0:
            raise UsageError("--engine monitoring: no number of sys.monitoring is free; take cprofile")
        events = _monitoring.events
        _monitoring.use_tool_id(self._tool, _NAME)
        handlers = {
            events.PY_START: self._enter,
            events.PY_RESUME: self._enter,
            events.PY_THROW: self._throw,
            events.PY_RETURN: self._leave,
            events.PY_YIELD: self._leave,
            events.PY_UNWIND: self._unwind,
        }
        for event, handler in handlers.items():
            _monitoring.register_callback(self._tool, event, handler)
        _monitoring.restart_events()  # a forked process inherits what was silenced in its parent
        _monitoring.set_events(self._tool, sum(handlers))

    def stop(self) -> None:
        """Stop, counting the functions that are still open in this thread as if they returned now."""
        _monitoring.set_events(self._tool, 0)
        _monitoring.free_tool_id(self._tool)
        now = time.perf_counter_ns()
        while self._thread.stack:
            self._close(self._thread, now)

    def content(self) -> tuple[str, bytes]:
        """Return the statistics of the captured thread up to now, as pstats reads them."""
        return PROFILE, marshal.dumps(_table([counts for captured, counts in self._tables if captured]))

    def freeze(self) -> Callable[[], tuple[str, bytes]]:
        """Return what makes the content of this moment: the user's own functions are few, and it is made at once."""
        content = self.content()
        return lambda: content

    def changes(self, base: str | None) -> tuple[str, bytes]:
        """Return the content up to now, all of it."""
        return self.content()

    def threads_content(self) -> bytes | None:
        """Return the statistics of the other threads, added up."""
        others = [counts for captured, counts in list(self._tables) if not captured and counts]
        return marshal.dumps(_table(others)) if others else None

    def warnings(self) -> list[str]:
        """Return which functions were folded."""
        names = sorted(f"{code.co_name} ({code.co_filename}:{code.co_firstlineno})" for code in self._folded)
        said = "called often and short: after their first {} calls counted as own time of their callers: {}"
        return [said.format(FOLD_AFTER, ", ".join(names))] if names else []

    def _is_own(self, code: CodeType) -> bool:
        file = code.co_filename
        own = self._own.get(file)
        if own is None:
            own = self._own[file] = self._own_code.is_own(file)
        return own

    def _enter(self, code: CodeType, offset: int) -> Any:
        if code in self._folded or not self._is_own(code):
            return _monitoring.DISABLE
        thread = self._thread
        thread.depth[code] = thread.depth.get(code, 0) + 1
        thread.stack.append(_Open(code, time.perf_counter_ns()))
        return None

    def _throw(self, code: CodeType, offset: int, error: BaseException) -> Any:
        # An exception thrown into a generator resumes it; this event cannot be disabled.
        return self._enter(code, offset) and None

    def _leave(self, code: CodeType, offset: int, value: object) -> Any:
        if not self._is_own(code):
            return _monitoring.DISABLE
        self._return_to(code)
        return _monitoring.DISABLE if code in self._folded and not self._thread.depth.get(code) else None

    def _unwind(self, code: CodeType, offset: int, error: BaseException) -> None:
        if self._is_own(code):
            self._return_to(code)

    def _return_to(self, code: CodeType) -> None:
        """Close the open call of `code`; calls above it are of functions that were folded before they returned."""
        now, thread = time.perf_counter_ns(), self._thread
        if not thread.depth.get(code):
            return  # entered before the monitoring began, or folded
        while thread.stack[-1].code is not code:
            forgotten = thread.stack.pop()
            thread.depth[forgotten.code] -= 1
            thread.stack[-1].callees_ns += forgotten.callees_ns
        self._close(thread, now)

    def _close(self, thread: _Thread, now_ns: int) -> None:
        call = thread.stack.pop()
        took_ns = now_ns - call.begin_ns
        caller = thread.stack[-1] if thread.stack else None
        if caller is not None:
            caller.callees_ns += took_ns
        counts = thread.counts.setdefault((call.code, caller.code if caller else None), [0, 0, 0, 0])
        thread.depth[call.code] -= 1
        outermost = thread.depth[call.code] == 0
        counts[0] += 1
        counts[1] += outermost
        counts[2] += took_ns - call.callees_ns
        counts[3] += took_ns if outermost else 0
        if counts[0] >= FOLD_AFTER and counts[3] < counts[0] * FOLD_BELOW_NS:
            self._folded.add(call.code)


def _table(tables: list[_Counts]) -> Table:
    total: Table = {}
    for counts in tables:
        # Another thread may add meanwhile: of a list of the items at this moment nothing can be missing half.
        for (code, caller), (calls, primitive, own_ns, inclusive_ns) in list(counts.items()):
            key = _key(code)
            before = total.get(key, (0, 0, 0.0, 0.0, {}))
            row = (primitive, calls, own_ns / 1e9, inclusive_ns / 1e9)
            callers = dict(before[4])
            if caller is not None:
                edge = callers.get(_key(caller), (0, 0, 0.0, 0.0))
                callers[_key(caller)] = (edge[0] + row[0], edge[1] + row[1], edge[2] + row[2], edge[3] + row[3])
            total[key] = (before[0] + row[0], before[1] + row[1], before[2] + row[2], before[3] + row[3], callers)
    return total


def _key(code: CodeType) -> Key:
    return code.co_filename, code.co_firstlineno, code.co_name

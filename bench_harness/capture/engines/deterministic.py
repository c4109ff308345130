"""cProfile in one process: every call counted, the threads of the process apart."""

import cProfile
import gc
import marshal
import operator
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from bench_harness.call_entries import Table, compiled, read, table_of, to_bytes
from bench_harness.segments import PROFILE

# From 3.12 on cProfile is one tool of sys.monitoring for the whole process: a second one cannot be enabled.
ONE_PER_THREAD = sys.version_info < (3, 12)


_ENABLE: Any = cProfile.Profile.enable
_DISABLE: Any = cProfile.Profile.disable


class _Profile(cProfile.Profile):
    def getstats(self) -> Any:
        """Return the entries, uninterrupted.

        A collection of garbage may run finalizers, which let the profiled thread go on in the middle of the listing.
        """
        if sys.version_info >= (3, 12) or not gc.isenabled():  # from then on nothing is collected inside of C code
            return super().getstats()
        try:
            # In one go of C code: between two lines of Python the target may look whether it is on.
            calls = (gc.disable, super().getstats, gc.enable)
            _, entries, _ = map(operator.methodcaller("__call__"), calls)
        except BaseException:
            gc.enable()
            raise
        return entries


class CProfileEngine:
    """cProfile of the thread that starts it, and, before Python 3.12, of every thread started afterwards."""

    def __init__(self, interval_s: float) -> None:
        self._profile = _Profile()
        self._threads: list[_Profile] = []
        self._had_threads = False
        self._before: Any = None  # the hook of threading before ours
        self._thread = 0
        self._others: list[cProfile.Profile] = []  # the target's own that are enabled
        self._rested = self._replaced = False
        # Calls of each function when it was last frozen, by identity of its code.
        self._base: dict[int, int] | None = None
        compiled()  # which tries it, as long as nothing is profiled

    def start(self) -> None:
        """Profile this thread from now on."""
        if ONE_PER_THREAD:
            self._before = threading.getprofile()
            threading.setprofile(self._enter_thread)
        self._thread = threading.get_ident()
        self._give_way_to_others()
        _ENABLE(self._profile)

    def stop(self) -> None:
        """Stop, counting the functions that are still open as if they returned now."""
        active: Any = self._others[-1] if self._others else self._profile
        self._replaced |= ONE_PER_THREAD and sys.getprofile() is not active
        for name in ("enable", "disable"):
            if name in vars(cProfile.Profile):
                delattr(cProfile.Profile, name)
        if not self._others:
            _DISABLE(self._profile)
        if ONE_PER_THREAD and threading.getprofile() == self._enter_thread:  # else it is the target's
            threading.setprofile(self._before)

    def _give_way_to_others(self) -> None:
        """Rest while the target profiles itself with cProfile: two at a time replace each other, or are refused."""

        def enable(profile: cProfile.Profile, *args: Any, **kwargs: Any) -> None:
            ours = not ONE_PER_THREAD or threading.get_ident() == self._thread
            if ours and not self._others:
                _DISABLE(self._profile)
            try:
                _ENABLE(profile, *args, **kwargs)
            except BaseException:
                if ours and not self._others:
                    _ENABLE(self._profile)
                raise
            if ours and profile not in self._others:
                self._others.append(profile)
                self._rested = True

        def disable(profile: cProfile.Profile) -> None:
            _DISABLE(profile)
            if profile in self._others:
                self._others.remove(profile)
                if not self._others:
                    _ENABLE(self._profile)

        patched: Any = cProfile.Profile
        patched.enable, patched.disable = enable, disable

    def content(self) -> tuple[str, bytes]:
        """Return the statistics up to now, as pstats reads them; functions still open are not in them."""
        self._had_threads |= threading.active_count() > 1
        return PROFILE, marshal.dumps(table_of(self._profile))

    def freeze(self) -> Callable[[], tuple[str, bytes]]:
        """Return what makes the content of this moment."""
        reading = read(self._profile, keep=True)
        self._base = reading[3]
        return lambda: (PROFILE, to_bytes(reading))

    def changes(self, base: str | None) -> tuple[str, bytes]:
        """Return the functions that returned since the last `freeze`, which is called `base`; all, if there was none.

        Of the 15,000 functions of a main process that has imported torch, a few hundred run in its loop.
        """
        return PROFILE, to_bytes(read(self._profile, self._base if base else None), base)

    def threads_content(self) -> bytes | None:
        """Return the statistics of the other threads, added up."""
        if not self._threads:
            return None
        total: Table = {}
        for profile in list(self._threads):
            _add(total, table_of(profile))
        return marshal.dumps(total)

    def warnings(self) -> list[str]:
        """Return that calls of several threads are mixed, and what is missing, where it is so."""
        mixed = (
            "cProfile puts the calls of all threads on one stack from Python 3.12 on: times of functions that run "
            "in threads are mixed up; --engine monitoring keeps them apart"
        )
        rested = "not captured while the program profiled itself with cProfile; --engine py-spy captures that too"
        replaced = "another profiler of the program took cProfile's place: what came later is not counted"
        said = {mixed: not ONE_PER_THREAD and self._had_threads, rested: self._rested, replaced: self._replaced}
        return [line for line, is_so in said.items() if is_so]

    def _enter_thread(self, frame: FrameType, event: str, arg: Any) -> None:
        """Called for the first event of a new thread: its profiler takes this function's place."""
        sys.setprofile(None)
        profile = _Profile()
        self._threads.append(profile)
        _ENABLE(profile)


def _add(total: Table, table: Table) -> None:
    for key, (primitive, calls, own_s, cumulative_s, callers) in table.items():
        a = total.get(key, (0, 0, 0.0, 0.0, {}))
        merged = dict(a[4])
        for caller, counts in callers.items():
            before = merged.get(caller, (0, 0, 0.0, 0.0))
            merged[caller] = tuple(x + y for x, y in zip(before, counts, strict=True))  # type: ignore[assignment]
        total[key] = (a[0] + primitive, a[1] + calls, a[2] + own_s, a[3] + cumulative_s, merged)

"""What a worker of a DataLoader notes about each batch, in a few microseconds: on its queues, around its fetches.

Nothing of the target is replaced but attributes of the two queues that torch's worker loop was given, and
ForkingPickler.dumps of this process.
"""

import sys
import time
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

from bench_harness.capture.own_frames import hide
from bench_harness.capture.pipeline.context import Context
from bench_harness.capture.pipeline.layout import Ring

try:
    import resource

    # Linux only.
    _THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)
except ImportError:
    _THREAD = None
_FLUSH_S = 0.001
# Start, end, seconds collating, samples, seconds stalled.
_NO_FETCH = (0.0, 0.0, 0.0, 0.0, 0.0)


class WorkerSide:
    """The notes of this worker; `queued` is its data_queue.put from now on.

    Args:
        context: of this process.
    """

    def __init__(self, context: Context) -> None:
        self._ring = Ring(context.path())
        self._context = context
        self._phase = 0
        self._free_since = time.monotonic()
        self._cpu_s = time.process_time()
        self._fetch = _NO_FETCH
        self._has_failed = False
        # Batches that the queue's thread has not pickled yet: identity of the queued tuple -> row.
        self._unpickled: dict[int, int] = {}
        self._pickled_until = 0.0
        self.collate_start = 0.0
        self.collated = 0
        self._totals = [0.0] * 8
        self._flushed = 0.0

    # --- around fetches

    def is_ready(self) -> None:
        """Note that only a request is missing: a worker for which there is none hangs in nothing."""
        now = time.monotonic()
        self._ring.write_fetching(now, now)

    def begin_fetch(self, samples: int, items: Any) -> tuple[float, Any]:
        """Return what `end_fetch` wants back: start, and this thread's use of the CPU if it may be kept from it."""
        self.collated = samples
        start = time.monotonic()
        if self._phase == 0:
            self._phase = 1
            self._context.on_boundary("setup")  # which takes a while: no part of the fetch
            start = self._free_since = time.monotonic()
        self.collate_start = 0.0
        if not self._has_failed:  # the items of the failure are what matters
            self._ring.write_items(items if isinstance(items, (list, tuple)) else (items,))
        self._ring.write_fetching(start, 0.0)
        return start, _used_by_thread() if self._unpickled else None

    def end_fetch(self, begun: tuple[float, Any]) -> None:
        """Note a fetch; its row is written when its result is queued."""
        start, used = begun
        end = time.monotonic()
        collate_s = end - self.collate_start if self.collate_start else 0.0
        stalled_s = 0.0 if used is None else self._stalled(start, end, used)
        self._fetch = (start, end, collate_s, self.collated, stalled_s)
        self._ring.write_fetching(start, end)

    def _stalled(self, start: float, end: float, before: Any) -> float:
        """Return how long this thread at most waited for the interpreter while the queue's thread pickled.

        It was off the CPU, the other thread pickled, and a thread that waits for the interpreter wakes up once per
        switch interval: sleeping on a slow disk switches far less often.
        """
        after = _used_by_thread()
        if after is None:
            return 0.0
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        woken_s = (after.ru_nvcsw - before.ru_nvcsw) * sys.getswitchinterval()
        pickling_until = end if self._unpickled else self._pickled_until
        stalled_s: float = min(pickling_until - start, end - start - cpu_s, woken_s)
        return max(0.0, stalled_s)

    # --- on the queues

    def watch(self, data_queue: Any) -> None:
        """Note what is put into the queue of results, and how it is pickled."""
        put = data_queue.put

        def queued(item: Any, *args: Any, **kwargs: Any) -> None:
            try:
                self._note(item)
            except Exception as error:  # measuring must not break what is measured
                self._give_up(data_queue, put, error)
            put(item, *args, **kwargs)

        data_queue.put = queued
        ForkingPickler.dumps = classmethod(self._timed(ForkingPickler.dumps.__func__))  # type: ignore[assignment,method-assign,attr-defined]

    def _note(self, item: Any) -> None:
        index = item[0]
        if type(item[1]).__name__ == "ExceptionWrapper":
            self._failed(item[1])
        elif type(index) is int and self._fetch[1]:
            start, end, collate_s, samples, stalled_s = self._fetch
            offset = Ring.offset(index)
            idle_s = max(0.0, start - self._free_since)
            cpu_s = time.process_time()
            used_s = cpu_s - self._cpu_s
            self._cpu_s = cpu_s
            self._ring.write(offset, index, idle_s, start, end, collate_s, samples, used_s, stalled_s, 0.0, 0.0, 0.0)
            self._unpickled[id(item)] = offset
            self._fetch = _NO_FETCH
            self._has_failed = False
            self._add(samples, idle_s, end - start - collate_s, collate_s, used_s)
            if self._phase == 1:
                self._phase = 2
                self._context.on_boundary("first")
        self._free_since = time.monotonic()

    def _failed(self, wrapped: Any) -> None:
        """Note an exception that torch sends to the main process: of a fetch, or of worker_init_fn.

        The first, for it is raised there; without worker_init_fn's work the next fetches fail, each in its own way.
        """
        now = time.monotonic()
        self._ring.write_fetching(now, now)
        if self._has_failed:
            return
        self._has_failed = True
        # The traceback's own lines are indented; what follows them is the exception, which may have many lines.
        _, _, traceback = wrapped.exc_msg.rpartition("Traceback (most recent call last):\n")
        said = [line for line in traceback.splitlines() if line and not line.startswith(" ")]
        self._context.on_failure(said[0] if said else wrapped.exc_type.__name__)

    def _timed(self, dumps: Callable[..., Any]) -> Callable[..., Any]:
        unpickled, now = self._unpickled, time.monotonic

        def timed(cls: Any, obj: Any, protocol: Any = None) -> Any:
            offset = unpickled.get(id(obj))
            if offset is None:
                return dumps(cls, obj, protocol)
            start = now()
            try:
                message = dumps(cls, obj, protocol)
            except BaseException as error:
                hide(error)
                raise
            finally:
                end = self._pickled_until = now()
                unpickled.pop(id(obj), None)
            self._ring.write_pickled(offset, start, end, message.nbytes)
            totals = self._totals
            totals[6] += end - start
            totals[7] += message.nbytes
            return message

        return timed

    # --- sums

    def _add(self, samples: float, idle_s: float, fetch_s: float, collate_s: float, cpu_s: float) -> None:
        totals = self._totals
        totals[0] += 1
        totals[1] += samples
        totals[2] += idle_s
        totals[3] += fetch_s
        totals[4] += collate_s
        totals[5] += cpu_s
        if self._free_since - self._flushed > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write the sums."""
        self._flushed = self._free_since
        self._ring.write_totals(self._totals)

    def _give_up(self, data_queue: Any, put: Callable[..., Any], error: Exception) -> None:
        data_queue.put = put
        self._context.on_warning(f"pipeline: the worker's batches are not noted any more: {error!r}")


def _used_by_thread() -> Any:
    return resource.getrusage(_THREAD) if _THREAD is not None else None

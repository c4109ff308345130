"""What a process notes about its loops over DataLoaders: requests, waits, steps, and the workers' rows beside them."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench_harness.capture.phase_marks import Pass
from bench_harness.capture.pipeline.attribution import split_wait
from bench_harness.capture.pipeline.context import Context, EnoughBatches
from bench_harness.capture.pipeline.copies import Copies, watch_copies
from bench_harness.capture.pipeline.layout import MAX_SLOTS, Ring
from bench_harness.capture.pipeline.loop import Loop, cpus
from bench_harness.capture.pipeline.naming import Named, Names

# How far a batch is looked into for its tensors, which is done for few batches.
_MAX_DEPTH, _MAX_ITEMS = 4, 100
# A worker that does nothing else hands over a tensor sooner.
_WORTH_A_LOOK_S = 1e-3


class Link:
    """The way from the workers of one iterator: their rings, and when results came through."""

    def __init__(self, rings: list[Ring]) -> None:
        self.rings = rings
        self.received = 0.0
        self.received_cpu_s = 0.0
        # Batch -> (received, unpickled, pinned), where torch's pin-memory thread receives.
        self.pinned: dict[int, tuple[float, float, float]] | None = None


class Iteration:
    """One pass over a loader; what `pending` lacks is the step, which ends with the next request."""

    def __init__(self, side: "MainSide", loop: Loop, workers: int, in_order: bool, link: Link) -> None:
        self.side = side
        self.loop = loop
        self.workers = workers
        self.in_order = in_order
        self.link = link
        self.skip = max(1, workers)
        self.number = 0
        self.pending: list[float] | None = None
        self.requested = 0.0
        self.handed_out = 0.0
        self.steady_since = 0.0
        self.away = 0.0
        # Batch about to be handed out, its worker's ring, and its row there: None where it is not known.
        self.batch = -1
        self.ring: Ring | None = None
        self.row: tuple[float, ...] | None = None
        self.waiting_since = 0.0
        # (batch, received, unpickled, CPU seconds of that) of what came during this request.
        self.receipts: list[tuple[Any, float, float, float]] = []
        self.sent: dict[int, float] = {}
        self.sent_until = 0
        # Which pass it is, where the phases of a run are marked.
        self.passing: Pass | None = None


class MainSide:
    """The notes of a process that iterates DataLoaders."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.names = Names()
        self._loops: dict[tuple[Any, ...], Loop] = {}
        # Seconds spent in requests, and in loops inside of a step: what a step of another loop must not count.
        self._away = 0.0
        self._last: Iteration | None = None
        self._phase = 0
        self.copies: Copies | None = None
        self._copying: str | None = None
        # Of a fetch in this very process (num_workers=0): seconds, seconds collating, samples, CPU seconds.
        self._fetched: tuple[float, float, float, float] | None = None
        self.collate_start = 0.0
        self.collated = 0

    # --- iterators

    def loop_of(self, named: Named, loader: Any) -> Loop | None:
        """Return the loop of a loader; None if there are more loaders than slots."""
        # A loader made anew under an old name may have other workers, and is then measured apart.
        key = (named.name, loader.num_workers, loader.prefetch_factor, loader.batch_size)
        loop = self._loops.get(key)
        if loop is None:
            if len(self._loops) == MAX_SLOTS:
                self.context.on_warning(f"pipeline: more than {MAX_SLOTS} loaders: {named.name} is not measured")
                return None
            meta = {"name": named.name, "dataset": type(loader.dataset).__name__, "cpus": cpus()}
            loop = self._loops[key] = Loop(self.context.path(), len(self._loops), meta)
        loop.iterators += 1
        return loop

    def begin(self, loop: Loop, loader: Any, iterator: Any, link: Link) -> Iteration:
        """Return the record of a new pass, whose workers have been sent their first indices just now."""
        iteration = Iteration(self, loop, loader.num_workers, getattr(loader, "in_order", True), link)
        loop.describe(
            num_workers=loader.num_workers,
            prefetch_factor=loader.prefetch_factor,
            batch_size=loader.batch_size,
            pin_memory=bool(getattr(iterator, "_pin_memory", False)),
            persistent_workers=bool(loader.persistent_workers),
            in_order=iteration.in_order,
            iterable=bool(iterator._dataset_kind),  # torch's _DatasetKind: Map is 0
        )
        if loader.num_workers:
            iteration.sent_until = iterator._send_idx
            iteration.sent = dict.fromkeys(range(iterator._send_idx), time.monotonic())
        return iteration

    def handed_out(self) -> int:
        """Return how many batches all loaders of this process handed out so far."""
        return sum(loop.batches for loop in self._loops.values())

    # --- one request

    def request(self, iteration: Iteration) -> None:
        """Note a request for a batch: the step of the one before is over.

        Raises:
            EnoughBatches: as many were handed out as were asked for; StopIteration outside of the main thread.
        """
        now = time.monotonic()
        if iteration.pending is not None:
            self._end_step(iteration, now)
        if self._phase < 2:
            self._phase += 1
            self.context.on_boundary("setup" if self._phase == 1 else "first")
        stop_after = self.context.stop_after_batches
        if stop_after is not None and iteration.loop.batches >= stop_after:
            self.flush()
            if threading.current_thread() is threading.main_thread():
                raise EnoughBatches(f"{iteration.loop.batches} batches, as asked for")
            raise StopIteration
        iteration.receipts.clear()
        iteration.batch, iteration.ring, iteration.row = -1, None, None
        iteration.requested = time.monotonic()

    def _end_step(self, iteration: Iteration, now: float) -> None:
        pending = iteration.pending
        assert pending is not None
        iteration.pending = None
        elapsed = now - iteration.handed_out
        elsewhere = min(elapsed, self._away - iteration.away)
        if self._last is iteration:
            self._away += elapsed
        pending[8] = elapsed - elsewhere
        pending[9] = elsewhere
        if self.copies is not None:
            pending[10] = self.copies.taken_s()
        if iteration.number == 1:
            loop = iteration.loop
            loop.firsts += 1
            if loop.batches == 1:
                loop.first_optimizer_steps = loop.optimizer_steps
            loop.flush()
        else:
            iteration.loop.add(pending)

    def received(self, iteration: Iteration, start: float, index: Any) -> None:
        """Note that torch took one result from its queue, waiting since `start`."""
        end = time.monotonic()
        if not iteration.receipts:
            iteration.waiting_since = start
        link = iteration.link
        if link.received > start:
            iteration.receipts.append((index, link.received, end, time.thread_time() - link.received_cpu_s))
        else:
            iteration.receipts.append((index, end, end, 0.0))

    def take(self, iteration: Iteration, iterator: Any, worker: int) -> None:
        """Note which batch is to be handed out, before its worker is sent an index whose row may be in its place."""
        receipts, rings = iteration.receipts, iteration.link.rings
        iteration.batch = iterator._rcvd_idx - 1 if iteration.in_order else receipts[-1][0] if receipts else -1
        iteration.ring = rings[worker] if 0 <= worker < len(rings) else None
        iteration.row = iteration.ring.read(iteration.batch) if iteration.ring is not None else None

    def hand_out(self, iteration: Iteration, iterator: Any, batch: Any) -> None:
        """Note that a batch was handed out."""
        now = time.monotonic()
        loop = iteration.loop
        iteration.number += 1
        request_s = now - iteration.requested
        steady = 1.0 if iteration.number > iteration.skip else 0.0
        if iteration.number == iteration.skip + 1:
            iteration.steady_since = iteration.requested
        if iteration.workers:
            pending = self._from_workers(iteration, iterator, request_s, steady, now)
        else:
            pending = self._from_here(request_s, steady)
        iteration.pending = pending
        loop.batches += 1
        loop.samples += pending[1]
        if loop.batches & (loop.batches - 1) == 0:
            sizes = _tensor_sizes(batch)
            loop.tensors, loop.tensor_bytes = len(sizes), sum(sizes)
            if self._copying is None:
                self._watch_copies()
            loop.describe(copies=self._copying)
        if self.copies is not None:
            self.copies.begin_step(loop, steady)
        self._last = iteration
        iteration.handed_out = time.monotonic()
        iteration.away = self._away = self._away + iteration.handed_out - iteration.requested

    def _from_workers(
        self, iteration: Iteration, iterator: Any, request_s: float, steady: float, now: float
    ) -> list[float]:
        receipts, link = iteration.receipts, iteration.link
        index, ring, row = iteration.batch, iteration.ring, iteration.row
        sent = iteration.sent.pop(index, 0.0)
        if iterator._send_idx > iteration.sent_until:
            for number in range(iteration.sent_until, iterator._send_idx):
                iteration.sent[number] = now
            iteration.sent_until = iterator._send_idx
        unpicklings = [(received, done) for _, received, done, _ in receipts]
        start, end = (iteration.waiting_since, receipts[-1][2]) if receipts else (now, now)
        # Another batch was ready all the while: only the order kept main waiting.
        behind_s = end - receipts[0][2] if len(receipts) > 1 else 0.0
        pinned = link.pinned.pop(index, None) if link.pinned is not None else None
        pin_receive_s, pin_s = (pinned[1] - pinned[0], pinned[2] - pinned[1]) if pinned else (0.0, 0.0)
        if row is None:
            receive_s = sum(done - received for received, done in unpicklings)
            unknown_s = end - start - receive_s
            return [
                steady, 0.0, request_s, 0.0, 0.0, unknown_s, receive_s, request_s - unknown_s - receive_s, 0.0, 0.0,
                0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, pin_s, pin_receive_s, behind_s, 0.0,
                _off_cpu_s(receive_s, receipts), 0.0,
            ]  # fmt: skip
        (
            _, idle_s, fetch_start, fetch_end, collate_s, samples, cpu_s, stalled_s, pickle_start,
            pickle_end, message_bytes,
        ) = row  # fmt: skip
        # It may have waited before: the first steady batches were fetched during the first step.
        idle_then_s = max(0.0, min(idle_s, fetch_start - iteration.steady_since))
        loader_s, transport_s, receive_s, dispatch_s, _ = split_wait(
            start, end, sent, idle_s, fetch_start, fetch_end, stalled_s, unpicklings
        )
        off_cpu_s = _off_cpu_s(receive_s, receipts)
        held_up_s = 0.0
        if off_cpu_s > _WORTH_A_LOOK_S and ring is not None:
            later = range(index + 1, iterator._send_idx)
            held_up_s = min(off_cpu_s, ring.fetched_within(receipts[-1][1], receipts[-1][2], later))
        return [
            steady, samples, request_s, loader_s, transport_s, 0.0, receive_s, request_s - (end - start), 0.0,
            0.0, 0.0, fetch_end - fetch_start - collate_s, collate_s, pickle_end - pickle_start, idle_then_s,
            dispatch_s, stalled_s, cpu_s, message_bytes, pin_s, pin_receive_s, behind_s, 1.0,
            off_cpu_s, held_up_s,
        ]  # fmt: skip

    def _from_here(self, request_s: float, steady: float) -> list[float]:
        fetch_s, collate_s, samples, cpu_s = self._fetched or (0.0, 0.0, 0.0, 0.0)
        matched = 1.0 if self._fetched else 0.0
        self._fetched = None
        return [
            steady, samples, request_s, fetch_s, 0.0, 0.0, 0.0, request_s - fetch_s, 0.0, 0.0, 0.0,
            fetch_s - collate_s, collate_s, 0.0, 0.0, 0.0, 0.0, cpu_s, 0.0, 0.0, 0.0, 0.0, matched, 0.0, 0.0,
        ]  # fmt: skip

    def end(self, iteration: Iteration) -> None:
        """Note that a request ended without a batch: the loader is exhausted, or failed."""
        self._away += time.monotonic() - iteration.requested
        iteration.loop.flush()
        if iteration.passing is not None and self.context.marks is not None:
            self.context.marks.loader("pass_end", iteration.passing, batches=iteration.number)

    # --- fetches in this process

    def begin_fetch(self, samples: int, items: Any) -> tuple[float, float]:
        """Return what `end_fetch` wants back."""
        self.collated = samples
        self.collate_start = 0.0
        return time.monotonic(), time.thread_time()

    def end_fetch(self, begun: tuple[float, float]) -> None:
        """Note a fetch in this process."""
        start, cpu_s = begun
        end = time.monotonic()
        collate_s = end - self.collate_start if self.collate_start else 0.0
        self._fetched = (end - start, collate_s, self.collated, time.thread_time() - cpu_s)

    # --- the rest

    def optimizer_stepped(self) -> None:
        """Count a step of an optimizer for the loop that handed out last."""
        if self._last is not None:
            self._last.loop.optimizer_steps += 1

    def _watch_copies(self) -> None:
        self.copies = watch_copies(sys.modules["torch"])
        self._copying = "no CUDA device that torch can use" if self.copies is None else "measured"

    def flush(self) -> None:
        """Write all counters."""
        if self.copies is not None:
            self.copies.poll()
        for loop in list(self._loops.values()):
            loop.flush()


def timed_receiver(link: Link, receive: Callable[..., Any]) -> Callable[..., Any]:
    """Return `receive` of a queue, noting when it returned: what follows is unpickling."""
    now, used = time.monotonic, time.thread_time

    def received(*args: Any) -> Any:
        message = receive(*args)
        link.received, link.received_cpu_s = now(), used()
        return message

    return received


def _off_cpu_s(receive_s: float, receipts: Sequence[tuple[Any, float, float, float]]) -> float:
    """Return how long of its unpickling main waited: mostly for workers that hand over descriptors of tensors."""
    whole_s = sum(done - received for _, received, done, _ in receipts)
    cpu_s = sum(receipt[3] for receipt in receipts)
    return receive_s * max(0.0, 1 - cpu_s / whole_s) if whole_s else 0.0


def _tensor_sizes(batch: Any, depth: int = 0) -> list[int]:
    """Return the bytes of each tensor and array in a batch; containers a few levels deep are looked into."""
    size = getattr(batch, "nbytes", None)
    if isinstance(size, int):
        return [size]
    if isinstance(batch, dict):
        batch = list(batch.values())
    if depth == _MAX_DEPTH or not isinstance(batch, (list, tuple)):
        return []
    return [size for item in batch[:_MAX_ITEMS] for size in _tensor_sizes(item, depth + 1)]

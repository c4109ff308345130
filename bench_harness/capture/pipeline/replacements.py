"""What stands in for methods of torch's DataLoader: each function takes the original and returns its replacement.

Whatever fails in here is caught, ends the measurement, and leaves the target to run as it would have.
"""

import functools
import inspect
import sys
from time import monotonic
from typing import Any

from bench_harness.capture.own_frames import hide
from bench_harness.capture.phase_marks import Pass
from bench_harness.capture.pipeline import naming
from bench_harness.capture.pipeline.layout import Ring
from bench_harness.capture.pipeline.main_side import Iteration, Link, MainSide, timed_receiver
from bench_harness.capture.pipeline.overrides import overridden
from bench_harness.capture.pipeline.state import STATE
from bench_harness.capture.pipeline.worker_side import WorkerSide

_ITERATION = "_bench_iteration"
_LINK = "_bench_link"
_PINNED = "_bench_pinned"


def init_replacement(original: Any) -> Any:
    signature = inspect.signature(original)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        context = STATE.context
        if context is not None and (context.overrides.num_workers, context.overrides.prefetch_factor) != (None, None):
            try:
                args, kwargs = overridden(signature, context.overrides, args, kwargs, context.on_warning)
            except TypeError:
                pass  # the original says what is wrong
            except Exception as error:
                STATE.give_up(error)
        try:
            original(self, *args, **kwargs)
        except BaseException as error:
            hide(error)
            raise

    return init


def iter_replacement(original: Any) -> Any:
    def iterate(self: Any) -> Any:
        main = STATE.main
        if main is None:
            return original(self)
        starting = naming.starting
        before = starting.named, starting.epoch, starting.workers, starting.rings
        loop = None
        try:
            named = main.names.of(self, naming.caller_frame(1))
            loop = main.loop_of(named, self)
            if main.context.on_loader is not None:
                main.context.on_loader(self, named.name)
            starting.named, starting.epoch, starting.workers, starting.rings = named, named.iterators, 0, []
            named.iterators += 1
            this = Pass(named.name, starting.epoch, self.num_workers, bool(self.persistent_workers))
            _mark_start(this, self, loop)
        except Exception as error:
            STATE.give_up(error)
        try:
            iterator = original(self)
            rings = starting.rings
        except BaseException as error:
            hide(error)
            raise
        finally:
            starting.named, starting.epoch, starting.workers, starting.rings = before
        if loop is not None and STATE.main is main:
            try:
                _attach(main, loop, self, iterator, rings, this)
            except Exception as error:
                STATE.give_up(error)
        return iterator

    return iterate


def _mark_start(this: Pass, loader: Any, loop: Any) -> None:
    marks = STATE.context.marks if STATE.context is not None else None
    if marks is None:
        return
    marks.loader("pass_start", this, batches=None if loop is None else loop.batches, loader=loader)
    if this.workers and not (this.persistent and loader._iterator is not None):
        marks.loader("workers_start", this, loader=loader)


def _attach(main: MainSide, loop: Any, loader: Any, iterator: Any, rings: list[Ring], this: Pass) -> None:
    if not hasattr(iterator, "_sampler_iter"):
        main.context.on_warning(f"pipeline: {type(iterator).__name__} is no iterator of torch's: it is not measured")
        return
    link = vars(iterator).get(_LINK)
    if link is None:
        link = Link(rings)
        setattr(iterator, _LINK, link)
        if loader.num_workers and iterator._pin_memory:
            link.pinned = vars(iterator._data_queue).get(_PINNED)
        elif loader.num_workers:
            iterator._data_queue._recv_bytes = timed_receiver(link, iterator._data_queue._recv_bytes)
    iteration = main.begin(loop, loader, iterator, link)
    setattr(iterator, _ITERATION, iteration)
    if main.context.marks is not None:
        iteration.passing = this
        if this.workers:
            main.context.marks.loader("workers_up", this)


def _iteration(iterator: Any) -> Iteration | None:
    if STATE.main is None:
        return None
    found: Iteration | None = vars(iterator).get(_ITERATION)
    # One that came through a fork, or from before the last installation, is none of this process's.
    return found if found is not None and found.side is STATE.main else None


def next_replacement(original: Any) -> Any:
    def next_batch(self: Any) -> Any:
        iteration = _iteration(self)
        if iteration is not None:
            try:
                iteration.side.request(iteration)
            except StopIteration:
                raise
            except Exception as error:
                STATE.give_up(error)
                iteration = None
        try:
            batch = original(self)
        except BaseException as error:
            if iteration is not None:
                _end(iteration)
            hide(error)
            raise
        if iteration is not None:
            try:
                iteration.side.hand_out(iteration, self, batch)
            except Exception as error:
                STATE.give_up(error)
        return batch

    return next_batch


def _end(iteration: Iteration) -> None:
    try:
        iteration.side.end(iteration)
    except Exception as error:
        STATE.give_up(error)


def get_data_replacement(original: Any) -> Any:
    def get_data(self: Any) -> Any:
        iteration = _iteration(self)
        if iteration is None:
            return original(self)
        start = monotonic()
        result = original(self)
        main = STATE.main
        if main is not None:
            try:
                main.received(iteration, start, result[0])
            except Exception as error:
                STATE.give_up(error)
        return result

    return get_data


def process_data_replacement(original: Any) -> Any:
    def process_data(self: Any, data: Any, worker_idx: int = -1, *args: Any) -> Any:
        iteration, main = _iteration(self), STATE.main
        if iteration is not None and main is not None:
            try:
                main.take(iteration, self, worker_idx)
            except Exception as error:
                STATE.give_up(error)
        return original(self, data, worker_idx, *args)

    return process_data


def fetcher_init_replacement(original: Any) -> Any:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        side = STATE.fetching
        if side is not None:
            self.collate_fn = _timed_collate(side, self.collate_fn, self.auto_collation)
        # Of an iterable data set the iterator is made later, which may hang, and each of its workers is asked.
        if STATE.worker is not None and not STATE.depth and type(self).__name__ == "_MapDatasetFetcher":
            STATE.worker.is_ready()

    return init


def _timed_collate(side: Any, collate: Any, is_batch: bool) -> Any:
    @functools.wraps(collate, updated=())
    def timed(samples: Any) -> Any:
        if STATE.depth == 1:
            if is_batch:
                side.collated = len(samples)
            side.collate_start = monotonic()
        return collate(samples)

    return timed


def fetch_replacement(original: Any) -> Any:
    def fetch(self: Any, index: Any) -> Any:
        side, begun = STATE.fetching, None
        # A data set may iterate a DataLoader of its own: only the outermost fetch is a batch of this process.
        if side is not None and not STATE.depth:
            try:
                begun = side.begin_fetch(len(index) if isinstance(index, (list, tuple)) else 1, index)
                STATE.depth = 1
            except Exception as error:
                STATE.give_up(error)
        try:
            data = original(self, index)
        except BaseException as error:
            hide(error)  # also from the text that a worker sends to the main process
            raise
        finally:
            if begun is not None:
                STATE.depth = 0
        if begun is None:
            return data
        try:
            side.end_fetch(begun)
            if STATE.worker is not None and STATE.context is not None and STATE.context.on_fetched is not None:
                STATE.context.on_fetched(self.dataset)
        except Exception as error:
            STATE.give_up(error)
        return data

    return fetch


def worker_begins_replacement(original: Any) -> Any:
    """Stand in for the first thing that torch's worker loop calls: its caller has the queue of results.

    Not for the loop itself: a spawned worker has looked that up before anything could be installed.
    """

    def begins(*args: Any, **kwargs: Any) -> Any:
        context = STATE.context
        if context is not None and context.role == "worker":
            try:
                frame: Any = sys._getframe(1)
                while "data_queue" not in frame.f_locals:  # others may stand in for the function too
                    frame = frame.f_back
                data_queue = frame.f_locals["data_queue"]
                STATE.worker = STATE.fetching = WorkerSide(context)
                STATE.worker.watch(data_queue)
            except Exception as error:
                STATE.give_up(error)
        return original(*args, **kwargs)

    return begins


def _watch_pinning(in_queue: Any, out_queue: Any) -> None:
    """Note when each batch came to torch's pinning thread, was unpickled, and was pinned."""
    link = Link([])
    pinned: dict[Any, tuple[float, float, float]] = {}
    came: dict[Any, tuple[float, float]] = {}
    get, put = in_queue.get, out_queue.put

    def timed_get(*args: Any, **kwargs: Any) -> Any:
        result = get(*args, **kwargs)
        came[result[0]] = link.received, monotonic()
        return result

    def timed_put(item: Any, *args: Any, **kwargs: Any) -> None:
        moments = came.pop(item[0], None)
        if moments is not None and type(item[0]) is int:
            pinned[item[0]] = (*moments, monotonic())
        put(item, *args, **kwargs)

    in_queue._recv_bytes = timed_receiver(link, in_queue._recv_bytes)
    in_queue.get, out_queue.put = timed_get, timed_put
    setattr(out_queue, _PINNED, pinned)


def pin_memory_loop_replacement(original: Any) -> Any:
    def pin_memory_loop(*args: Any, **kwargs: Any) -> Any:
        if STATE.main is not None:
            try:
                bound = inspect.signature(original).bind(*args, **kwargs).arguments
                _watch_pinning(bound["in_queue"], bound["out_queue"])
            except Exception as error:
                STATE.give_up(error)
        return original(*args, **kwargs)

    return pin_memory_loop

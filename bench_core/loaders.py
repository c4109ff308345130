"""DataLoader construction, and iterating one so that a dead worker is named.

Everything a worker needs lives here or below, in the installed package: a spawned worker cannot import a script's or
a benchmark suite's own classes.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from multiprocessing import forkserver, resource_tracker
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, default_collate
from torch.utils.data._utils import signal_handling

from bench_core.errors import BenchCoreError, LoaderError
from bench_core.worker_deaths import deaths_named

START_METHODS = ("fork", "forkserver", "spawn")


class Cost(NamedTuple):
    """What examples cost in the process that made them."""

    seconds: float
    skipped: int
    """Structures drawn that had no valid pair (`OriginPairs.skipped`)."""


class TimedExamples(Dataset[tuple[Any, Cost]]):
    """A data set whose examples carry what they cost, measured where they are made."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[Any, Cost]:
        skipped = self._skipped()
        start = time.perf_counter()
        example = self.dataset[index]
        return example, Cost(time.perf_counter() - start, self._skipped() - skipped)

    def _skipped(self) -> int:
        return sum(getattr(self.dataset, "skipped", {}).values())


def collate_timed(examples: list[tuple[Any, Cost]]) -> tuple[Any, Cost]:
    """Collate the examples of `TimedExamples`; the cost of a batch is the sum of its examples'."""
    costs = [cost for _, cost in examples]
    total = Cost(sum(cost.seconds for cost in costs), sum(cost.skipped for cost in costs))
    return default_collate([example for example, _ in examples]), total


def start_worker(worker_id: int) -> None:
    """Prepare a worker process: an interrupt is the main process's to handle, and its end is no error of ours.

    Ctrl-C at a terminal reaches every process of the group; the main process ends its workers in order. A worker that
    is handing over a batch just then finds the connection closed, and the thread that hands over
    (multiprocessing.resource_sharer) reports that through sys.excepthook.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked from the start
    usual = sys.excepthook

    def quiet_when_main_is_gone(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not issubclass(kind, (ConnectionError, EOFError)):
            usual(kind, error, trace)

    sys.excepthook = quiet_when_main_is_gone


def make_loader(
    dataset: Dataset[Any],
    batch_size: int,
    workers: int = 0,
    start_method: str = "fork",
    *,
    timed: bool = False,
    timeout_s: float = 300.0,
    **options: Any,
) -> DataLoader[Any]:
    """Return a DataLoader of `dataset` with `workers` processes of an explicit start method.

    The start method is always named, because the default differs between Python versions, and with it whether the
    data set's memory is shared. `options` go to DataLoader.

    Args:
        timed: wrap the data set in `TimedExamples`: batches are then (batch, Cost).
        timeout_s: seconds after which a worker that delivers nothing counts as hung (DataLoader itself waits for
            ever).

    Raises:
        LoaderError: unknown start method.
    """
    if start_method not in multiprocessing.get_all_start_methods():
        have = ", ".join(multiprocessing.get_all_start_methods())
        raise LoaderError(f"start method {start_method!r} does not exist on this platform: choose one of {have}")
    if timed:
        dataset, options = TimedExamples(dataset), {"collate_fn": collate_timed} | options
    if workers:
        options = {
            "multiprocessing_context": start_method,
            "timeout": timeout_s,
            "worker_init_fn": start_worker,
        } | options
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers, **options)


def iterate(loader: DataLoader[Any]) -> Generator[Any, None, None]:
    """Yield the batches of one epoch; name the worker that died instead of torch's general message.

    The workers are shut down when the generator is closed, also after an early break.

    Raises:
        LoaderError: a worker died or hung; names its number, process id, exit code and the likely cause.
        BenchCoreError: what the data set raised, in one line wherever it was raised.
    """
    workers: list[Any] = []
    batches: Any = None
    ended = False
    try:
        with deaths_named(workers):
            if _start_method(loader) == "forkserver":
                # Outside the block: what it forks for others must stay open to interrupts.
                forkserver.ensure_running()
            with torch.autograd.profiler.record_function("imports what the first batch would"):
                pass
            with interrupts_are_ours() if loader.num_workers else nullcontext(), _deaths_are_looked_for():
                batches = iter(loader)
            workers += getattr(batches, "_workers", [])
            _unheard(batches)
            yield from _patiently(batches, workers, loader.timeout)
            ended = True
    except BenchCoreError as error:
        raise type(error)(_last_line(str(error))) from error
    except RuntimeError as error:
        if not _is_timeout(error):
            raise
        raise LoaderError(f"no worker delivered a batch in {loader.timeout:g} s: {_HUNG}") from error
    finally:
        if workers and not (ended and loader.persistent_workers):
            batches._shutdown_workers()
            if getattr(loader, "_iterator", None) is batches:
                loader._iterator = None  # persistent workers: the next epoch starts new ones


def _next(batches: Any, workers: list[Any]) -> Any:
    """Return the next batch; torch's SIGCHLD handler may raise within this call, and nowhere else.

    The handler raises in whatever line is being executed. Out of the consumer's code, or of an import or a callback
    there, that would surprise or get lost. In here it is needed: a worker that was killed while it wrote a batch leaves
    half of it in the pipe, and reading that would never end.
    """
    if not workers:
        return next(batches)
    signal_handling._set_worker_pids(id(batches), tuple(worker.pid for worker in workers))  # type: ignore[attr-defined]
    batches._worker_pids_set = True
    try:
        if any(worker.exitcode for worker in workers):  # died before this call, and so unheard
            raise RuntimeError("DataLoader worker exited unexpectedly")
        return next(batches)
    finally:
        _unheard(batches)


@contextmanager
def _deaths_are_looked_for() -> Generator[None, None, None]:
    """Have torch's SIGCHLD handler look after no worker of a loader that is made in this block; `_next` does.

    It raises in whatever line is being executed: in the middle of sending an index it leaves the queue's lock taken,
    and the shutdown, which wants to send through the same queue, waits for it for ever.
    """
    torch_signals: Any = signal_handling
    tell = torch_signals._set_worker_pids
    torch_signals._set_worker_pids = lambda key, pids: tell(key, ())
    try:
        yield
    finally:
        torch_signals._set_worker_pids = tell


def _unheard(batches: Any) -> None:
    """Take the workers off the list of torch's SIGCHLD handler."""
    if getattr(batches, "_worker_pids_set", False):
        signal_handling._remove_worker_pids(id(batches))  # type: ignore[attr-defined]
        batches._worker_pids_set = False


def _start_method(loader: DataLoader[Any]) -> str | None:
    """Return how the loader starts its workers; None without workers, or while nobody has chosen."""
    if not loader.num_workers:
        return None
    context = loader.multiprocessing_context or multiprocessing
    method: str | None = context.get_start_method(allow_none=True)
    return method


def _is_timeout(error: RuntimeError) -> bool:
    """Say whether it is torch that has waited in vain, and not a data set's own error about a timeout."""
    return str(error).startswith("DataLoader timed out after")


def _patiently(batches: Any, workers: list[Any], timeout_s: float) -> Generator[Any, None, None]:
    """Yield the batches, looking after the workers every second until `timeout_s` has passed without a batch.

    With a timeout, torch looks whether workers live only once that is over, which may be minutes.
    """
    if timeout_s:
        batches._timeout = min(timeout_s, _LOOK_AFTER_S)
    last = time.monotonic()
    while True:
        try:
            batch = _next(batches, workers)
        except StopIteration:
            return
        except RuntimeError as error:
            if not _is_timeout(error) or time.monotonic() - last >= timeout_s:
                raise
            continue
        yield batch
        last = time.monotonic()


@contextmanager
def interrupts_are_ours() -> Generator[None, None, None]:
    """Start processes in this block with SIGINT blocked, from their first instruction on; ours waits meanwhile.

    A worker could ignore the signal only once it runs Python code of ours, after seconds of imports where it was
    spawned: a Ctrl-C before that would kill it, with a traceback each.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield  # Windows
        return
    # Started here, because starting it later would unblock the signal again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _interrupt_deferred():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _interrupt_deferred() -> Generator[None, None, None]:
    """Let a Ctrl-C come up after the block: another thread may take the signal that this one has blocked, and what
    it then interrupts is this one, between starting a worker and telling it what to do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: taken.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if taken:
            signal.raise_signal(signal.SIGINT)


def _last_line(message: str) -> str:
    """Return the message that an error had in a worker; torch makes the worker's whole traceback of it."""
    if not message.startswith("Caught "):
        return message
    return message.rstrip().splitlines()[-1].partition(": ")[2]


_LOOK_AFTER_S = 1.0
_HUNG = (
    "likely a thread pool started before the fork (polars and multi-threaded BLAS hang so); try --start-method "
    "forkserver"
)


def limit_threads(threads: int = 1) -> None:
    """Give torch `threads` threads in this process (workers have one by themselves)."""
    torch.set_num_threads(threads)

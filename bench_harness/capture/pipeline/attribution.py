"""Whose fault a wait is: the interval in which main was blocked, cut at the timestamps of the batch it waited for."""

from collections.abc import Iterable
from typing import NamedTuple


class Wait(NamedTuple):
    """A wait of main for one batch, in seconds; `loader`, `transport` and `receive` add up to it.

    `loader`: the batch was still being fetched, or its worker was busy with an earlier one.
    `transport`: it was fetched and not there yet, or its index was sent and its worker did not have it (`dispatch`),
    or its worker had it and could not run for pickling an earlier batch (`stalled`).
    `receive`: main unpickled what had come.
    """

    loader: float
    transport: float
    receive: float
    dispatch: float
    stalled: float


def split_wait(
    start: float,
    end: float,
    sent: float,
    idle_s: float,
    fetch_start: float,
    fetch_end: float,
    stalled_s: float,
    unpicklings: Iterable[tuple[float, float]],
) -> Wait:
    """Split the interval from `start` to `end`; all times of one clock.

    Args:
        sent: when the index was given to the queue.
        idle_s: how long its worker had had nothing to do when the fetch began.
        fetch_start, fetch_end: of the batch waited for.
        stalled_s: of its fetch, at the beginning, in which the worker's other thread held the interpreter to pickle.
        unpicklings: start and end of what main unpickled meanwhile, also of other batches. What it unpickled before
            the batch was fetched cost nothing: it would have waited anyway.
    """
    if fetch_end <= start:  # the usual case of a loader that keeps up
        receive = sum(done - begun for begun, done in unpicklings)
        return Wait(0.0, end - start - receive, receive, 0.0, 0.0)
    fetched = min(fetch_end, end)
    dispatch = _overlap(max(sent, fetch_start - idle_s), fetch_start, start, fetched)
    stalled = _overlap(fetch_start, fetch_start + stalled_s, start, fetched)
    receive = sum(_overlap(begun, done, fetched, end) for begun, done in unpicklings)
    loader = fetched - start - dispatch - stalled
    return Wait(loader, end - fetched - receive + dispatch + stalled, receive, dispatch, stalled)


def _overlap(start: float, end: float, of: float, to: float) -> float:
    start = start if start > of else of
    end = end if end < to else to
    return end - start if end > start else 0.0

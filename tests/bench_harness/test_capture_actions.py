"""Times of nested actions: laws over any order of beginnings and ends, and cases worked out by hand."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_harness.capture.actions import ActionRow, ActionTimes, Place

TRAIN = Place("train", 0)


class Clock:
    """A clock in seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0

    def __call__(self) -> int:
        return self.now_s * 10**9


def by_action(times: ActionTimes) -> dict[str, tuple[int, float, float]]:
    return {row.action: (row.calls, row.inclusive_s, row.exclusive_s) for row in times.rows()}


def test_an_outer_action_holds_what_ran_within_it() -> None:
    clock = Clock()
    times = ActionTimes(clock)
    times.start("epoch", TRAIN)
    for _ in range(3):
        clock.now_s += 1
        times.start("batch", TRAIN)
        clock.now_s += 10
        times.stop("batch")
    clock.now_s += 5
    times.stop("epoch")
    assert by_action(times) == {"epoch": (1, 38.0, 8.0), "batch": (3, 30.0, 30.0)}
    assert times.rows()[1] == ActionRow("train", 0, "batch", 3, 30.0, 30.0, 10.0)


def test_recursion_counts_once() -> None:
    clock = Clock()
    times = ActionTimes(clock)
    for _ in range(3):
        times.start("save", TRAIN)
        clock.now_s += 1
    for _ in range(3):
        times.stop("save")
    assert by_action(times) == {"save": (3, 3.0, 3.0)}


def test_actions_that_overlap_without_nesting_keep_their_own_times() -> None:
    clock = Clock()
    times = ActionTimes(clock)
    times.start("copy", TRAIN)
    clock.now_s = 1
    times.start("compute", TRAIN)
    clock.now_s = 3
    times.stop("copy")
    clock.now_s = 7
    times.stop("compute")
    assert by_action(times) == {"copy": (1, 3.0, 1.0), "compute": (1, 6.0, 6.0)}


def test_places_are_kept_apart() -> None:
    clock = Clock()
    times = ActionTimes(clock)
    for place in (TRAIN, Place("validate", 0), Place("train", 1)):
        times.start("next", place)
        clock.now_s += 1
        times.stop("next")
    assert [(row.stage, row.epoch, row.calls) for row in times.rows()] == [
        ("train", 0, 1),
        ("validate", 0, 1),
        ("train", 1, 1),
    ]


def test_an_end_without_a_beginning_is_refused() -> None:
    times = ActionTimes()
    with pytest.raises(ValueError, match="action 'next' ended in a thread where it was not under way"):
        times.stop("next")
    times.start("next", TRAIN)
    times.stop("next")
    with pytest.raises(ValueError, match="'next'"):
        times.stop("next")


def test_a_reset_lets_what_is_under_way_go_on() -> None:
    clock = Clock()
    times = ActionTimes(clock)
    times.start("outer", TRAIN)
    times.start("done", TRAIN)
    clock.now_s = 4
    times.stop("done")
    times.reset()
    clock.now_s = 6
    times.stop("outer")
    assert by_action(times) == {"outer": (1, 2.0, 2.0)}


@pytest.mark.timeout(60)
def test_each_thread_nests_by_itself() -> None:
    clock = Clock()
    times = ActionTimes(clock)
    times.start("main", TRAIN)

    def other() -> None:
        times.start("copy", TRAIN)
        clock.now_s += 2
        times.stop("copy")
        with pytest.raises(ValueError, match="'main'"):
            times.stop("main")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    times.stop("main")
    assert by_action(times) == {"main": (1, 2.0, 2.0), "copy": (1, 2.0, 2.0)}


EVENTS = st.lists(
    st.tuples(st.integers(0, 1000), st.sampled_from("+-"), st.sampled_from("abc"), st.integers(0, 1)), max_size=60
)


@given(EVENTS)
def test_laws(events: list[tuple[int, str, str, int]]) -> None:
    """Against a second account of the same events: what is under way in each interval between two of them."""
    clock = Clock()
    times = ActionTimes(clock)
    under_way: list[tuple[str, int]] = []
    exclusive: dict[tuple[str, int], int] = {}
    inclusive: dict[tuple[str, int], int] = {}
    calls: dict[tuple[str, int], int] = {}
    total_s = 0
    for wait_s, kind, action, epoch in events:
        clock.now_s += wait_s
        if under_way:
            total_s += wait_s
            exclusive[under_way[-1]] += wait_s
            for key in set(under_way):
                inclusive[key] += wait_s
        if kind == "+":
            key = (action, epoch)
            under_way.append(key)
            for account in (exclusive, inclusive, calls):
                account.setdefault(key, 0)
            calls[key] += 1
            times.start(action, Place("train", epoch))
        elif any(name == action for name, _ in under_way):
            last = max(i for i, (name, _) in enumerate(under_way) if name == action)
            del under_way[last]
            times.stop(action)
    rows = times.rows()  # some actions may still be under way
    assert {(row.action, row.epoch): row.calls for row in rows} == calls
    assert {(row.action, row.epoch): row.inclusive_s for row in rows} == inclusive
    assert {(row.action, row.epoch): row.exclusive_s for row in rows} == exclusive
    assert sum(row.exclusive_s for row in rows) == total_s
    assert all(row.inclusive_s >= row.exclusive_s >= 0 for row in rows)

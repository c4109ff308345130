"""What bounds real loops, with margins that a loaded machine does not use up."""

from __future__ import annotations

import time
import types
from pathlib import Path
from typing import Any

import pytest
from hooked_loaders import DataLoader, Items, forked
from pipeline_capture import Capture

from bench_harness.capture.pipeline import layout, worker_side
from bench_harness.capture.pipeline.context import Context

pytestmark = pytest.mark.timeout(60)


def loop_over(loader: Any, step_s: float) -> None:
    for _ in loader:
        if step_s:
            time.sleep(step_s)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_slow_dataset_is_loader_bound(capture: Capture, workers: int) -> None:
    loop_over(DataLoader(Items(40, seconds=0.02), num_workers=workers), 0)
    results = capture.read().results
    assert results["verdict"] == "loader-bound"
    assert results["main_wait_share"] > 0.5


class Calculated(Items):
    """Calculated in Python alone: another thread of the process gets the interpreter when it asks for it, no sooner."""

    def __getitem__(self, index: int) -> Any:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        return super().__getitem__(index)


def test_a_dataset_that_calculates_in_python_is_loader_bound(capture: Capture) -> None:
    """Main waits for the interpreter of the worker then: its tensors come by file descriptors, from a second thread."""
    loop_over(DataLoader(Calculated(40), num_workers=2), 0)
    results = capture.read().results
    assert results["verdict"] == "loader-bound"
    assert results["main_wait_share"] > 0.5


def test_workers_are_not_idle_before_the_steady_state(capture: Capture) -> None:
    """They fetch ahead during the first step, however long it takes, and then wait."""
    for number, _ in enumerate(train := DataLoader(Items(14, seconds=0.01), num_workers=1)):
        time.sleep(0.5 if number == 0 else 0)
    loop = capture.loop("train")
    assert train.num_workers == 1
    assert loop["workers_idle_share"] < 0.6 < loop["workers_busy_share"]


def test_what_a_worker_fetched_meanwhile(tmp_path: Path) -> None:
    ring = layout.Ring(tmp_path / "main.1.pipeline")
    for index, begin in ((3, 1.0), (5, 4.0)):
        ring.write(ring.offset(index), index, 0.0, begin, begin + 2.0, *(0.0,) * 7)
    ring.write_fetching(7.0, 0.0)
    assert ring.fetched_within(2.0, 8.0, range(3, 9)) == 1 + 2 + 1
    assert ring.fetched_within(3.5, 3.75, range(3, 9)) == 0
    ring.write_fetching(7.0, 7.5)
    assert ring.fetched_within(0.0, 9.0, range(6, 9)) == 0.5


class SlowToRebuild:
    """What main sleeps for when it unpickles it."""

    def __reduce__(self) -> Any:
        return time.sleep, (0.02,)


def test_waiting_within_unpickling_is_told_from_unpickling(capture: Capture) -> None:
    loop_over(forked(Items(12, value=SlowToRebuild()), batch_size=1, num_workers=1, collate_fn=first), 0)
    results = capture.read().results
    loop = results["loaders"][0]
    assert loop["per_batch"]["receive_idle_s"]["mean"] > 0.015
    assert loop["receive_idle_share"] <= loop["shares"]["receive"]
    assert sum(loop["shares"].values()) == pytest.approx(1)
    assert results["verdict"] == "transport-bound"  # the worker does nothing meanwhile


@pytest.mark.parametrize("workers", [0, 2])
def test_a_slow_step_is_step_bound(capture: Capture, workers: int) -> None:
    loop_over(DataLoader(Items(25), num_workers=workers), 0.03)
    assert capture.read().results["verdict"] == "step-bound"


def first(items: list[Any]) -> Any:
    return items[0]


def test_large_pickled_objects_are_transport_bound(capture: Capture) -> None:
    objects = [{"name": f"atom {number}", "position": (number, 1.5)} for number in range(20_000)]
    loop_over(forked(Items(20, value=objects), batch_size=1, num_workers=2, collate_fn=first), 0)
    results = capture.read().results
    assert results["verdict"] == "transport-bound"
    assert results["loaders"][0]["message_bytes"] > 100_000
    assert any("pickled" in line for line in results["lines"])


@pytest.mark.parametrize(
    ("what", "pickled_until", "cpu_s", "switches", "stalled_s"),
    [
        ("waits for the interpreter throughout", 2.0, 0.5, 1000, 0.5),
        ("until pickling ended", 1.25, 0.25, 1000, 0.25),
        ("works all the while", 2.0, 1.0, 1000, 0.0),
        ("sleeps on something else", 2.0, 0.0, 2, 0.01),
        ("pickling was over", 0.5, 0.0, 1000, 0.0),
    ],
)
def test_a_fetch_that_could_not_run_for_pickling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    what: str, pickled_until: float, cpu_s: float, switches: int, stalled_s: float,
) -> None:  # fmt: skip
    monkeypatch.setattr(worker_side.sys, "getswitchinterval", lambda: 0.005)
    before = types.SimpleNamespace(ru_utime=0.0, ru_stime=0.0, ru_nvcsw=0)
    after = types.SimpleNamespace(ru_utime=cpu_s, ru_stime=0.0, ru_nvcsw=switches)
    monkeypatch.setattr(worker_side, "_used_by_thread", lambda: after)
    side = worker_side.WorkerSide(Context(tmp_path, "main.1", "worker"))
    side._pickled_until = pickled_until
    assert side._stalled(1.0, 2.0, before) == pytest.approx(stalled_s), what

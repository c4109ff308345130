"""What of a benchmark is counted or watched rather than timed: calls, allocations, instructions, memory of the tree."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from asv_sides import by_title, side_of, write_suite

pytest.importorskip("asv")
pytestmark = pytest.mark.timeout(120)

COUNTED = """
import os, time
class Work:
    params, param_names = [100, 103], ["n"]
    def setup(self, n):
        self.items = [str(number) for number in range(n + 50)]
    def one(self, item):
        return [item]
    def time_work(self, n):
        for item in self.items[:n]:
            self.one(item)
def time_holds():
    held = bytearray(60_000_000)
    time.sleep(0.6)
def time_forks():
    pid = os.fork()
    if pid == 0:
        held = bytearray(60_000_000)
        time.sleep(0.6)  # a peak of less than 50 ms may be missed
        os._exit(0)
    os.waitpid(pid, 0)
time_forks.number = 1
def timeraw_text(): return "sum(range(1000))"
def track_size(): return 3
"""


def test_calls_of_one_call_are_counted_exactly(tmp_path: Path) -> None:
    side = side_of(write_suite(tmp_path, kernels=COUNTED), "Work|text|size", metrics=["calls"])
    assert set(side.own.benchmarks) == {"kernels.Work.time_work(n=100)", "kernels.Work.time_work(n=103)"}
    side.prepare(60.0)
    for _ in range(2):
        taken = side.measure(None, 0, 60.0)
        assert taken.failures == {}
        # The benchmark itself, and one() for each item; what setup calls is no part of it.
        assert by_title(taken) == {
            "kernels.Work.time_work(n=100)": {"calls": 101.0},
            "kernels.Work.time_work(n=103)": {"calls": 104.0},
        }


def test_a_clock_that_is_not_asked_for_is_left_out(tmp_path: Path) -> None:
    side = side_of(write_suite(tmp_path, kernels=COUNTED), "100|size", metrics=["wall_s", "calls", "value"])
    side.prepare(60.0)
    taken = side.measure(None, 0, 60.0)
    assert {title: set(values) for title, values in by_title(taken).items()} == {
        "kernels.Work.time_work(n=100)": {"wall_s", "calls"},
        "kernels.track_size": {"value"},
    }
    wanted = [key for key in taken.values if key.metric == "calls"]
    assert by_title(side.measure(wanted, 0, 60.0)) == {"kernels.Work.time_work(n=100)": {"calls": 101.0}}


@pytest.mark.skipif(sys.platform != "linux", reason="PSS is Linux's")
def test_the_peak_is_that_of_the_tree(tmp_path: Path) -> None:
    side = side_of(write_suite(tmp_path, kernels=COUNTED), "100|holds|forks|text", metrics=["peak_pss_bytes"])
    side.prepare(60.0)
    taken = side.measure(None, 0, 60.0)
    held = {title: values["peak_pss_bytes"] for title, values in by_title(taken).items()}
    assert 5e6 < held["kernels.Work.time_work(n=100)"] < 50e6
    assert held["kernels.time_holds"] > 60e6
    assert held["kernels.time_forks"] > 60e6
    assert "kernels.timeraw_text" in held


def test_allocations_are_those_of_the_calls_alone(tmp_path: Path) -> None:
    pytest.importorskip("memray")
    suite = """
class Setup:
    def setup(self): self.held = [bytearray(100_000) for _ in range(50)]
    def time_three(self): return [bytearray(100_000) for _ in range(3)]
    def time_five(self): return [bytearray(100_000) for _ in range(5)]
"""
    side = side_of(write_suite(tmp_path, kernels=suite), metrics=["allocations"])
    side.prepare(60.0)
    rounds = [by_title(side.measure(None, 0, 60.0)) for _ in range(2)]
    assert rounds[0] == rounds[1]
    three, five = (rounds[0][f"kernels.Setup.time_{name}"]["allocations"] for name in ("three", "five"))
    assert 3 <= three < 20
    assert five / three == pytest.approx(5 / 3)


def test_a_counter_that_cannot_be_had_is_a_failure_with_the_remedy(tmp_path: Path) -> None:
    suite = "import sys\nsys.modules['memray'] = None\ndef time_it(): pass\n"
    side = side_of(write_suite(tmp_path, kernels=suite), metrics=["allocations"])
    side.prepare(60.0)
    why = side.measure(None, 0, 60.0).failures["kernels.time_it"]
    assert "this side's environment lacks: add it to the matrix" in why


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
def test_instructions_are_those_of_the_calls(tmp_path: Path) -> None:
    """Three per cent more items are about three per cent more instructions: neither start nor setup is counted."""
    side = side_of(write_suite(tmp_path, kernels=COUNTED), "Work", metrics=["instructions"])
    side.prepare(60.0)
    taken = side.measure(None, 0, 60.0)
    assert taken.failures == {}
    values = {title: each["instructions"] for title, each in by_title(taken).items()}
    ratio = values["kernels.Work.time_work(n=103)"] / values["kernels.Work.time_work(n=100)"]
    assert 1.02 < ratio < 1.035

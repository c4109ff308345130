"""Both sides at once on one core: what is measured so, what is not, and how it ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from drawn_sides import CPU, Clock, Drawn

from bench_harness.verdict import abreast
from bench_harness.verdict.certificate import control_of
from bench_harness.verdict.command_side import CommandSide
from bench_harness.verdict.outcomes import Outcome, Samples
from bench_harness.verdict.rounds import Limits, compare
from bench_harness.verdict.rule import Rule, Verdict
from bench_harness.verdict.sequential import Sequential
from bench_harness.verdict.sides import Key, Side, Taken

pytestmark = pytest.mark.skipif(not abreast.available(), reason="processes cannot be kept on a core here")

WALL = Key("body", (), "wall_s", "s", "lower")
SIZE = Key("body", (), "value", "bytes", "lower")
# Writes the cores it may use.
SCRIPT = """
import os, sys
with open(sys.argv[1], "w") as file:
    file.write(f"{sorted(os.sched_getaffinity(0))}")
"""


def command(folder: Path, name: str) -> CommandSide:
    return CommandSide(name, [sys.executable, "-I", "-S", "-c", SCRIPT, str(folder / name)])


def key_of(metric: str) -> Key:
    return Key("command", (), metric, "s", "lower")


def measured(sides: Mapping[str, Side], *orders: str) -> Any:
    """Measure a round per order; return what the sides gave in the first."""
    draws = [abreast.Draw(order, seed) for seed, order in enumerate(orders)]
    return abreast.measure(sides, draws, {key_of("cpu_s")}, 60, random.Random(1))[0]


class Meeting:
    """A side whose measurements wait for one another, as long as it takes: only all at the same time come through."""

    def __init__(self, name: str, barrier: threading.Barrier) -> None:
        self.label, self.several_at_once = name, True
        self.cores: list[tuple[int, ...]] = []
        self._barrier = barrier

    def measure(self, wanted: Collection[Key] | None, seed: int, timeout_s: float | None) -> Taken:
        self.cores.append(tuple(sorted(os.sched_getaffinity(0))))  # of this thread
        self._barrier.wait(timeout_s)
        return Taken({key_of("cpu_s"): 1.0})


def test_processes_of_both_share_a_core(tmp_path: Path) -> None:
    sides = {name: command(tmp_path, name) for name in ("a", "b")}
    before = os.sched_getaffinity(0)
    taken = measured(sides, "ba")
    assert set(taken) == {"a", "b"}
    assert all(set(each.values) == {key_of("cpu_s")} for each in taken.values())  # not wall time
    core_a, core_b = ((tmp_path / name).read_text() for name in ("a", "b"))
    assert core_a == core_b
    assert core_a.count(",") == 0
    assert os.sched_getaffinity(0) == before


def test_both_are_measured_at_the_same_time() -> None:
    barrier = threading.Barrier(2)
    sides = {name: Meeting(name, barrier) for name in ("a", "b")}
    measured(sides, "ba")
    assert sides["a"].cores == sides["b"].cores


def test_wall_time_and_memory_are_measured_alone(tmp_path: Path) -> None:
    clock = Clock()
    a, b = (Drawn(name, clock, dict.fromkeys((CPU, WALL, SIZE), 1.0), sd=0.02, seed=1) for name in "ab")
    wall = Rule(effect=0.1, must_decide=False)
    comparison = compare(
        a, b, lambda key: wall if key == WALL else Rule(effect=0.02), Limits(abreast=True), clock=clock
    )
    rounds = len(comparison.orders)
    asked = [wanted for wanted, _ in b.asked]
    assert asked[0] is None
    assert sum(wanted == {CPU} for wanted in asked) >= 5
    assert not [wanted for wanted in asked[1:] if wanted is not None and CPU in wanted and len(wanted) > 1]
    by_key = {each.key: each for each in comparison.outcomes}
    assert by_key[CPU].abreast
    assert not by_key[WALL].abreast
    # The second gate costs processes of its own: it has them in some of the rounds.
    assert 0 < by_key[WALL].rounds <= rounds // 3
    assert by_key[SIZE].rounds > by_key[WALL].rounds
    # What was measured alone to get to know the sides is no value of one that is measured abreast.
    assert CPU in comparison.left_out


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_several_rounds_at_once_have_a_core_each() -> None:
    barrier = threading.Barrier(4)
    sides = {name: Meeting(name, barrier) for name in ("a", "b")}
    measured(sides, "ab", "ba")
    assert sorted(sides["a"].cores) == sorted(sides["b"].cores)
    assert [len(cores) for cores in sides["a"].cores] == [1, 1]
    assert len(set(sides["a"].cores)) == 2


@pytest.mark.parametrize(("costs_s", "able", "at_once"), [(3.0, True, True), (3.0, False, False), (0.03, True, False)])
def test_rounds_that_take_long_are_measured_several_at_once(
    monkeypatch: pytest.MonkeyPatch, costs_s: float, able: bool, at_once: bool
) -> None:
    """Two processes of 3 s leave ten rounds a minute, where an alarm takes thirteen."""
    clock = Clock()
    asked: list[int] = []

    def measure(sides: Any, draws: Any, keys: Any, timeout_s: float, chance: random.Random) -> list[dict[str, Taken]]:
        asked.append(len(draws))
        begin_s = clock.now_s
        taken = [{name: sides[name].measure(keys, draw.seed, timeout_s) for name in draw.order} for draw in draws]
        clock.now_s = begin_s + 2 * costs_s  # all of them at the same time
        return taken

    monkeypatch.setattr(abreast, "measure", measure)
    monkeypatch.setattr(abreast, "cores", lambda: 64)
    a, b = (
        Drawn(name, clock, {CPU: mean}, 0.01, costs_s, several_at_once=able) for name, mean in (("a", 1), ("b", 1.1))
    )
    comparison = compare(a, b, lambda key: Rule(effect=0.02), Limits(budget_s=60, abreast=True), clock=clock)
    assert set(asked) == ({2} if at_once else {1})
    (outcome,) = comparison.outcomes
    assert len(comparison.orders) - 1 == sum(asked)
    assert 0 <= sum(asked) - outcome.rounds <= int(at_once)  # the other of the two that decided may be one too many
    found = outcome.judgement is not None and outcome.judgement.verdict is Verdict.REGRESSION
    assert found == (at_once or costs_s < 1)
    assert comparison.wall_s <= 60


def test_rounds_at_once_are_no_more_than_the_user_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(abreast, "cores", lambda: 1 if len(os.sched_getaffinity(0)) < 2 else 64)
    a, b = (Drawn(name, clock, {CPU: 1.0}, 0.05, 3.0, several_at_once=True) for name in "ab")
    limits = Limits(budget_s=60, rounds_max=4, abreast=True)
    comparison = compare(a, b, lambda key: Rule(effect=0.001), limits, clock=clock)
    assert len(comparison.orders) == 4


def test_a_failure_is_pinned_to_its_side(tmp_path: Path) -> None:
    sides = {"a": command(tmp_path, "a"), "b": CommandSide("b", [sys.executable, "-c", "raise SystemExit(3)"])}
    taken = measured(sides, "ab")
    assert not taken["a"].failures
    assert "exit code 3" in taken["b"].failures["command"]


def test_a_second_gate_that_is_rarely_measured_does_not_spend_the_time_to_confirm() -> None:
    clock = Clock()
    a = Drawn("a", clock, {CPU: 1.0, WALL: 1.0}, sd=0.03, costs_s=0.5)
    b = Drawn("b", clock, {CPU: 1.03, WALL: 1.0}, sd=0.03, costs_s=0.5)
    wall = Rule(effect=0.1, must_decide=False)
    limits = Limits(budget_s=20, abreast=True)
    comparison = compare(a, b, lambda key: wall if key == WALL else Rule(effect=0.02), limits, clock=clock)
    by_key = {each.key: each for each in comparison.outcomes}
    assert len(by_key[CPU].screening) >= 5  # it was judged
    # Undecided: what is left of the budget would have confirmed an alarm of its last look.
    assert by_key[CPU].alarm is None
    assert comparison.wall_s < 0.8 * limits.budget_s


@pytest.mark.parametrize(("costs_s", "measured"), [(1.9, True), (2.1, False)])
def test_a_second_gate_has_no_rounds_where_they_would_not_suffice_to_judge_it(costs_s: float, measured: bool) -> None:
    """At two processes a round and every third round, five of the gate's take fifteen rounds: 57 s, or 63."""
    clock = Clock()
    a, b = (Drawn(name, clock, {CPU: 1.0, WALL: 1.0}, sd=0.03, costs_s=costs_s) for name in "ab")
    wall = Rule(effect=0.1, must_decide=False)
    compare(
        a, b, lambda key: wall if key == WALL else Rule(effect=0.02), Limits(budget_s=60, abreast=True), clock=clock
    )
    assert any(wanted == {WALL} for wanted, _ in a.asked) == measured


class Raising:
    label = "raising"
    several_at_once = False

    def measure(self, wanted: Collection[Key] | None, seed: int, timeout_s: float | None) -> Taken:
        raise RuntimeError("of a side")


def test_where_one_side_raises_the_other_is_ended(tmp_path: Path) -> None:
    sleeper = CommandSide("a", [sys.executable, "-c", "import time; time.sleep(60)"])
    begin_s = time.monotonic()
    with pytest.raises(RuntimeError, match="of a side"):
        measured({"b": Raising(), "a": sleeper}, "ba")
    assert time.monotonic() - begin_s < 30


def test_an_interrupt_ends_both_and_leaves_a_record(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    sleeps = f"import os, time; open({str(note)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(0.3)"
    line = [sys.executable, "-m", "bench_harness", "compare", "--budget", "60s", "--metric", "cpu_s"]
    line += [
        "--out",
        str(tmp_path / "out"),
        "--a",
        f'{sys.executable} -c "{sleeps}"',
        "--b",
        f'{sys.executable} -c "{sleeps}"',
    ]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killer = threading.Timer(60, process.kill)
    killer.start()
    while len(note.read_text().split()) < 6 if note.exists() else True:  # the first two run alone
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    killer.cancel()
    assert process.returncode == 130, said
    assert (tmp_path / "out" / "record.json").exists()
    for pid in map(int, note.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_control_compares_ratios_where_rounds_differ_by_what_both_sides_feel() -> None:
    moods = [1.0, 1.9, 1.0, 1.0, 1.9, 1.0, 1.9, 1.9, 1.0, 1.9] * 3
    noise = random.Random(3)
    a = [mood * noise.gauss(1, 0.01) for mood in moods]
    b = [1.2 * mood * noise.gauss(1, 0.01) for mood in moods]

    def control(abreast: bool) -> tuple[float, float]:
        outcome = Outcome(CPU, Rule(), Sequential(Rule()), screening=Samples(a, b), abreast=abreast)
        judgement = control_of(outcome, seed=1)
        assert judgement is not None
        assert judgement.ci_low is not None
        assert judgement.ci_high is not None
        return judgement.ci_low, judgement.ci_high

    low, high = control(abreast=True)
    assert 0.97 < low < 1 < high < 1.03
    low, high = control(abreast=False)
    assert high / low > 1.1

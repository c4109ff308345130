"""The self-test: its workloads, what it keeps, the rates that come of it."""

from __future__ import annotations

import gzip
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from test_compare_command import bench_compare

from bench_harness.errors import CouldNotMeasureError, RecordError
from bench_harness.record import Record
from bench_harness.report.self_test_text import cells
from bench_harness.verdict.command_side import CommandSide
from bench_harness.verdict.self_test import trials, workloads
from bench_harness.verdict.self_test.rates import measured_effect, rates
from bench_harness.verdict.self_test.workloads import WORKLOADS, Workload, share_of_units


@pytest.mark.parametrize("name", ["python", "kernel"])
def test_a_body_does_as_much_more_work_as_it_is_told(name: str) -> None:
    """By its calls, which are exact: those of the start are a small part."""

    def calls(extra: float) -> float:
        side = WORKLOADS[name].side("x", extra, ["calls"])
        taken = CommandSide("x", side.command, ["calls"]).measure(None, 0, 60)
        assert not taken.failures
        return next(iter(taken.values.values()))

    none, tenth, all_again = calls(0.0), calls(0.1), calls(1.0)
    assert (tenth - none) / (all_again - none) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("name", ["python", "kernel", "pool", pytest.param("loader", marks=pytest.mark.slow)])
def test_a_body_tells_its_own_seconds(name: str) -> None:
    taken = WORKLOADS[name].side("x", 0.0, ("cpu_s", "wall_s")).measure(None, 0, 120)
    assert not taken.failures
    by_metric = {key.metric: value for key, value in taken.values.items()}
    assert 0.005 < by_metric["cpu_s"] < 5
    assert 0 < by_metric["wall_s"] < taken.body_s
    assert taken.startup_s > 0


class Unmoved(Workload):
    """A workload that does the same work whatever it is told."""

    def side(self, label: str, extra: float, metrics: Sequence[str]) -> CommandSide:
        return super().side(label, 0.0, metrics)


def test_a_workload_that_more_work_does_not_slow_is_no_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_CALIBRATING_ROUNDS", 1)
    with pytest.raises(CouldNotMeasureError, match=r"twice the work took 1\.00 times the calls"):
        share_of_units(Unmoved("python", "python", ("-s", "-S"), all_work=False), "calls", 60, 0)
    assert share_of_units(replace(WORKLOADS["python"], all_work=False), "calls", 60, 0) == pytest.approx(1, abs=0.05)


def verdict(planted: float, said: str = "fine", *, workload: str = "python", body_s: float = 1.0) -> dict[str, Any]:
    metric = {
        "effect": 0.02,
        "verdict": said,
        "confirmed": said == "regression",
        "alarm": said if said in ("regression", "improvement") else None,
        "a": [1.0] * 5,
        "b": [1.0 + planted] * 5,
    }
    times = {"body_s": body_s, "startup_s": 0.5, "wall_s": 2.0, "rounds": 10, "load": 0.1}
    return {"workload": workload, "what": "", "planted": planted, "metrics": {"cpu_s": metric}, **times}


def test_rates_are_proportions_with_clopper_pearson_bounds() -> None:
    slow = [verdict(0.05, "regression", body_s=1 + number) for number in range(9)] + [verdict(0.05, "undecided")]
    same = [verdict(0.0) for _ in range(30)] + [verdict(0.0, workload="kernel") for _ in range(29)]
    rows = {(row["workload"], row["planted"]): row for row in rates([*slow, *same, verdict(0.0, "improvement")])}
    assert set(rows) == {("python", 0.05), ("python", 0.0), ("kernel", 0.0), ("all", 0.0)}
    row = rows["python", 0.05]
    assert (row["n"], row["found"]["count"], row["undecided"]["count"]) == (10, 9, 1)
    exact = stats.binomtest(9, 10).proportion_ci(0.95, method="exact")
    assert row["found"]["ci"] == pytest.approx([exact.low, exact.high])
    assert row["found_within_5_s"]["count"] == 5
    assert row["measured"]["effect"] == pytest.approx(0.05)
    assert rows["python", 0.0]["found"]["count"] == 1
    assert rows["kernel", 0.0]["found"]["upper_bound"] == pytest.approx(1 - 0.05 ** (1 / 29))
    assert (rows["all", 0.0]["n"], rows["all", 0.0]["found"]["count"]) == (60, 1)
    assert cells(row)[:2] == ["python", "5 %"]
    assert cells(row)[3] == "9 of 10"


def test_the_measured_effect_is_not_biased_by_when_verdicts_stop() -> None:
    """Rounds beyond the first five are there only because of what the first ones said."""
    chance = random.Random(4)

    def one() -> dict[str, Any]:
        logs = [chance.gauss(math.log(1.03), 0.02) for _ in range(5)]
        more = [0.2] * 50 if sum(logs) > 0.15 else []
        found = verdict(0.03)
        found["metrics"]["cpu_s"] |= {"a": [1.0] * (5 + len(more)), "b": [math.exp(log) for log in (*logs, *more)]}
        return found

    effect = measured_effect([one() for _ in range(200)])
    assert effect is not None
    assert effect["ci"][0] < 0.03 < effect["ci"][1]
    assert effect["ci"][1] - effect["ci"][0] < 0.004


def test_verdicts_are_kept_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl.gz"
    assert list(trials.read(path)) == []
    for planted in (0.0, 0.05):
        trials.append(path, verdict(planted))
    kept = list(trials.read(path))
    assert [each["planted"] for each in kept] == [0.0, 0.05]
    trials.pack(path)
    assert list(trials.read(path)) == kept
    trials.append(path, verdict(0.1))
    assert len(list(trials.read(path))) == 3
    path.write_bytes(gzip.compress(b"{}\n")[:-9])
    with pytest.raises(RecordError, match=r"verdicts.jsonl.gz: cannot be read: .*move it away to begin anew"):
        list(trials.read(path))


@pytest.mark.slow
def test_a_self_test_adds_to_what_is_there(tmp_path: Path) -> None:
    short = ("--self-test", "--workload", "kernel", "--verdicts", "1", "--rounds-max", "6", "--metric", "cpu_s")
    done = bench_compare(tmp_path, *short, "--planted", "0", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "kernel, planted 0 %:" in done.stdout
    done = bench_compare(tmp_path, *short, "--planted", "0", "--planted", "80%", "--out", "run")
    assert done.returncode == 0, done.stderr
    record = Record.read(tmp_path / "run")
    assert (record.results["verdicts"], record.results["of_earlier_runs"]) == (3, 1)
    same, slow = record.results["rates"]
    assert (same["n"], slow["n"], slow["planted"]) == (2, 1, 0.8)
    kept = list(trials.read(tmp_path / "run" / record.artifacts["verdicts"]))
    assert len({each["seed"] for each in kept}) == 3
    values = kept[0]["metrics"]["cpu_s"]
    assert len(values["a"]) == len(values["b"]) >= 5
    shown = bench_compare(tmp_path, "--self-test", "--verdicts", "0", "--out", "run")
    assert (shown.returncode, shown.stdout) == (0, done.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--a", "true"], "leave out --a"),
        (["--planted", "5"], "--planted '5', expected a percentage"),
        (["--verdicts", "0", "--out", "none"], "no such record"),
        (["--verdicts", "0"], "--verdicts 0: expected an integer of at least 1"),
        (["--metric", "calls"], "the self-test knows cpu_s, wall_s and instructions"),
    ],
)
def test_refusals_of_the_self_test(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = bench_compare(tmp_path, "--self-test", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list(tmp_path.iterdir())

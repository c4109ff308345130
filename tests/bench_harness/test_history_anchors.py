"""Ratios of one job correct the steps of a series: they confirm, place, add and refute."""

import math
import random
from pathlib import Path
from typing import Any

import pytest

from bench_harness.history.anchors import Anchor, Anchors, anchored_steps, chain
from bench_harness.history.series import Point, Series
from bench_harness.record import Record

LINE = tuple(f"{index:040x}" for index in range(60))


def series(values: dict[int, float], unit: str = "seconds") -> Series:
    points = tuple(Point(LINE[index], index, value) for index, value in values.items())
    return Series("b", (), "m", "e", "1", unit, points, line=LINE)


def flat(seed: int = 1, sd: float = 0.005) -> dict[int, float]:
    source = random.Random(seed)
    return {index: math.exp(source.gauss(0, sd)) for index in range(60)}


def anchor(base: int, head: int, ratio: float, error: float = 0.003, *, changed: bool = False) -> Anchor:
    return Anchor(LINE[base], LINE[head], math.log(ratio), error, changed)


def stepped(at: int, ratio: float) -> dict[int, float]:
    return {index: value * (ratio if index >= at else 1) for index, value in flat().items()}


def test_a_chain_goes_the_shortest_way_and_adds_its_errors() -> None:
    anchors = [anchor(0, 1, 1.1), anchor(1, 2, 1.2), anchor(3, 2, 0.5), anchor(0, 3, 9.0), anchor(5, 6, 1.0)]
    found = chain(anchors, LINE[0], LINE[2])
    assert found is not None
    assert [(link.base, link.head) for link in found.links] == [(LINE[0], LINE[1]), (LINE[1], LINE[2])]
    assert found.ratio == pytest.approx(1.32)
    low, high = found.interval(0.95)
    assert math.log(high / low) == pytest.approx(2 * 1.959964 * 0.003 * math.sqrt(2))
    backwards = chain(anchors, LINE[2], LINE[3])
    assert backwards is not None
    assert backwards.ratio == pytest.approx(2.0)  # a record of 3 -> 2, read the other way round
    assert chain(anchors, LINE[0], LINE[6]) is None
    assert chain(anchors, LINE[0], LINE[0]) is None


def test_a_comparison_in_one_job_says_size_and_place() -> None:
    found = anchored_steps(series(stepped(30, 1.1)), [anchor(30, 31, 1.12, changed=True)])
    (step,) = found.steps
    assert (step.last_good, step.first_bad, step.same_job) == (LINE[30], LINE[31], True)
    assert step.ratio == pytest.approx(1.12)
    assert step.low < 1.12 < step.high
    assert found.refuted == ()


def test_a_step_that_the_series_does_not_show_is_added() -> None:
    found = anchored_steps(series(flat()), [anchor(20, 25, 1.05, changed=True)])
    (step,) = found.steps
    assert (step.commits_between, step.count_before, step.count_after) == (LINE[21:25], 21, 35)
    assert step.after / step.before == pytest.approx(1.05)


@pytest.mark.parametrize("links", [[(29, 30)], [(28, 31)], [(27, 32)], [(26, 29), (29, 30), (30, 33)]])
def test_a_step_of_the_machine_is_refuted(links: list[tuple[int, int]]) -> None:
    anchors = [anchor(base, head, 1.001) for base, head in links]
    found = anchored_steps(series(stepped(30, 1.1)), anchors)
    assert found.steps == ()
    ((step, over),) = found.refuted
    assert step.first_bad == LINE[30]
    assert over.ratio == pytest.approx(1.001 ** len(over.links))


def test_each_link_alone_may_refute_where_their_sum_is_too_uncertain() -> None:
    """A step within the chain would lie in one of its links; each of them excludes 2 %."""
    anchors = [anchor(index, index + 1, 1.0, 0.008) for index in range(25, 35)]
    found = anchored_steps(series(stepped(30, 1.1)), anchors)
    assert found.steps == ()
    low, high = found.refuted[0][1].interval(0.9)
    assert high > 1.02
    assert low < 1 / 1.02


@pytest.mark.parametrize(
    "anchors",
    [
        [],
        [anchor(29, 30, 1.03, 0.02)],  # too wide to refute
        [anchor(5, 6, 1.0)],  # elsewhere
        [anchor(28, 29, 1.0), anchor(29, 30, 1.03), anchor(30, 31, 1.0)],  # one link may hold it
        [anchor(29, 30, 1.06)],  # a change, though compare did not confirm it
    ],
)
def test_else_the_step_stays_as_the_series_has_it(anchors: list[Anchor]) -> None:
    (step,) = anchored_steps(series(stepped(30, 1.1)), anchors).steps
    assert (step.first_bad, step.same_job) == (LINE[30], False)
    assert step.ratio == pytest.approx(1.1, rel=0.01)


def test_a_change_the_other_way_does_not_stand_for_the_step() -> None:
    found = anchored_steps(series(stepped(30, 1.1)), [anchor(30, 31, 0.9, changed=True)])
    assert [(step.first_bad, step.same_job) for step in found.steps] == [(LINE[30], False), (LINE[31], True)]


def compare_record(folder: Path, base: str | None, head: str, rows: list[dict[str, Any]]) -> None:
    """Write a record with the fields that `bench compare` writes (verdict/results.py)."""
    results = {"base": {"commit": base, "label": "a"}, "head": {"commit": head, "label": "b"}, "benchmarks": rows}
    Record("compare", [], "2026-01-01T00:00:00Z", 1.0, True, results=results).write(folder)


def row(**changed: Any) -> dict[str, Any]:
    one = {"name": "b", "params": {"n": "1"}, "metric": "wall_s", "ratio": 1.1, "ci": [1.08, 1.12], "confidence": 0.95}
    return {**one, "verdict": "regression", "confirmed": True, **changed}


def test_records_of_two_commits_are_read(tmp_path: Path) -> None:
    undecided = row(metric="cpu_s", verdict="undecided", confirmed=False)
    compare_record(tmp_path / "compare" / "1", LINE[0], LINE[1], [row(), undecided, row(name="c", ratio=None, ci=None)])
    compare_record(tmp_path / "compare" / "2", None, LINE[1], [row()])
    compare_record(tmp_path / "compare" / "3", LINE[1], LINE[1], [row()])
    Record("log", [], "2026-01-01T00:00:00Z", 1.0, True).write(tmp_path / "log" / "1")
    (tmp_path / "compare" / "4").mkdir()
    (tmp_path / "compare" / "4" / "record.json").write_text("{", encoding="utf-8")
    anchors = Anchors.read(tmp_path)
    assert set(anchors.found) == {("b", (("n", "1"),), "wall_s"), ("b", (("n", "1"),), "cpu_s")}
    (one,) = anchors.found["b", (("n", "1"),), "wall_s"]
    assert (one.base, one.head, one.changed) == (LINE[0], LINE[1], True)
    over = chain([one], LINE[0], LINE[1])
    assert over is not None
    low, high = over.interval(0.95)
    # The interval is made even around the ratio on the scale of logarithms.
    assert math.sqrt(high / low) == pytest.approx(math.sqrt(1.12 / 1.08))
    assert not anchors.found["b", (("n", "1"),), "cpu_s"][0].changed


@pytest.mark.parametrize("changed", [{"ci": [-0.3, 1.3]}, {"ratio": -0.2, "ci": [-0.5, 0.1]}, {"ci": [0.0, 1.2]}])
def test_what_is_no_ratio_is_no_anchor(tmp_path: Path, changed: dict[str, Any]) -> None:
    """bench compare judges values around zero by differences, whose interval may reach below it."""
    compare_record(tmp_path / "compare" / "1", LINE[0], LINE[1], [row(**changed), row(metric="cpu_s")])
    assert list(Anchors.read(tmp_path).found) == [("b", (("n", "1"),), "cpu_s")]


def test_anchors_of_a_series_are_of_its_own_quantity(tmp_path: Path) -> None:
    for index, metric in enumerate(("cpu_s", "wall_s", "peak_rss_bytes", "value")):
        compare_record(
            tmp_path / "compare" / str(index), LINE[0], LINE[1], [row(params={}, metric=metric, ratio=1 + index)]
        )
    anchors = Anchors.read(tmp_path)
    ratios = {
        unit: round(math.exp(anchors.of(series(flat(), unit))[0].log_ratio)) for unit in ("seconds", "bytes", "x")
    }
    assert ratios == {"seconds": 2, "bytes": 3, "x": 4}

"""bench compare --values: pairing, what cannot be compared, and bad rows named with their line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from bench_harness.__main__ import main
from bench_harness.errors import NothingMeasuredError, UsageError
from bench_harness.record import Record
from bench_harness.verdict.fixed import Measured, Source, judge
from bench_harness.verdict.rule import Rule, Verdict
from bench_harness.verdict.sides import Key
from bench_harness.verdict.value_files import read_values

HEADER = "side,seed,benchmark,metric,value,better"
LOSS = Key("train", (), "loss", "", "lower")


def rows(n: int, ratio: float = 1.0, seeds_of_b: int = 0, metric: str = "loss", better: str = "lower") -> list[str]:
    """Rows of two sides whose seeds differ by far more than the sides do."""
    rng = numpy.random.default_rng(n)
    level, noise = rng.uniform(1, 2, n), rng.normal(1, 0.003, (2, n))
    a = [f"a,{seed},train,{metric},{level[seed] * noise[0, seed]},{better}" for seed in range(n)]
    b = [f"b,{seed + seeds_of_b},train,{metric},{ratio * level[seed] * noise[1, seed]},{better}" for seed in range(n)]
    return [*a, *b]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Source]:
    def written(*lines: str, header: str = HEADER, better: str | None = None) -> Source:
        path = tmp_path / "values.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return read_values(path, lambda key: better)

    return written


def test_same_seeds_are_paired(read: Callable[..., Source]) -> None:
    (measured,) = read(*rows(8, 1.05)).measured
    assert (measured.key, measured.paired, measured.each) == (LOSS, True, "seeds")
    judgement = judge(measured, Rule())
    assert judgement.verdict is Verdict.REGRESSION
    assert judgement.words.endswith("; 8 seeds, paired")
    # Not paired, the seeds' own levels bury it.
    assert judge(Measured(LOSS, measured.a, measured.b, paired=False), Rule()).verdict is Verdict.UNDECIDED


def test_different_seeds_are_not_paired(read: Callable[..., Source]) -> None:
    source = read(*rows(8, 1.05, seeds_of_b=100))
    assert not source.measured[0].paired
    assert source.warnings == ["train loss: base and head have different seeds, so they are not paired"]
    judgement = judge(source.measured[0], Rule())
    assert judgement.verdict is Verdict.UNDECIDED
    assert judgement.rounds_needed is not None
    assert f"about {judgement.rounds_needed} values a side would decide" in judgement.words.replace("seeds", "values")


def test_no_relevant_difference_is_a_result(read: Callable[..., Source]) -> None:
    judgement = judge(read(*rows(12)).measured[0], Rule())
    assert judgement.verdict is Verdict.FINE
    assert judgement.words.startswith("no relevant difference within +-2 % (90 % CI ")


@pytest.mark.parametrize(("ratio", "verdict"), [(0.9, Verdict.REGRESSION), (1.1, Verdict.IMPROVEMENT)])
def test_higher_may_be_better(read: Callable[..., Source], ratio: float, verdict: Verdict) -> None:
    (measured,) = read(*rows(8, ratio, metric="accuracy", better="higher")).measured
    assert judge(measured, Rule(better=measured.key.better)).verdict is verdict


def test_other_columns_are_parameters(read: Callable[..., Source]) -> None:
    lines = [
        f"{side},{seed},train,loss,{seed + 1},lower,{at}" for side in "ab" for seed in (0, 1) for at in ("60 s", "9 k")
    ]
    source = read(*lines, header=f"{HEADER},at")
    assert [measured.key.params for measured in source.measured] == [(("at", "60 s"),), (("at", "9 k"),)]


def test_values_without_seeds(read: Callable[..., Source]) -> None:
    source = read(
        "base,bench,loss,1.0",
        "base,bench,loss,1.1",
        "head,bench,loss,1.2",
        header="side,benchmark,metric,value",
        better="lower",
    )
    (measured,) = source.measured
    assert (measured.a, measured.b, measured.paired, measured.each) == ((1.0, 1.1), (1.2,), False, "values")
    assert judge(measured, Rule()).words == "1 values a side, a verdict takes 3"


def test_json_and_csv_say_the_same(read: Callable[..., Source], tmp_path: Path) -> None:
    lines = rows(4)
    as_json = [dict(zip(HEADER.split(","), line.split(","), strict=True)) for line in lines]
    for row in as_json:
        row["value"] = float(row["value"])  # type: ignore[assignment]
    path = tmp_path / "values.json"
    for document in (as_json, {"values": as_json}):
        path.write_text(json.dumps(document))
        assert read_values(path, lambda key: None).measured == read(*lines).measured


def test_times_need_not_say_that_lower_is_better(read: Callable[..., Source]) -> None:
    source = read("a,x,time,1,s", "b,x,time,2,s", header="side,benchmark,metric,value,unit")
    assert source.measured[0].key.better == "lower"


def test_the_configuration_may_say_what_is_better(read: Callable[..., Source]) -> None:
    source = read("a,1,x,accuracy,0.5,", "b,1,x,accuracy,0.6,", better="higher")
    assert source.measured[0].key.better == "higher"


def test_a_head_that_diverged_has_failed(read: Callable[..., Source]) -> None:
    source = read("a,1,x,loss,1,lower", "a,2,x,loss,1,lower", "b,1,x,loss,nan,lower", "b,2,x,loss,1,lower")
    assert source.failures == {Key("x", (), "loss", "", "lower"): {"b": "1 of 2 values are no numbers (seed 1)"}}
    assert not source.measured


def test_a_metric_that_base_has_not_hides_none_that_head_lost(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    lost = ["a,1,x,accuracy,1,higher", "b,1,x,accuracy,nan,higher", "a,1,x,loss,nan,lower", "b,1,x,loss,1,lower"]
    path.write_text("\n".join([HEADER, *lost, *rows(12)]) + "\n")
    assert main(["compare", "--values", str(path), "--out", str(tmp_path / "out")]) == 1
    failed = [row for row in Record.read(tmp_path / "out").results["benchmarks"] if row.get("failed")]
    assert [(row["name"], row["metric"], list(row["failed"])) for row in failed] == [
        ("x", "accuracy", ["b"]),
        ("x", "loss", ["a"]),
    ]


def test_seeds_that_both_lost_are_left_out(read: Callable[..., Source]) -> None:
    source = read(
        "a,1,x,loss,,lower",
        "a,2,x,loss,3,lower",
        "b,1,x,loss,1,lower",
        "b,2,x,loss,inf,lower",
        "a,3,x,loss,5,lower",
        "b,3,x,loss,6,lower",
    )
    assert (source.measured[0].a, source.measured[0].b) == ((5.0,), (6.0,))
    assert source.warnings == ["x loss: 4 values left out, for want of a number there or of the same seed"]


def test_values_that_do_not_vary_are_judged_exactly() -> None:
    measured = Measured(LOSS, (2.0,) * 3, (2.5,) * 3, paired=True)
    assert judge(measured, Rule()).words == "exactly 2 before and 2.5 after: ratio 1.250, worse"


def test_losses_of_both_signs_are_judged_by_differences() -> None:
    rng = numpy.random.default_rng(3)
    a, b = tuple(rng.normal(-2, 0.01, 10)), tuple(rng.normal(-1.8, 0.01, 10))
    for paired in (True, False):
        judgement = judge(Measured(LOSS, a, b, paired), Rule())
        assert judgement.verdict is Verdict.REGRESSION
        assert judgement.ratio == pytest.approx(1.1, abs=0.02)
    around_zero = judge(Measured(LOSS, tuple(rng.normal(0, 1, 9)), a[:9], paired=False), Rule())
    assert (around_zero.verdict, around_zero.ratio) == (Verdict.UNDECIDED, None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("c,1,x,loss,1,lower", "values.csv:3: side 'c': expected a or base, b or head"),
        ("a,1,,loss,1,lower", "values.csv:3: benchmark is empty"),
        ("a,1,x,loss,much,lower", "values.csv:3: value 'much': expected a number"),
        ("a,1,x,loss,1,less", "values.csv:3: better 'less': expected a column better"),
        ("a,1,x,accuracy,1,", "values.csv:3: nothing says which accuracy is better"),
        ("a,1,x,loss,1", "values.csv:3: 5 cells where the header has 6"),
        ("a,0,x,loss,1,lower", "values.csv:3: seed 0 of side a of x loss stands at"),
    ],
)
def test_a_bad_row_is_named(read: Callable[..., Source], line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        read("a,0,x,loss,1,lower", line)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("v.csv", "side,benchmark,value\na,x,1\n", "v.csv:1: no column metric"),
        ("v.csv", "side,side,benchmark,metric,value\n", "v.csv:1: a column stands there twice"),
        ("v.csv", '"a\n', "not CSV"),
        ("v.json", "{", "v.json: not JSON"),
        ("v.json", '{"a": 1}', "expected a list of objects"),
        ("v.json", "[3]", r"values\[0\]: expected an object"),
        ("v.json", '[{"side": "a"}]', r"values\[0\]: no benchmark, metric, value"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        read_values(tmp_path / name, lambda key: None)
    with pytest.raises(UsageError, match="no such file"):
        read_values(tmp_path / "absent.csv", lambda key: None)


def test_nothing_in_common_is_nothing_measured(read: Callable[..., Source]) -> None:
    with pytest.raises(NothingMeasuredError, match="x loss: head has no value"):
        read("a,1,x,loss,1,lower", "b,1,y,loss,1,lower")
    with pytest.raises(NothingMeasuredError, match="no values"):
        read()


def test_from_the_command_to_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("v.csv").write_text("\n".join([HEADER, *rows(8, 1.05), *rows(12, metric="error")]) + "\n")
    assert main(["compare", "--values", "v.csv", "--out", "run"]) == 1
    printed = capsys.readouterr().out
    assert "REGRESSION" in printed
    assert "Noise certificate: none; 40 values of v.csv." in printed
    by_metric: dict[str, Any] = {row["metric"]: row for row in Record.read("run").results["benchmarks"]}
    assert {name: row["verdict"] for name, row in by_metric.items()} == {"loss": "regression", "error": "fine"}
    assert by_metric["loss"]["paired"]
    assert len(by_metric["loss"]["samples"]["a"]) == by_metric["loss"]["rounds"] == 8
    assert math.isclose(by_metric["loss"]["ratio"], 1.05, abs_tol=0.01)
    # Held for a stricter standard, nothing is undecided any more; for a laxer one, nothing is worse.
    assert main(["compare", "--values", "v.csv", "--out", "run", "--effect", "20%"]) == 0


def test_flags_of_measuring_do_not_go_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--values", "v.csv", "--a", "true"]) == 2
    assert "--a does not go with --values" in capsys.readouterr().err

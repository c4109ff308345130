"""Which rule a number gets, what a comparison exits with, and what its certificate says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from drawn_sides import CPU, Clock, Drawn

from bench_harness.config import BenchmarkRule, Config
from bench_harness.errors import ExitCode
from bench_harness.record import Record
from bench_harness.report import compare_text
from bench_harness.verdict import results
from bench_harness.verdict.certificate import LoadMeter, certificate, control_of, control_summary, simd_of
from bench_harness.verdict.outcomes import Outcome, Samples
from bench_harness.verdict.rounds import Limits, compare
from bench_harness.verdict.rule import Rule, Verdict
from bench_harness.verdict.rule_choice import choose_rule
from bench_harness.verdict.sequential import Sequential
from bench_harness.verdict.sides import Key

WALL = replace(CPU, metric="wall_s")
COUNT = replace(CPU, metric="instructions", unit="")
BOTH = ("cpu_s", "wall_s", "instructions")


def test_wall_time_is_a_looser_gate_beside_cpu_time_only() -> None:
    assert choose_rule(CPU, BOTH, None, Config()).rule == Rule(effect=0.02)
    assert choose_rule(WALL, BOTH, None, Config()).rule == Rule(effect=0.02).second_gate()
    assert choose_rule(WALL, ("wall_s",), 0.03, Config()).rule == Rule(effect=0.03)
    assert choose_rule(COUNT, BOTH, None, Config()).rule == Rule(effect=0.02).for_counter()


def test_the_configuration_decides_and_the_flag_overrides_it() -> None:
    rule = BenchmarkRule(benchmark="^body$", metric="*_s", effect=0.3, better="higher", gate=False, number=1)
    config = Config(rules=(rule,))
    choice = choose_rule(CPU, BOTH, None, config)
    assert (choice.rule.effect, choice.rule.better, choice.gate) == (0.3, "higher", False)
    assert choose_rule(CPU, BOTH, 0.05, config).rule.effect == 0.05
    wall = choose_rule(WALL, BOTH, None, config).rule
    assert (wall.effect, wall.must_decide) == (0.3, False)
    assert choose_rule(COUNT, BOTH, None, config).rule.effect == 0.005


def row(verdict: str | None, **more: Any) -> dict[str, Any]:
    return {"verdict": verdict, "gate": True, "must_decide": True, "rounds": 10, **more}


FAILED_ON_HEAD = row(None, failed={"b": "x"}, rounds=0)
FAILED_ON_BASE = row(None, failed={"a": "x"}, rounds=0)
FAILED_ON_BOTH = row(None, failed={"a": "x", "b": "x"}, rounds=0)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([row("fine"), row("improvement")], ExitCode.FINE),
        ([row("undecided"), row("regression")], ExitCode.REGRESSION),
        ([row("regression", gate=False), row("fine")], ExitCode.FINE),
        ([row("undecided"), row("fine")], ExitCode.UNDECIDED),
        ([row("undecided", must_decide=False), row("fine")], ExitCode.FINE),
        ([row("undecided", gate=False), row("fine")], ExitCode.FINE),
        ([FAILED_ON_HEAD], ExitCode.REGRESSION),
        ([FAILED_ON_HEAD | {"gate": False}, row("fine")], ExitCode.FINE),
        ([FAILED_ON_BASE], ExitCode.NOT_MEASURED),
        ([FAILED_ON_BOTH], ExitCode.NOT_MEASURED),
        ([FAILED_ON_BASE, row("fine")], ExitCode.FINE),
        ([FAILED_ON_BOTH, row("fine")], ExitCode.FINE),
        ([FAILED_ON_BASE, row("undecided")], ExitCode.UNDECIDED),
        ([], ExitCode.NOT_MEASURED),
    ],
)
def test_exit_codes(rows: list[dict[str, Any]], code: ExitCode) -> None:
    assert results.exit_code(rows) is code


def test_a_real_comparison_gives_the_promised_fields() -> None:
    clock = Clock()
    a, b = (Drawn(label, clock, {CPU: mean}) for label, mean in (("a", 2.0), ("b", 2.4)))
    b.always_fails = {"gone": "KeyError: 1"}
    found = results.entries(compare(a, b, lambda key: Rule(), Limits(), clock=clock), lambda key: True, 0)
    judged, failed = found
    assert set(judged) >= {
        "name",
        "params",
        "metric",
        "unit",
        "a",
        "b",
        "ratio",
        "ci",
        "confidence",
        "verdict",
        "words",
    }
    assert (judged["verdict"], judged["confirmed"], judged["aa"]["pairs"] > 0) == ("regression", True, True)
    assert judged["b"] / judged["a"] == pytest.approx(judged["ratio"], rel=0.02)  # the ratio is trimmed
    assert (failed["name"], failed["failed"], failed["words"]) == (
        "gone",
        {"b": "KeyError: 1"},
        "failed on head: KeyError: 1",
    )


def test_what_fails_is_gated_by_the_rule_of_the_benchmark() -> None:
    clock = Clock()
    a, b = (Drawn(label, clock, {CPU: 1.0}) for label in "ab")
    b.always_fails = {"new.time_x(n=1, how=fast, or so)": "KeyError: 1", "old.time_y": "KeyError: 2"}
    config = Config(rules=(BenchmarkRule(benchmark=r"^new\.time_x\(1, fast", gate=False, number=1),))
    comparison = compare(a, b, lambda key: Rule(), Limits(), clock=clock)
    found = results.entries(comparison, lambda key: choose_rule(key, BOTH, None, config).gate, 0)
    gates = {each["name"]: each["gate"] for each in found if each.get("failed")}
    assert gates == {"new.time_x(n=1, how=fast, or so)": False, "old.time_y": True}


def test_markdown_shows_names_as_they_are() -> None:
    clock = Clock()
    key = Key(
        "m.time_x", (("text", "two\nlines"), ("evil", "[a](http://b.c) @all <b>*x* | `y`")), "cpu_s", "s", "lower"
    )
    a, b = (Drawn(label, clock, {key: 1.0}) for label in "ab")
    comparison = compare(a, b, lambda key: Rule(), Limits(), clock=clock)
    found = results.entries(comparison, lambda key: True, 0)
    conditions = {"cpu": {"model": "CPU", "logical_count": 2}}
    noise = certificate(comparison, found, conditions, load=0.5, build_s=0.0, seed=0)
    side = {"commit": None, "label": "x"}
    record = Record("compare", [], "2026-01-31T12:00:00Z", 1.0, True)
    record.results = {"benchmarks": found, "certificate": noise, "base": side, "head": side}
    name = r"m.time_x(text=two lines, evil=\[a\](http://b.c) &#64;all &lt;b&gt;\*x\* \| \`y\`)"
    lines = compare_text.markdown(record).splitlines()
    assert lines[5].startswith(f"| {name} | cpu_s | ")
    assert lines[7].startswith(f"- {name} cpu_s: no relevant difference")


def outcome_of(a: list[float], b: list[float]) -> Outcome:
    return Outcome(CPU, Rule(effect=0.02), Sequential(Rule(effect=0.02)), Samples(a, b))


def test_the_control_sees_noise_and_not_the_difference_of_the_sides() -> None:
    control = control_of(outcome_of([1.0, 1.001] * 10, [1.5, 1.501] * 10), seed=1)
    assert control is not None
    assert control.verdict is Verdict.FINE
    assert control.rounds == 20
    assert control.ratio == pytest.approx(1, abs=0.001)


def test_a_side_that_differs_from_itself_is_told() -> None:
    """Every second process of the base takes half as long again: whatever is said of such sides is chance."""
    controls = [control_of(outcome_of([1.0, 1.5] * 6, [1.0, 1.5] * 6), seed) for seed in range(5)]
    assert {control.verdict for control in controls if control} == {Verdict.UNDECIDED}
    entry = {"name": "x", "params": {}, "metric": "cpu_s", "aa": {"ratio": 1.3, "verdict": "regression"}}
    fine = {**entry, "aa": {"ratio": 1.0, "verdict": "fine"}}
    summary = control_summary([fine, entry, {**entry, "aa": None}])
    assert (summary["numbers"], summary["alarms"], summary["furthest"]["ratio"]) == (2, 1, 1.3)


def test_no_rounds_no_control() -> None:
    assert control_of(outcome_of([1.0], [1.0]), 0) is None
    assert control_summary([]) == {"numbers": 0, "alarms": 0}


def test_load_is_that_of_others() -> None:
    meter = LoadMeter()
    total = 0
    for number in range(2_000_000):
        total += number
    load = meter.others_cores()
    assert load is None or 0 <= load < 1000


def test_the_instruction_set_is_what_packages_say_or_what_there_is() -> None:
    cpu = {"features": ["sse4_2", "avx2"]}
    assert simd_of({"cpu": cpu}) == "avx2"
    assert simd_of({"cpu": cpu, "bench_core": {"simd": "avx512"}}) == "bench_core avx512"
    assert simd_of({"cpu": {"features": []}}) == "unknown"

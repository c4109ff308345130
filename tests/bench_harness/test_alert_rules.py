"""What two values of asv mean: beyond the rule's effect and the noise, and who needs a fresh run before it counts."""

import math
import re
from typing import Any

import numpy
import pytest
from alert_evidence import finding, record_of

from bench_harness.alert import findings, wording
from bench_harness.alert.findings import Finding, Noise, Outcome
from bench_harness.alert.noise import OTHER_FLOOR, UNKNOWN_TIME, is_time, noise_of
from bench_harness.alert.rules import judge
from bench_harness.alert.trailers import acknowledge, how_to_accept
from bench_harness.changelog.expectations import parse
from bench_harness.config import BenchmarkRule, parse_effect
from bench_harness.errors import ExitCode


def judged(base: float, head: float, noise: Noise, unit: str = "seconds", rule: BenchmarkRule | None = None) -> Finding:
    """The finding of two values of asv."""
    one = Finding("suite.x", {}, "value", unit, base, head, rule=rule or BenchmarkRule(effect=0.05), noise=noise)
    judge(one)
    return one


QUIET = Noise(0.01, 20, 0.03)
MEMORY = Noise(0.005, 5, 0.004)
EXACT = Noise(0.005, 5, 0.0, exact=True)


@pytest.mark.parametrize(
    ("base", "head", "noise", "unit", "outcome"),
    [
        (1.0, 1.00, QUIET, "seconds", Outcome.FINE),
        (1.0, 1.04, QUIET, "seconds", Outcome.FINE),  # within the rule's 5 %
        (1.0, 1.07, QUIET, "seconds", Outcome.SUSPECTED),  # a time is never certain
        (1.0, 3.00, QUIET, "seconds", Outcome.SUSPECTED),
        (1.0, 0.90, QUIET, "seconds", Outcome.IMPROVEMENT),
        (1.0, 1.07, Noise(0.05, 20, 0.1), "seconds", Outcome.UNDECIDED),  # within the noise, and 17 % may hide there
        (1.0, 1.00, Noise(0.06, 20, 0.1), "seconds", Outcome.UNDECIDED),
        (1.0, 1.30, Noise(0.05, 20, 0.1), "seconds", Outcome.SUSPECTED),
        (11.6e6, 31.6e6, MEMORY, "bytes", Outcome.REGRESSION),  # far beyond all that was seen
        (11.6e6, 31.6e6, Noise(0.005, 2, 0.004), "bytes", Outcome.SUSPECTED),  # too few commits to know its noise
        (11.6e6, 12.5e6, Noise(0.005, 9, 0.2), "bytes", Outcome.SUSPECTED),  # it has moved further before
        (31.6e6, 11.6e6, MEMORY, "bytes", Outcome.IMPROVEMENT),
        (100.0, 106.0, EXACT, "unit", Outcome.REGRESSION),
        (100.0, 104.0, EXACT, "unit", Outcome.FINE),  # below the rule's effect
        (0.0, 5.0, EXACT, "unit", Outcome.UNDECIDED),
        (0.0, 0.0, EXACT, "unit", Outcome.FINE),
        (-1.0, 5.0, EXACT, "unit", Outcome.UNDECIDED),
    ],
)
def test_verdicts_from_asv_alone(base: float, head: float, noise: Noise, unit: str, outcome: Outcome) -> None:
    assert judged(base, head, noise, unit).outcome is outcome


def test_higher_is_better_where_the_rule_says_so() -> None:
    rule = BenchmarkRule(effect=0.05, better="higher")
    assert judged(100.0, 90.0, EXACT, "unit", rule).outcome is Outcome.REGRESSION
    assert judged(100.0, 110.0, EXACT, "unit", rule).outcome is Outcome.IMPROVEMENT


def test_values_of_two_machines_are_no_alarm_and_no_all_clear() -> None:
    for head, outcome in ((1.0, Outcome.NOT_MEASURED), (0.2, Outcome.NOT_MEASURED), (2.0, Outcome.SUSPECTED)):
        one = Finding("x", {}, "value", "bytes", 1.0, head, noise=MEMORY, machines={"base": "a", "head": "b"})
        judge(one)
        assert one.outcome is outcome


def test_the_interval_is_that_of_the_noise_history() -> None:
    one = judged(2.0, 2.2, QUIET)
    assert one.ci is not None
    assert one.ratio == pytest.approx(1.1)
    assert numpy.log(one.ci) == pytest.approx([math.log(1.1) - 0.02, math.log(1.1) + 0.02])
    assert (one.ci_from, one.confidence) == ("noise history", 0.95)


def test_noise_is_that_of_successive_commits_without_steps_and_outliers() -> None:
    rng = numpy.random.default_rng(7)
    levels = numpy.where(numpy.arange(400) < 200, 1.0, 1.5)  # one step, which is no noise
    values = levels * numpy.exp(rng.normal(0, 0.05, 400))
    values[::40] *= 3.0
    found = noise_of(list(values), is_time=True)
    assert found.sd_log == pytest.approx(0.05 * math.sqrt(2), rel=0.2)
    assert found.changes == 399
    assert found.largest_log > 1.0
    assert not found.exact


@pytest.mark.parametrize("commits", [4, 6, 12, 30])
def test_twice_the_noise_bounds_the_next_change_however_short_the_history(commits: int) -> None:
    """Without the widening, a history of 4 commits bounds 85 % of changes instead of 95."""
    rng = numpy.random.default_rng(commits)
    outside = 0
    for _ in range(1000):
        *history, base, head = numpy.exp(rng.normal(0, 0.1, commits + 2))
        outside += abs(math.log(head / base)) > 2 * noise_of(history, is_time=True).sd_log
    assert outside < 100


@pytest.mark.parametrize(
    ("values", "time", "expected"),
    [
        ([], True, Noise(UNKNOWN_TIME, 0, 0.0)),
        ([1.0, 1.0], True, Noise(UNKNOWN_TIME, 1, 0.0)),  # equal twice is not exact yet
        ([5.0] * 4, False, Noise(OTHER_FLOOR, 3, 0.0, exact=True)),
        ([0.0, 5.0, -1.0, 5.0], False, Noise(OTHER_FLOOR, 1, 0.0)),  # what has no logarithm is left out
    ],
)
def test_noise_of_short_and_exact_series(values: list[float], time: bool, expected: Noise) -> None:
    assert noise_of(values, is_time=time) == expected


@pytest.mark.parametrize(
    ("unit", "time"), [("seconds", True), ("s", True), (None, True), ("bytes", False), ("unit", False)]
)
def test_units_of_time(unit: str | None, time: bool) -> None:
    assert is_time(unit) is time


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.FINE], ExitCode.FINE),
        ([Outcome.FINE, Outcome.IMPROVEMENT, Outcome.SKIPPED], ExitCode.FINE),
        ([Outcome.FINE, Outcome.UNDECIDED], ExitCode.UNDECIDED),
        ([Outcome.FINE, Outcome.SUSPECTED], ExitCode.UNDECIDED),
        ([Outcome.UNDECIDED, Outcome.NOT_MEASURED], ExitCode.NOT_MEASURED),
        ([Outcome.SKIPPED], ExitCode.NOT_MEASURED),
        ([], ExitCode.NOT_MEASURED),
        ([Outcome.NOT_MEASURED, Outcome.REGRESSION], ExitCode.REGRESSION),
        ([Outcome.FAILED, Outcome.FINE], ExitCode.REGRESSION),
    ],
)
def test_exit_codes(outcomes: list[Outcome], code: ExitCode) -> None:
    assert findings.exit_code([finding(outcome=outcome) for outcome in outcomes]) is code


def test_reported_only_and_accepted_alarms_fail_nothing() -> None:
    fine = finding(outcome=Outcome.FINE)
    reported = finding(rule=BenchmarkRule(gate=False, number=1))
    assert findings.exit_code([fine, reported]) is ExitCode.FINE
    accepted = finding()
    trailer = parse("c" * 40, "suite.time_x slower<=1.2x")
    assert trailer is not None
    acknowledge([accepted], [trailer])
    assert findings.exit_code([fine, accepted]) is ExitCode.FINE
    assert wording.verdict(accepted.to_json()) == "regression (accepted)"


@pytest.mark.parametrize(
    ("trailer", "changes", "accepted"),
    [
        ("suite.time_x slower<=1.2x", {}, True),
        ("suite.time_x(1) slower<=10%", {}, True),
        ("suite.time_x worse<=10%", {}, True),
        ("suite.time_x slower<=9%", {}, False),  # more than was announced
        ("suite.time_x slower>=1.05x", {}, False),  # no bound at all
        ("suite.time_x faster<=2x", {}, False),
        ("suite.time_y slower<=1.2x", {}, False),
        ("suite.time_x(2) slower<=1.2x", {}, False),
        ("suite.time_x slower<=9x", {"outcome": Outcome.FAILED, "ratio": None}, False),  # no matter of degree
        ("suite.time_x lower<=1.3x", {"ratio": 0.8, "rule": BenchmarkRule(better="higher")}, True),
        ("suite.time_x worse<=1.3x", {"ratio": 0.8, "rule": BenchmarkRule(better="higher")}, True),
        ("suite.time_x worse<=1.2x", {"ratio": 0.8, "rule": BenchmarkRule(better="higher")}, False),
        ("suite.time_x worse<=1.2x", {"ratio": 0.0, "rule": BenchmarkRule(better="higher")}, False),  # down to nothing
        ("suite.time_x worse<=1.2x", {"ratio": -0.2, "rule": BenchmarkRule(better="higher")}, False),
    ],
)
def test_what_a_trailer_accepts(trailer: str, changes: dict[str, Any], accepted: bool) -> None:
    one, expected = finding(**changes), parse("c" * 40, trailer)
    assert expected is not None
    acknowledge([one], [expected])
    assert (one.acknowledged is not None) is accepted


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (
            1.1,
            "Perf-Expect: suite.time_x(1) slower<=11% (a trailer of a commit after base), or [[tool.bench_harness.ru",
        ),
        (
            12.0,
            "Perf-Expect: suite.time_x(1) slower<=1210% (a trailer of a commit after base), or [[tool.bench_harness",
        ),
        (0.0, "[[tool.bench_harness.rules]] with benchmark = '^suite\\.time_x', gate = false"),
        (-0.2, "[[tool.bench_harness.rules]] with benchmark = '^suite\\.time_x', gate = false"),
    ],
)
def test_what_is_said_to_accept_an_alarm_can_be_written(ratio: float, said: str) -> None:
    advice = how_to_accept(finding(ratio=ratio))
    assert advice.startswith(said)
    effect = re.search("effect = '(.*?)'", advice)
    assert (effect is not None) is (ratio == 1.1)
    assert effect is None or parse_effect(effect[1]) == pytest.approx(0.11)


def test_the_worst_comes_first() -> None:
    found = [
        finding("fine", Outcome.FINE),
        finding("small", ratio=1.1),
        finding("reported", ratio=9.0, rule=BenchmarkRule(gate=False)),
        finding("large", ratio=2.0),
        finding("higher", ratio=0.25, rule=BenchmarkRule(better="higher")),
        finding("from nothing", ratio=None),
        finding("to nothing", ratio=0.0, rule=BenchmarkRule(better="higher")),
        finding("open", Outcome.UNDECIDED),
        finding("broken", Outcome.FAILED, ratio=None),
    ]
    names = [row["name"] for row in record_of(found).results["benchmarks"]]
    assert names == ["broken", "from nothing", "to nothing", "higher", "large", "small", "reported", "open", "fine"]

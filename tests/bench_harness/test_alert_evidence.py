"""What `bench alert` makes of asv's results: also of those that are not there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from alert_evidence import BASE, HEAD, MACHINE, PARAMS, SUITE, by_label, gather, results, write_results, write_suite

from bench_harness.alert import asv_findings, asv_sides
from bench_harness.alert.findings import Outcome, exit_code
from bench_harness.config import BenchmarkRule, Config
from bench_harness.errors import ExitCode, NothingMeasuredError, UsageError
from bench_harness.history.asv_results import AsvResults
from bench_harness.statistics.student import t_quantile

pytest.importorskip("asv")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_suite(tmp_path, SUITE, PARAMS)
    return tmp_path


def test_an_unchanged_commit_raises_nothing(project: Path) -> None:
    results(project, BASE)
    results(project, HEAD, date=1)
    found = gather(project)
    times = dict.fromkeys(["s.time_a", "s.P.time_p(1)", "s.P.time_p(two)"], Outcome.UNDECIDED)
    # Without a history, nothing says how much a time moves on this machine.
    assert {one.label: one.outcome for one in found.findings} == times | {
        "s.track_b": Outcome.FINE,
        "s.peakmem_c": Outcome.FINE,
    }
    assert exit_code(found.findings) is ExitCode.UNDECIDED
    one = by_label(found)["s.peakmem_c"]
    assert (one.metric, one.unit, one.ratio) == ("peak_rss_bytes", "bytes", 1.0)


def test_a_benchmark_that_fails_on_head_only_is_an_alert(project: Path) -> None:
    """asv shows null as n/a, and exits with 0 (facts on asv: failed benchmarks are silently no regression)."""
    results(project, BASE)
    results(project, HEAD, {"s.time_a": None, "s.P.time_p": [0.1, None]}, date=1)
    found = gather(project)
    rows = by_label(found)
    assert rows["s.time_a"].outcome is rows["s.P.time_p(two)"].outcome is Outcome.FAILED
    assert rows["s.time_a"].words == "fails at head, works at base"
    assert rows["s.time_a"].rerun == f"asv run --show-stderr --bench '^(s\\.time_a)(\\(|$)' {HEAD[:12]}^!"
    assert rows["s.track_b"].outcome is Outcome.FINE
    assert exit_code(found.findings) is ExitCode.REGRESSION


def test_a_build_that_failed_at_head_fails_every_combination(project: Path) -> None:
    results(project, BASE)
    path = results(project, HEAD, date=1)
    # Where nothing could be run, asv writes null for the whole list.
    text = path.read_text(encoding="utf-8").replace("[0.1, 0.2]", "null")
    path.write_text(text, encoding="utf-8")
    rows = by_label(gather(project))
    assert [rows[f"s.P.time_p({name})"].outcome for name in ("1", "two")] == [Outcome.FAILED] * 2


@pytest.mark.parametrize(
    ("base", "head", "outcome", "words"),
    [
        (0.01, math.nan, Outcome.SKIPPED, "n/a: skipped at head, measured at base"),
        (math.nan, math.nan, Outcome.SKIPPED, "n/a: skipped at head, and at base"),
        (None, None, Outcome.SKIPPED, "fails at head, fails at base, too"),
        (math.nan, None, Outcome.FAILED, "fails at head, is skipped at base"),
        (None, 0.01, Outcome.SKIPPED, "n/a at base (failed), measured at head"),
        (
            0.01,
            {"a": 1},
            Outcome.NOT_MEASURED,
            "not a number (dict) at head: a benchmark must return one finite number",
        ),
        ({"a": 1}, 0.01, Outcome.NOT_MEASURED, "not a number (dict) at base"),
        (0.01, math.inf, Outcome.NOT_MEASURED, "infinite at head"),
        (..., 0.01, Outcome.NOT_MEASURED, f"no result at base {BASE[:12]}"),
        (0.01, ..., Outcome.NOT_MEASURED, f"no result at head {HEAD[:12]}"),
    ],
)
def test_what_has_no_ratio_is_told(project: Path, base: Any, head: Any, outcome: Outcome, words: str) -> None:
    results(project, BASE, {"s.track_b": base})
    results(project, HEAD, {"s.track_b": head}, date=1)
    found = gather(project)
    one = by_label(found)["s.track_b"]
    assert (one.outcome, one.words[: len(words)]) == (outcome, words)
    if outcome is Outcome.NOT_MEASURED:
        assert one.rerun.startswith("asv run --bench '^(s\\.track_b)(\\(|$)' ")
        assert exit_code(found.findings) is ExitCode.NOT_MEASURED


def test_a_changed_benchmark_is_not_compared_with_its_former_self(project: Path) -> None:
    results(project, BASE, {"s.time_a": 0.001}, versions={"s.time_a": "v0"})
    results(project, HEAD, date=1)
    one = by_label(gather(project))["s.time_a"]
    assert (one.outcome, one.ratio) == (Outcome.NOT_MEASURED, None)
    assert "the benchmark itself changed" in one.words


def test_a_benchmark_that_left_the_suite_is_told(project: Path) -> None:
    results(project, BASE, {"s.time_old": 0.1})
    results(project, HEAD, date=1)
    one = by_label(gather(project))["s.time_old"]
    assert (one.outcome, one.words) == (Outcome.SKIPPED, "no longer in the suite")


def test_parameters_that_left_the_benchmark_are_told(project: Path) -> None:
    """No run of head will ever have a result of them."""
    write_results(project, BASE, {"s.P.time_p": [0.1, 0.2]}, params={"s.P.time_p": ["1", "'old'"]})
    write_results(project, HEAD, {"s.P.time_p": [0.1, 0.2]}, params=PARAMS, date=1)
    rows = by_label(gather(project))
    old, new = rows["s.P.time_p(old)"], rows["s.P.time_p(two)"]
    assert (old.outcome, old.words, old.rerun) == (Outcome.SKIPPED, "no longer among the parameters", "")
    assert (new.outcome, new.words) == (Outcome.NOT_MEASURED, f"no result at base {BASE[:12]}")


@pytest.mark.parametrize("missing", ["base", "head", "both"])
def test_missing_results_could_not_be_measured_and_the_command_is_named(project: Path, missing: str) -> None:
    if missing != "both":
        results(project, HEAD if missing == "base" else BASE)
    with pytest.raises(NothingMeasuredError) as caught:
        gather(project)
    asked = {"base": [BASE], "head": [HEAD], "both": [BASE, HEAD]}[missing]
    assert " && ".join(f"asv run {commit[:12]}^!" for commit in asked) in str(caught.value)
    assert f"bench compare {BASE[:12]} {HEAD[:12]}" in str(caught.value)
    assert caught.value.exit_code is ExitCode.NOT_MEASURED


def test_a_damaged_file_is_named(project: Path) -> None:
    results(project, BASE)
    path = results(project, HEAD, date=1)
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with pytest.raises(NothingMeasuredError, match=rf"no asv results of head {HEAD[:12]} \(asv result .*{path.name}"):
        gather(project)


def test_nothing_fits_the_pattern(project: Path) -> None:
    results(project, BASE)
    results(project, HEAD, date=1)
    with pytest.raises(NothingMeasuredError, match="nothing measured that fits 'nothing'"):
        gather(project, benchmarks="nothing")


def test_different_machines_are_said_aloud(project: Path) -> None:
    results(project, BASE, machine="left")
    results(project, HEAD, {"s.track_b": 900.0}, machine="right", date=1)
    found = gather(project)
    assert found.loud[0].startswith("BASE AND HEAD RAN ON DIFFERENT MACHINES (left and right)")
    assert {one.outcome for one in found.findings} == {Outcome.NOT_MEASURED}
    assert exit_code(found.findings) is ExitCode.NOT_MEASURED


def test_the_machine_that_measured_both_is_taken(project: Path) -> None:
    results(project, BASE, machine="left")
    for commit in (BASE, HEAD):
        results(project, commit, machine="right", date=1)
    found = gather(project)
    assert (found.loud, found.findings[0].machines) == ([], {"base": "right", "head": "right"})
    assert found.warnings == ["no asv results of this machine (box): taking those of right"]
    with pytest.raises(UsageError, match=r"--machine middle: no asv results of it in .*; known: right, left"):
        gather(project, wanted_machine="middle")


def test_environments_are_told_apart(project: Path) -> None:
    for environment, value in (("py310", 1000.0), ("py311", None)):
        results(project, BASE, environment=environment)
        results(project, HEAD, {"s.track_b": value}, environment=environment, date=1)
    rows = [one for one in gather(project).findings if one.name == "s.track_b"]
    assert [(one.environment, one.outcome) for one in rows] == [("py310", Outcome.FINE), ("py311", Outcome.FAILED)]


def test_the_noise_history_is_of_commits_before_head_of_the_same_version(project: Path) -> None:
    values = [1000.0, 1010.0, 1000.0, 1010.0, 1000.0]
    order = [str(number) * 40 for number in range(1, 6)]
    for number, (commit, value) in enumerate(zip(order, values, strict=True)):
        results(project, commit, {"s.track_b": value}, date=number)
    results(project, "e" * 40, {"s.track_b": 5.0}, date=6, versions={"s.track_b": "v0"})
    results(project, BASE, date=7)
    results(project, HEAD, {"s.track_b": 1300.0}, date=8)
    asv = AsvResults.load(project / "asv.conf.json")
    sides = asv_sides.choose_sides(asv, BASE, HEAD, MACHINE)
    question = asv_findings.Question(asv, *sides, Config(), [*order, "e" * 40, BASE])
    one = next(one for one in asv_findings.findings(question) if one.name == "s.track_b")
    assert one.noise is not None
    assert one.noise.changes == 5
    widened = t_quantile(0.975, 0.37 * 5) / 1.96
    assert one.noise.sd_log == pytest.approx(1.4826 * math.log(1.01) * widened, rel=1e-3)
    assert (one.outcome, one.confirmed) == (Outcome.REGRESSION, True)


def test_rules_choose_effect_direction_and_gate(project: Path) -> None:
    results(project, BASE)
    results(project, HEAD, {"s.time_a": 0.008}, date=1)
    config = Config(project / "profiles", rules=(BenchmarkRule("time_a$", "time_s", 0.05, "higher", False, 1),))
    found = gather(project, config=config)
    one = by_label(found)["s.time_a"]
    assert (one.outcome, one.rule.number) == (Outcome.SUSPECTED, 1)
    assert exit_code([one]) is ExitCode.FINE  # reported only
    assert one.to_json()["rule"]["text"] == 'rule 1 ("time_a$" time_s): 5 %, higher is better, reported only'

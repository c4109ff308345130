"""What `bench alert` makes of records of `bench compare`, of a fresh run, and what it says to do next."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alert_evidence import BASE, HEAD, MACHINE, PARAMS, SUITE, by_label, gather, results, write_suite

from bench_harness.alert import compare_records, confirming, gathering
from bench_harness.alert.findings import Outcome, exit_code
from bench_harness.alert.gathering import Request
from bench_harness.config import BenchmarkRule, Config
from bench_harness.errors import ExitCode, NothingMeasuredError, RecordError, UsageError
from bench_harness.record import Record
from bench_harness.verdict.rule_choice import choose_rule
from bench_harness.verdict.sides import Key

pytest.importorskip("asv")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_suite(tmp_path, SUITE, PARAMS)
    return tmp_path


ROW: dict[str, Any] = {
    "name": "s.time_a",
    "params": {},
    "metric": "cpu_s",
    "unit": "s",
    "a": 0.01,
    "b": 0.011,
    "ratio": 1.1,
    "ci": [1.08, 1.12],
    "confidence": 0.95,
    "verdict": "regression",
    "words": "worse",
    "rounds": 12,
    "confirmed": True,
    "effect": 0.02,
    "samples": {"a": [0.01, 0.01], "b": [0.011, 0.011]},
}


def compare_record(folder: Path, rows: Any, started: str = "2026-01-31T12:00:00Z", **changes: Any) -> Path:
    environment = {"machine": changes.pop("machine", MACHINE)}
    sides = {"base": {"commit": BASE, "label": "main"}, "head": {"commit": HEAD, "label": "HEAD"}} | changes
    results = {"benchmarks": rows, "certificate": {"load": 0.5, "body_s": 3.0}, **sides}
    return Record("compare", [], started, 1.0, True, environment, results=results).write(folder)


def test_a_comparison_goes_before_asv(project: Path) -> None:
    results(project, BASE)
    results(project, HEAD, date=1)
    older = [{**ROW, "verdict": "fine"}, {**ROW, "metric": "wall_s", "verdict": "undecided"}]
    compare_record(project / "profiles" / "compare" / "1", older, "2026-01-30T12:00:00Z")
    compare_record(project / "profiles" / "compare" / "2", [ROW])
    compare_record(project / "profiles" / "compare" / "3", [{**ROW, "verdict": "fine"}], machine="elsewhere")
    compare_record(project / "profiles" / "compare" / "4", [{**ROW, "verdict": "fine"}], base={"commit": None})
    found = gather(project)
    of_a = [(one.source, one.metric, one.outcome) for one in found.findings if one.name == "s.time_a"]
    # The newest record counts for what it measured, an older one for what that did not.
    assert of_a == [("compare", "cpu_s", Outcome.REGRESSION), ("compare", "wall_s", Outcome.UNDECIDED)]
    assert len(found.findings) == 6
    one = found.findings[0]
    assert (one.ci, one.samples, one.seconds, one.load, one.rounds) == ((1.08, 1.12), 4, 3.0, "0.5", 12)
    assert [path.parent.name for path in found.records] == ["2", "1"]


def test_a_benchmark_without_a_number_and_its_numbers_replace_each_other(project: Path) -> None:
    """What failed and was mended is no alarm any more, and what fails now has no number of before."""
    failed = {**ROW, "metric": "all", "verdict": None, "failed": {"b": "it raised"}}
    fine = [{**ROW, "verdict": "fine"}, {**ROW, "metric": "wall_s", "verdict": "fine"}]
    compare_record(project / "profiles" / "compare" / "1", [failed], "2026-01-30T12:00:00Z")
    compare_record(project / "profiles" / "compare" / "2", fine)
    assert [one.outcome for one in gather(project, asv_config=None).findings] == [Outcome.FINE, Outcome.FINE]
    compare_record(project / "profiles" / "compare" / "3", [failed], "2026-01-31T13:00:00Z")
    assert [one.outcome for one in gather(project, asv_config=None).findings] == [Outcome.FAILED]


def test_only_the_benchmarks_asked_for_are_taken_from_a_comparison(project: Path) -> None:
    failed = {**ROW, "name": "s.P.time_p(size=a)", "metric": "all", "verdict": None, "failed": {"b": "it raised"}}
    path = compare_record(project / "given", [ROW, failed])
    found = gather(project, records=[path], asv_config=None, benchmarks="time_a$").findings
    assert [one.name for one in found] == ["s.time_a"]
    (other,) = gather(project, records=[path], asv_config=None, benchmarks="time_p$").findings
    assert other.outcome is Outcome.FAILED
    with pytest.raises(NothingMeasuredError, match="nothing measured that fits 'time_q'"):
        gather(project, records=[path], asv_config=None, benchmarks="time_q")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"failed": {"b": "it raised"}}, Outcome.FAILED),
        ({"failed": {"a": "it raised", "b": "it raised"}}, Outcome.SKIPPED),
        ({"failed": {"a": "it raised"}}, Outcome.SKIPPED),
        ({"verdict": None, "ratio": None, "ci": None}, Outcome.NOT_MEASURED),
        ({"verdict": "improvement"}, Outcome.IMPROVEMENT),
        ({"verdict": "undecided", "ci": [None, None]}, Outcome.UNDECIDED),
    ],
)
def test_rows_of_a_comparison(project: Path, changes: dict[str, Any], outcome: Outcome) -> None:
    path = compare_record(project / "given", [{**ROW, **changes}])
    (one,) = gather(project, records=[path], asv_config=None).findings
    assert one.outcome is outcome


def test_what_a_comparison_left_out_is_told_and_not_taken_from_asv(project: Path) -> None:
    """Of a benchmark without a verdict, bench compare knows the title only: name(parameter=value)."""
    results(project, BASE)
    results(project, HEAD, date=1)
    failed = {**ROW, "name": "s.P.time_p(size=two)", "metric": "all", "verdict": None, "failed": {"b": "it raised"}}
    record = Record.read(compare_record(project / "given", [failed]))
    record.results["skipped"] = {"s.time_a": {"a": "no such feature", "b": "no such feature"}}
    config = Config(project / "profiles")
    records = [record.write(project / "given")]
    request = Request(BASE, HEAD, config, project, MACHINE, records, project / "asv.conf.json")
    found = gathering.gather(request)
    gathering.complete(found, request)
    rows = by_label(found)
    assert rows["s.P.time_p(size=two)"].rerun.endswith("--bench '^(s\\.P\\.time_p)(\\(|$)'")
    assert (rows["s.P.time_p(size=two)"].outcome, "s.P.time_p(two)" in rows) == (Outcome.FAILED, False)
    assert rows["s.time_a"].words == "n/a: skipped at base and head: no such feature"
    assert rows["s.P.time_p(1)"].source == "asv"


def test_what_fails_can_be_accepted_as_it_is_told(project: Path) -> None:
    failed = {**ROW, "name": "s.P.time_p(size=two)", "metric": "all", "verdict": None, "failed": {"b": "it raised"}}
    path = compare_record(project / "given", [failed])
    request = Request(BASE, HEAD, Config(project / "profiles"), project, MACHINE, [path])
    found = gathering.gather(request)
    gathering.complete(found, request)
    (one,) = found.findings
    assert one.acknowledge == r"[[tool.bench_harness.rules]] with benchmark = '^s\.P\.time_p', gate = false"
    rule = BenchmarkRule(benchmark=r"^s\.P\.time_p", gate=False, number=1)
    key = Key.of_title(one.name)
    assert not choose_rule(key, (), None, Config(rules=(rule,))).gate
    compare_record(project / "given", [{**failed, "gate": False}])
    accepted = gather(project, records=[path], asv_config=None, config=Config(rules=(rule,))).findings
    assert (accepted[0].outcome, accepted[0].rule.number, accepted[0].is_alarm()) == (Outcome.FAILED, 1, False)


def test_a_second_gate_may_stay_open(project: Path) -> None:
    wall = {**ROW, "metric": "wall_s", "verdict": "undecided", "must_decide": False}
    path = compare_record(project / "given", [{**ROW, "verdict": "fine"}, wall])
    assert exit_code(gather(project, records=[path], asv_config=None).findings) is ExitCode.FINE


@pytest.mark.parametrize(
    ("row", "words"),
    [({**ROW, "verdict": "bad"}, "'bad' is not"), ({"name": "x"}, "KeyError: 'metric'"), (3, "TypeError")],
)
def test_a_record_that_compare_did_not_write_is_named(project: Path, row: Any, words: str) -> None:
    path = compare_record(project / "given", [ROW, row])
    with pytest.raises(RecordError, match=rf"results.benchmarks\[1\] is not as bench compare writes it: .*{words}"):
        gather(project, records=[path])


def test_a_record_of_something_else_is_refused(project: Path) -> None:
    path = compare_record(project / "given", [ROW], head={"commit": "c" * 40})
    with pytest.raises(UsageError, match=f"compares {BASE[:12]} with {'c' * 12}, not"):
        gather(project, records=[path])
    Record("diff", [], "2026-01-31T12:00:00Z", 1.0, True).write(project / "other")
    with pytest.raises(UsageError, match="this is one of 'diff'"):
        gather(project, records=[project / "other"])


def test_without_any_evidence(tmp_path: Path) -> None:
    with pytest.raises(NothingMeasuredError, match=f"no asv.conf.json here; run: bench compare {BASE[:12]}"):
        gather(tmp_path, asv_config=None)


def test_a_fresh_run_replaces_what_asv_left_open(project: Path) -> None:
    results(project, BASE)
    results(project, HEAD, {"s.time_a": 0.02, "s.P.time_p": [0.1, 0.5]}, date=1)
    found = gather(project)
    doubtful = {one.label: one.outcome for one in found.findings if confirming.is_doubtful(one)}
    assert doubtful == {
        "s.time_a": Outcome.SUSPECTED,
        "s.P.time_p(1)": Outcome.UNDECIDED,
        "s.P.time_p(two)": Outcome.SUSPECTED,
    }
    path = compare_record(
        project / "fresh", [{**ROW, "verdict": "fine"}, {**ROW, "metric": "wall_s", "verdict": "fine"}]
    )
    again = confirming.Rerun([], path)
    replaced = confirming.replace_confirmed(found.findings, again, Config())
    rows = {(one.label, one.metric): one for one in replaced}
    assert rows["s.time_a", "cpu_s"].outcome is rows["s.time_a", "wall_s"].outcome is Outcome.FINE
    assert rows["s.time_a", "cpu_s"].noise == by_label(found)["s.time_a"].noise
    assert rows["s.time_a", "cpu_s"].words == "worse (asv: x 2)"
    assert ("s.time_a", "time_s") not in rows
    assert rows["s.P.time_p(two)", "time_s"].outcome is Outcome.SUSPECTED  # it was not in that run
    assert confirming.replace_confirmed(found.findings, confirming.Rerun([], None, "why"), Config()) == found.findings


def test_a_comparison_in_one_environment_hides_nothing_of_another(project: Path) -> None:
    for name in ("py3.11", "py3.12"):
        results(project, BASE, environment=name)
        results(project, HEAD, {"s.time_a": None} if name == "py3.12" else {}, date=1, environment=name)
    path = compare_record(project / "given", [{**ROW, "verdict": "fine"}], sides={"environment": "py3.11"})
    found = gather(project, records=[path])
    assert [(one.source, one.environment, one.outcome) for one in found.findings if one.name == "s.time_a"] == [
        ("compare", None, Outcome.FINE),
        ("asv", "py3.12", Outcome.FAILED),
    ]


def test_a_fresh_run_of_one_environment_settles_nothing_of_another(project: Path) -> None:
    for name in ("py3.11", "py3.12"):
        results(project, BASE, environment=name)
        results(project, HEAD, {"s.time_a": 0.02} if name == "py3.12" else {}, date=1, environment=name)
    found = gather(project)
    path = compare_record(project / "fresh", [{**ROW, "verdict": "fine"}], sides={"environment": "py3.11"})
    replaced = confirming.replace_confirmed(found.findings, confirming.Rerun([], path), Config())
    assert {one.environment: (one.source, one.outcome) for one in replaced if one.name == "s.time_a"} == {
        "py3.11": ("compare", Outcome.FINE),
        "py3.12": ("asv", Outcome.SUSPECTED),
    }


def test_a_fresh_run_replaces_a_comparison_that_stayed_open(project: Path) -> None:
    wall = {**ROW, "metric": "wall_s", "verdict": "fine"}
    path = compare_record(project / "given", [{**ROW, "verdict": "undecided"}, wall])
    found = gather(project, records=[path], asv_config=None)
    fresh = compare_record(project / "fresh", [ROW, {**wall, "words": "fresh"}])
    replaced = confirming.replace_confirmed(found.findings, confirming.Rerun([], fresh), Config())
    assert [(one.metric, one.outcome, one.words) for one in replaced] == [
        ("cpu_s", Outcome.REGRESSION, "worse"),
        ("wall_s", Outcome.FINE, "fresh"),
    ]


def test_profiles_of_both_commits_and_the_next_commands(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    results(project, BASE)
    results(project, HEAD, {"s.time_a": 0.02}, date=1)
    run = project / "profiles" / "load" / "20260131T120000Z-run (1)"
    Record("profile", [], "2026-01-31T12:00:00Z", 1.0, True, {"git": {"commit": HEAD}}).write(run)
    shutil.copytree(run, project / "profiles" / "load" / "other")
    Record("summary", [], "2026-01-31T12:00:00Z", 1.0, True, {"git": {"commit": HEAD}}).write(run.parent / "other")
    config = Config(Path("profiles"))
    request = Request(BASE, HEAD, config, project, MACHINE, asv_config=project / "asv.conf.json")
    found = gathering.gather(request)
    gathering.complete(found, request)
    one = by_label(found)["s.time_a"]
    path = "profiles/load/20260131T120000Z-run%20%281%29"
    assert one.profiles == {"base": [], "head": [{"command": "profile", "target": "load", "path": path}]}
    assert one.rerun == f"bench compare {BASE[:12]} {HEAD[:12]} --bench '^(s\\.time_a)(\\(|$)'"
    assert "Perf-Expect: s.time_a slower<=110%" in one.acknowledge
    assert compare_records.relative(project / "results") == "results"


def test_a_rerun_selects_a_benchmark_with_all_its_parameters_and_no_other() -> None:
    """asv holds --bench against names with their parameters: suite.time_a(1, 'x')."""
    benchmarks = pytest.importorskip("asv.benchmarks").Benchmarks
    listed = [
        {"name": "s.time_a", "params": [["1", "2"], ["'x'"]]},
        {"name": "s.time_b", "params": []},
        {"name": "s.time_ab", "params": []},
        {"name": "t.s.time_a", "params": [["1"]]},
    ]
    chosen = benchmarks(SimpleNamespace(benchmark_dir="."), listed, confirming.pattern(["s.time_a", "s.time_b"]))
    assert set(chosen) == {"s.time_a", "s.time_b"}
    assert chosen.benchmark_selection["s.time_a"] == [0, 1]

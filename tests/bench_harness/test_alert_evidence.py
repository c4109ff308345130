"""What `bench alert` makes of asv's results and of records of `bench compare`: also of those that are not there."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alert_evidence import BASE, HEAD, MACHINE, write_results, write_suite

from bench_harness.alert import asv_findings, asv_sides, compare_records, confirming, gathering
from bench_harness.alert.findings import Finding, Outcome, exit_code
from bench_harness.alert.gathering import Evidence, Request
from bench_harness.config import BenchmarkRule, Config
from bench_harness.errors import ExitCode, NothingMeasuredError, RecordError, UsageError
from bench_harness.history.asv_results import AsvResults
from bench_harness.record import Record
from bench_harness.statistics.student import t_quantile

pytest.importorskip("asv")

SUITE = {
    "s.time_a": ("time", "seconds"),
    "s.track_b": ("track", "bytes"),
    "s.peakmem_c": ("peakmemory", "bytes"),
    "s.P.time_p": ("time", "seconds"),
}
PARAMS = {"s.P.time_p": ["1", "'two'"]}
FINE = {"s.time_a": 0.010, "s.track_b": 1000.0, "s.peakmem_c": 5e7, "s.P.time_p": [0.1, 0.2]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_suite(tmp_path, SUITE, PARAMS)
    return tmp_path


def results(project: Path, commit: str, changes: dict[str, Any] | None = None, **options: Any) -> Path:
    """Write the results of a commit: all as usual but for `changes`; ... is none."""
    values = {**FINE, **(changes or {})}
    values = {name: value for name, value in values.items() if value is not ...}
    return write_results(project, commit, values, params=PARAMS, **options)


def gather(project: Path, **options: Any) -> Evidence:
    config = options.pop("config", Config(profiles=project / "profiles"))
    given = {"machine": MACHINE, "asv_config": project / "asv.conf.json", **options}
    return gathering.gather(Request(BASE, HEAD, config, project, **given))


def by_label(found: Evidence) -> dict[str, Finding]:
    return {one.label: one for one in found.findings}


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

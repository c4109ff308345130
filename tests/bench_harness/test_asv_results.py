"""asv's results, read from files that asv wrote (golden/README.md), whole and damaged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench_harness.config import Shown
from bench_harness.errors import ConfigError, UsageError
from bench_harness.history.asv_results import AsvResults, matches, param_label
from bench_harness.history.selection import (
    choose_commit,
    choose_machine,
    headline_rows,
    history_rows,
    missing_warnings,
)

pytest.importorskip("asv")

GOLDEN = Path(__file__).parent / "golden" / "asv_project"
SLOW, FAST = "deb540b22c4fa80df3c2d0ab1ecdf6bd1a8bdbaf", "8a2c27d57b2d976499b0a734a1a6547c914c71c9"
VIEW = "image.View.time_view"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "project"))


def load(project: Path) -> AsvResults:
    return AsvResults.load(project / "asv.conf.json")


def test_values_units_and_why_there_is_none() -> None:
    results = load(GOLDEN)
    commit = results.at(FAST)
    assert commit is not None
    assert (commit.machine, commit.date) == ("bench-box", "2026-02-10T12:00:00Z")
    rows = results.values(commit, VIEW)
    assert [row.why for row in rows] == [None, None, "skipped", "failed"]
    assert rows[0].params == {"grid": "21^3 0.75 A", "radius": "1"}
    assert rows[0].unit == "seconds"
    assert rows[0].value == pytest.approx(1.087e-3, rel=1e-3)
    assert [(row.value, row.unit) for row in results.values(commit, "image.peakmem_store")] == [(55779328, "bytes")]
    assert [row.why for row in results.values(commit, "image.track_broken")] == ["failed"]
    assert [row.why for row in results.values(commit, "no.such_benchmark")] == ["not measured"]
    assert results.values(commit, VIEW, {"radius": 3})[0].why == "no combination {'radius': 3}"


@pytest.mark.parametrize(
    ("params", "count"),
    [
        (None, 4),
        ({"radius": 1}, 2),
        ({"grid": "21^3 0.75 A", "radius": "2"}, 1),
        (["21^3 0.75 A", 2], 1),
        ({"colour": "red"}, 0),
        (["21^3 0.75 A"], 0),
    ],
)
def test_params_by_name_or_position(params: dict[str, object] | list[object] | None, count: int) -> None:
    grids, radii = ("21^3 0.75 A", "35^3 0.5 A"), ("1", "2")
    assert sum(matches({"grid": grid, "radius": radius}, params) for grid in grids for radius in radii) == count


@pytest.mark.parametrize(
    ("text", "label"), [("'h/2'", "h/2"), ("0.75", "0.75"), ("True", "True"), ("<function f>", "<function f>")]
)
def test_parameters_read_as_a_user_writes_them(text: str, label: str) -> None:
    assert param_label(text) == label


def test_history_has_ratios_to_the_first_and_says_what_is_missing() -> None:
    results, warnings = load(GOLDEN), []  # type: AsvResults, list[str]
    landmarks = {"naive": SLOW[:8], "gone": "abcdef12"}
    shown = [Shown("image", VIEW), Shown("broken", "image.track_broken")]
    rows = history_rows(results, landmarks, results.at(FAST), "bench-box", shown, warnings)
    assert [row["label"] for row in rows] == ["naive", "gone", "this one"]
    assert [row["values"][0]["ratio"] for row in rows] == [1.0, None, pytest.approx(1 / 18.63, rel=1e-3)]
    assert [row["values"][1]["why"] for row in rows] == ["failed", "no results", "failed"]
    assert warnings == ["landmark 'gone': no asv results of abcdef12; run: asv run abcdef12^!"]


def test_headlines_keep_their_label_or_name_the_combination() -> None:
    results = load(GOLDEN)
    commit = results.at(FAST)
    assert commit is not None
    one = headline_rows(results, commit, [Shown("image", VIEW, ["21^3 0.75 A", 1])])
    assert [row["label"] for row in one] == ["image"]
    two = headline_rows(results, commit, [Shown("image", VIEW, {"radius": 1})])
    assert [row["label"] for row in two] == ["image (21^3 0.75 A, 1)", "image (35^3 0.5 A, 1)"]
    assert {row["benchmark"] for row in headline_rows(results, commit, [])} == set(results.benchmarks)


def test_choice_of_machine_and_commit() -> None:
    results, warnings = load(GOLDEN), []  # type: AsvResults, list[str]
    assert choose_machine(results, "bench-box", None, warnings) == "bench-box"
    found = choose_commit(results, "bench-box", None, SLOW, warnings)
    assert found is not None
    assert found.commit == SLOW
    assert warnings == []
    assert choose_machine(results, "laptop", None, warnings) == "bench-box"
    newest = choose_commit(results, "bench-box", None, "f" * 40, warnings)
    assert newest is not None
    assert newest.commit == FAST
    assert warnings == [
        "no asv results of this machine (laptop): showing those of bench-box",
        "HEAD ffffffff has no asv results on bench-box: showing 8a2c27d5; run: asv run HEAD^!",
    ]
    with pytest.raises(UsageError, match=r"machine 'bench-bx'.*did you mean 'bench-box'"):
        choose_machine(results, "laptop", "bench-bx", [])
    with pytest.raises(UsageError, match="measured: 8a2c27d5, deb540b2"):
        choose_commit(results, "bench-box", "abc", None, [])
    with pytest.raises(UsageError, match="could be any of"):
        results.at("")


def test_two_machines_are_told_apart(project: Path) -> None:
    there = project / "results" / "other-box"
    shutil.copytree(project / "results" / "bench-box", there)
    (there / "8a2c27d5-existing-py.json").unlink()
    for path in there.iterdir():
        path.write_text(path.read_text(encoding="utf-8").replace("bench-box", "other-box"), encoding="utf-8")
    (project / "results" / "bench-box" / "deb540b2-existing-py.json").unlink()
    results, warnings = load(project), []  # type: AsvResults, list[str]
    rows = history_rows(results, {"naive": SLOW}, results.at(FAST), "bench-box", [Shown("image", VIEW)], warnings)
    assert [row["machine"] for row in rows] == ["other-box", "bench-box"]
    # A ratio between machines would not be of the code: each is the first of its own.
    assert [row["values"][0]["ratio"] for row in rows] == [1.0, 1.0]
    assert "several machines (bench-box, other-box)" in warnings[0]


def test_the_environment_measured_last_counts_unless_it_failed(project: Path) -> None:
    path = project / "results" / "bench-box" / "8a2c27d5-existing-py.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    row = document["results"]["image.track_share"]
    row[0], row[3] = [0.5], row[3] + 1000
    path.with_name("8a2c27d5-virtualenv.json").write_text(json.dumps(document), encoding="utf-8")
    row[0], row[3] = None, row[3] + 1000
    path.with_name("8a2c27d5-later.json").write_text(json.dumps(document), encoding="utf-8")
    results = load(project)
    commit = results.at(FAST)
    assert commit is not None
    assert [row.value for row in results.values(commit, "image.track_share")] == [0.5]


def test_an_interrupted_run_and_a_misspelt_name_are_reported(project: Path) -> None:
    path = project / "results" / "bench-box" / "8a2c27d5-existing-py.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["results"]["image.track_share"]
    path.write_text(json.dumps(document), encoding="utf-8")
    results = load(project)
    commit = results.at(FAST)
    assert commit is not None
    assert missing_warnings(results, commit, [Shown("x", "image.peakmem_stor")]) == [
        "asv: 1 of 4 benchmarks not measured at 8a2c27d5 (interrupted?): image.track_share",
        "asv: failed at 8a2c27d5: image.View.time_view, image.track_broken; run: asv run --show-stderr HEAD^!",
        "asv has no benchmark 'image.peakmem_stor'; did you mean 'image.peakmem_store'?",
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 99}', "null"])
def test_damaged_results_are_left_out_with_a_warning(project: Path, content: str) -> None:
    (project / "results" / "bench-box" / "8a2c27d5-existing-py.json").write_text(content, encoding="utf-8")
    results = load(project)
    assert [commit.commit for commit in results.commits] == [SLOW]
    (warning,) = results.warnings
    assert warning.startswith("asv result bench-box/8a2c27d5-existing-py.json left out: ")
    assert str(project) not in warning


def test_without_benchmarks_json_values_remain(project: Path) -> None:
    (project / "results" / "benchmarks.json").unlink()
    results = load(project)
    commit = results.at(FAST)
    assert commit is not None
    assert results.values(commit, VIEW)[0].params == {"param1": "21^3 0.75 A", "param2": "1"}
    assert results.values(commit, VIEW)[0].unit is None
    assert "benchmarks.json is missing" in results.warnings[0]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"version": 1}', '{"version": 7, "repo": "."}', None])
def test_a_bad_asv_configuration_is_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "asv.conf.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        AsvResults.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_project_that_was_never_measured(project: Path) -> None:
    shutil.rmtree(project / "results")
    results = load(project)
    assert (results.commits, results.warnings, results.machines()) == ([], [], [])
    assert choose_commit(results, "bench-box", None, None, []) is None


SUITE = "def track_answer():\n    return 42\n\n\ntrack_answer.unit = 'answers'\n"


@pytest.mark.slow
def test_what_asv_writes_today_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "suite.py").write_text(SUITE, encoding="utf-8")
    shutil.copy(GOLDEN / "asv.conf.json", tmp_path)
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path, text=True)
    variables = {**os.environ, "HOME": str(tmp_path)}  # asv keeps its machine file in the home folder
    asv = [sys.executable, "-m", "asv"]
    subprocess.run([*asv, "machine", "--yes", "--machine", "box"], cwd=tmp_path, check=True, env=variables, timeout=60)
    place = ["--environment", f"existing:{sys.executable}", "--set-commit-hash", head.strip(), "--machine", "box"]
    subprocess.run([*asv, "run", "--quick", *place], cwd=tmp_path, check=True, env=variables, timeout=60)
    results = load(tmp_path)
    commit = results.at(head[:8])
    assert commit is not None
    assert [(row.value, row.unit) for row in results.values(commit, "suite.track_answer")] == [(42, "answers")]

"""`bench diff` as a process: what it writes, prints and refuses."""

import json
import marshal
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench_harness.record import Record
from bench_harness.report.diff_text import TimeUnit, short_count, signed


def bench_diff(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(cwd.parent)}
    command = [sys.executable, "-m", "bench_harness", "diff", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


# Two captures of one program, seconds as they were measured: all calls, of its own, with what it called. Between them
# a table of distances that a loop filled became a dict comprehension over a matrix.
LIB = "/content/src/lib/metrics.py"
HOME = "/home/me/TFG/src/lib/metrics.py"
BEFORE = {
    ("~", 0, "<method 'acquire' of '_thread.lock' objects>"): (3_100, 77.8, 77.8),
    (LIB, 40, "distance_function"): (21_400_000, 311.0, 333.0),
    (LIB, 20, "precompute_pairwise_distances"): (108, 22.0, 355.0),
    (LIB, 90, "<listcomp>"): (108, 0.5, 0.5),
    ("/usr/lib/python3.8/threading.py", 270, "wait"): (900, 0.25, 78.0),
    ("/usr/local/lib/python3.8/site-packages/torch/nn/functional.py", 7, "conv2d"): (9_000, 536.169, 536.169),
}
AFTER = {
    ("~", 0, "<method 'acquire' of '_thread.lock' objects>"): (3_400, 2087.2, 2087.2),
    (HOME, 41, "distance_function"): (43_000, 1.2, 1.4),
    (HOME, 21, "precompute_pairwise_distances"): (116, 0.2, 177.0),
    (HOME, 26, "<dictcomp>"): (116, 176.4, 176.784),
    ("/opt/conda/lib/python3.8/threading.py", 270, "wait"): (900, 0.4, 2088.0),
    ("/opt/conda/lib/python3.8/site-packages/torch/nn/functional.py", 7, "conv2d"): (9_000, 367.0, 367.0),
}


def write_profile(path: Path, functions: dict[Any, tuple[int, float, float]]) -> None:
    entries = {key: (calls, calls, own_s, total_s, {}) for key, (calls, own_s, total_s) in functions.items()}
    path.write_bytes(marshal.dumps(entries))


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A folder with before.prof and after.prof."""
    write_profile(tmp_path / "before.prof", BEFORE)
    write_profile(tmp_path / "after.prof", AFTER)
    return tmp_path


def test_no_time_per_call_can_be_read_as_the_whole(profiles: Path) -> None:
    """A notebook kept a comprehension for its 1.5 s, the column of times per call: it took 177 s, 6.7 % of the run."""
    write_profile(profiles / "after.prof", AFTER | {(HOME, 90, "<listcomp>"): (116, 0.5, 0.5)})
    done = bench_diff(profiles, "before.prof", "after.prof")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "distance_function 21.4M 43k 311.0 1.2 -309.8 32.8 0.0" in rows
    assert "NEW <dictcomp> src/lib/metrics.py 0 116 0.0 176.4 +176.4 0.0 6.7" in rows
    assert "1.5" not in done.stdout
    assert "call" not in done.stdout.replace("calls", "").replace("not per call", "").replace(
        "not of what it called", ""
    )


def test_two_bare_profiles(profiles: Path) -> None:
    write_profile(profiles / "before.prof", {key: times for key, times in BEFORE.items() if key[2] != "<listcomp>"})
    record = document(bench_diff(profiles, "before.prof", "after.prof", "--json"))
    results = record["results"]
    rows = {row["name"]: row for row in results["functions"]}
    moved = rows["distance_function"]
    assert (moved["file"], moved["a_calls"], moved["b_calls"]) == ("src/lib/metrics.py", 21_400_000, 43_000)
    assert moved["delta_s"] == pytest.approx(-309.8)
    # One side has no comprehension at all: as far as can be told, its Python has none.
    assert rows["precompute_pairwise_distances"]["delta_s"] == pytest.approx(176.6 - 22.0)
    assert rows["conv2d"]["file"] == "torch/nn/functional.py"
    assert [row["change"] for row in results["functions"]] == [None] * len(rows)
    (waiting,) = results["waiting"]
    assert (waiting["kind"], waiting["delta_s"]) == ("waiting", pytest.approx(2009.4 + 0.15))
    assert waiting["b_share"] == pytest.approx(0.793, abs=0.001)
    assert not rows.keys() & {"wait", "{method 'acquire' of '_thread.lock' objects}"}
    assert results["per"] == "run"
    assert [line.partition(":")[0] for line in record["warnings"][:2]] == ["A is a bare .prof", "B is a bare .prof"]
    assert "/home" not in json.dumps(results)


def write_run(folder: Path, seconds: float, **fields: Any) -> Path:
    row: dict[str, Any] = {"file": "train.py", "line": 3, "calls": 40, "cumtime_s": 9.0, "process": "main"}
    functions = [
        row | {"name": name, "tottime_s": share * seconds} | steady(40, share * seconds)
        for name, share in (("work", 0.75), ("rest|", 0.25))
    ]
    counts = {"batches": 12, "steady_batches": 10, "steady_steps": 10}
    waiting = {"process": "main", "kind": "for loader", "seconds": 1.0, "share": 0.1, "calls": 1, "steady_seconds": 0.5}
    results = {"engine": "cprofile", "counts": counts, "functions": functions, "waiting": [waiting]}
    environment = {"machine": "box", "git": {"commit": "0123456789abcdef", "dirty": False}}
    Record("profile", [], "2026-01-31T12:00:00Z", 1.0, True, environment, results=results | fields).write(folder)
    return folder


def steady(calls: int, seconds: float) -> dict[str, Any]:
    return {"steady_calls": calls, "steady_tottime_s": seconds, "steady_cumtime_s": seconds}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the runs a and b."""
    write_run(tmp_path / "a", 2.0)
    write_run(tmp_path / "b", 3.0)
    return tmp_path


def test_record_first_then_text(runs: Path) -> None:
    done = bench_diff(runs, "a", "b/record.json", "--rows", "1")
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (runs / "profiles" / "diff").iterdir()
    record = Record.read(folder)
    assert (record.command, record.completed, record.warnings) == ("diff", True, [])
    assert (record.results["a"]["source"], record.results["b"]["source"]) == ("a", "b/record.json")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "A: a | cprofile | commit 0123456789ab | box | 10 steady steps | 10 steady batches"
    assert "Main, per steady step: 250 ms -> 350 ms (+100 ms)" in lines
    assert "work train.py 4 4 150.0 225.0 +75.0 60.0 64.3" in lines
    assert "for loader 50.0 50.0 0.0 20.0 14.3" in lines
    assert "... 1 more in record.json" in lines
    assert f"Artifacts in profiles/diff/{folder.name}: record.json" in lines
    assert "One run a side is no verdict" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_json_is_the_record_and_nothing_else(runs: Path) -> None:
    record = document(bench_diff(runs, "a", "b", "--json", "--out", "kept"))
    assert record == json.loads((runs / "kept" / "record.json").read_text(encoding="utf-8"))
    assert document(bench_diff(runs, "a", "b", "--json", "--out", "kept"))["results"] == record["results"]


def test_markdown(runs: Path) -> None:
    done = bench_diff(runs, "a", "b", "--markdown", "--sort", "share")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("- **A**: a \\| cprofile \\| commit 0123456789ab")
    assert "### Main, per steady step: 250 ms -> 350 ms (+100 ms)" in lines
    assert "| `work`  train.py | 4 | 4 | 150.0 | 225.0 | +75.0 | 60.0 | 64.3 |" in lines
    assert any(line.startswith("| `rest\\|`  train.py | 4 |") for line in lines)
    tables = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {9, 7}


def test_refusal_and_force(runs: Path) -> None:
    write_run(runs / "c", 3.0, engine="py-spy", counts={"batches": 1})
    done = bench_diff(runs, "a", "c")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "bench: error: a and c do not compare: engine differs: cprofile and py-spy; profile both with one --engine; "
        "B has no steady batches; profile more of them; or --force\n"
    )
    assert not (runs / "profiles").exists()
    record = document(bench_diff(runs, "a", "c", "--force", "--json"))
    assert record["results"]["per"] == "run"
    assert [line for line in record["warnings"] if line.startswith("forced: ")] == [
        "forced: engine differs: cprofile and py-spy; profile both with one --engine",
        "forced: B has no steady batches; profile more of them",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a"], "the following arguments are required: B"),
        (["a", "gone"], "gone: no such run; give a run folder, its record.json or a .prof file"),
        (["a", "profiles"], "record.json: no such record"),
        (["a", "b", "--rows", "0"], "--rows 0: expected an integer of at least 1"),
        (["a", "b", "--json", "--markdown"], "not allowed with argument"),
        (["a", "b", "--out", "a"], "a/record.json is the record of 'profile' and is not overwritten"),
    ],
)
def test_bad_input(runs: Path, arguments: list[str], words: str) -> None:
    (runs / "profiles").mkdir()
    done = bench_diff(runs, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.25, "0.25"),
        (116, "116"),
        (3100, "3,100"),
        (9_999.4, "9,999"),
        (9_999.7, "10k"),
        (43_000, "43k"),
        (21.4e6, "21.4M"),
        (999_999, "1M"),
        (2.5e9, "2.5G"),
    ],
)
def test_counts_are_short(calls: float | None, text: str) -> None:
    assert short_count(calls) == text


def test_changes_have_a_sign() -> None:
    assert [signed(value) for value in (0.0, 0.0015, -3.0)] == ["0", "+1.5 ms", "-3 s"]


@pytest.mark.parametrize(
    ("largest_s", "seconds", "text"),
    [
        (2087.2, 2087.2, "s 2,087 +2,087"),
        (309.8, -1.2, "s -1.2 -1.2"),
        (0.0123, 0.0002, "ms 0.20 +0.20"),
        (0.0123, 0.000001, "ms 0.00 0.00"),
        (2e-6, -1e-6, "us -1.000 -1.000"),
        (2e-9, 2e-9, "us 0.002 +0.002"),
        (0.0, 0.0, "us 0 0"),
    ],
)
def test_the_times_of_a_table_have_one_unit(largest_s: float, seconds: float, text: str) -> None:
    unit = TimeUnit.of([{"a_tottime_s": largest_s, "b_tottime_s": 0.0}])
    assert f"{unit.name} {unit.shown(seconds)} {unit.shown(seconds, '+')}" == text

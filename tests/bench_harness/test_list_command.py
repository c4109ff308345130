"""`bench list`: targets, runs, and pruning that shows before it removes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench_harness.record import Record
from bench_harness.run_folders import run_folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Three runs of one target, one of another, and what is no run."""
    root = tmp_path / "profiles"
    for target, day in (("load", 1), ("load", 2), ("load", 3), ("train", 1)):
        write_run(root, target, day)
    (root / "load" / "20250101T000000Z-nogit-box").mkdir()
    (root / "asv" / "landmarks-box").mkdir(parents=True)
    return tmp_path


def write_run(root: Path, target: str, day: int) -> Path:
    started = f"2026-01-{day:02}T12:00:00Z"
    folder = run_folder(target, root, started=started, machine="box")
    results = {"engine": "cprofile", "counts": {"steps": 1200}, "pipeline": {"verdict": "step-bound"}}
    workers = {"expected": 2, "delivered": 2, "missing": []}
    Record("profile", [], started, 1.0, True, workers=workers, results=results).write(folder)
    return folder


def bench_list(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(cwd.parent), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "bench_harness", "list", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def folders(project: Path) -> set[str]:
    return {path.relative_to(project / "profiles").as_posix() for path in (project / "profiles").glob("*/*")}


def install(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = project / "zz_dist-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz_dist\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[bench_harness.targets]\nzz = zz_work:main\nzz_gone = zz_work:gone\n")
    (project / "zz_work.py").write_text('raise SystemExit(9)\ndef main():\n    """Do the work."""\n')
    monkeypatch.syspath_prepend(str(project))


def test_targets(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(project, monkeypatch)
    done = bench_list(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert any(
        line.split() == ["@zz", "Do", "the", "work.", "zz_work:main", "zz_dist", "1.5"]
        for line in done.stdout.splitlines()
    )
    assert "problem: zz_work:gone does not" in done.stdout
    found = {item["name"]: item for item in document(bench_list(project, "--json"))["targets"]}
    assert found["zz"] == {
        "name": "zz",
        "value": "zz_work:main",
        "distribution": "zz_dist",
        "version": "1.5",
        "description": "Do the work.",
        "problem": None,
        "full_name": "zz_dist/zz",
    }


def test_runs(project: Path) -> None:
    done = bench_list(project, "--runs")
    assert (done.returncode, done.stderr) == (0, "")
    assert "profiles/load\n" in done.stdout
    row = "20260103T120000Z-nogit-box   cprofile   step-bound   1,200       2/2   yes"
    assert any(line.startswith(row) for line in done.stdout.splitlines()), done.stdout
    runs = document(bench_list(project, "--runs", "--json", "--target", "train"))["runs"]
    assert [run["folder"] for run in runs] == ["train/20260101T120000Z-nogit-box"]
    assert "### train" in (project / "profiles" / "README.md").read_text(encoding="utf-8")


def test_no_runs(tmp_path: Path) -> None:
    assert bench_list(tmp_path, "--runs").stdout == "No runs below profiles.\n"
    assert bench_list(tmp_path, "--prune", "1").stdout == "Nothing to remove.\n"
    assert list(tmp_path.iterdir()) == []


def test_pruning_removes_nothing_unasked(project: Path) -> None:
    before = folders(project)
    done = bench_list(project, "--prune", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "would remove profiles/load/20260101T120000Z-nogit-box (" in done.stdout
    assert "would remove profiles/load/20260102T120000Z-nogit-box (" in done.stdout
    assert "2 stay: one of the newest 1" in done.stdout
    assert "Nothing was removed. Add --yes to remove 2 runs (" in done.stdout
    assert folders(project) == before


def test_pruning_removes_the_oldest(project: Path) -> None:
    before = folders(project)
    done = document(bench_list(project, "--prune", "1", "--yes", "--json"))
    gone = {f"load/2026010{day}T120000Z-nogit-box" for day in (1, 2)}
    assert {run["folder"] for run in done["removed"]} == gone
    assert folders(project) == before - gone
    index = json.loads((project / "profiles" / "index.json").read_text(encoding="utf-8"))
    assert len(index["runs"]) == 2


def test_pruning_one_target(project: Path) -> None:
    done = document(bench_list(project, "--prune", "0", "--target", "train", "--json"))
    assert [run["folder"] for run in done["would_remove"]] == ["train/20260101T120000Z-nogit-box"]


def test_pruning_keeps_what_is_named_committed_linked_or_unreadable(project: Path) -> None:
    root = project / "profiles"
    write_run(root, "captures", 1).rename(root / "captures" / "early_filter")
    (write_run(root, "broken", 1) / "record.json").write_text("{}")
    (root / "linked").mkdir()
    (root / "linked" / "20260101T120000Z-nogit-box").symlink_to(root / "train" / "20260101T120000Z-nogit-box")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True, timeout=60)
    subprocess.run(["git", "add", "profiles/load/20260101T120000Z-nogit-box"], cwd=project, check=True, timeout=60)
    before = folders(project)
    done = document(bench_list(project, "--prune", "0", "--yes", "--json"))
    why = {run["folder"].partition("/")[0]: run["why"] for run in done["kept"]}
    assert why == {
        "broken": "its record cannot be read",
        "captures": "named by hand",
        "linked": "a link",
        "load": "in git",
    }
    assert before - folders(project) == {
        "load/20260102T120000Z-nogit-box",
        "load/20260103T120000Z-nogit-box",
        "train/20260101T120000Z-nogit-box",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--yes"], "--yes belongs to --prune KEEP"),
        (["--target", "load"], "give --runs or --prune KEEP too"),
        (["--prune", "-1"], "--prune -1: expected"),
        (["--runs", "--target", "lod"], "--target lod: no run of it; did you mean 'load'?"),
        (["--prune", "1", "--target", "lod"], "--target lod: no run of it; did you mean 'load'?"),
    ],
)
def test_refusals(project: Path, arguments: list[str], words: str) -> None:
    done = bench_list(project, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_pruning_without_an_answer_of_git(project: Path) -> None:
    (project / ".git").mkdir()
    done = bench_list(project, "--prune", "0", "--yes")
    assert done.returncode == 2
    assert "git does not say which runs are committed" in done.stderr

"""The index over runs: for programs, for people, and what git has to say in it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench_harness import run_index
from bench_harness.record import Record
from bench_harness.run_folders import run_folder
from bench_harness.run_index import BEGIN, END, update_index

COMMIT = "0123456789abcdef"
RESULTS = {
    "engine": "cprofile",
    "counts": {"steps": 12, "batches": 13},
    "pipeline": {"verdict": "loader-bound | mostly"},
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs outside any repository."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path / "profiles"


def write_run(root: Path, target: str, day: int = 1, **fields: Any) -> Path:
    started = f"2026-01-{day:02}T12:00:00Z"
    folder = run_folder(target, root, started=started, machine="box")
    keys: dict[str, Any] = {
        "command": "profile",
        "argv": ["profile"],
        "started": started,
        "wall_s": 1.0,
        "completed": True,
        "environment": {"git": {"commit": COMMIT}},
        "workers": {"expected": 2, "delivered": 1, "missing": []},
        "artifacts": {"text": "merged.txt", "merged": "merged.prof"},
        "results": RESULTS,
    }
    Record(**{**keys, **fields}).write(folder)
    return folder


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def test_entries(root: Path) -> None:
    good = write_run(root, "load")
    bad = run_folder("load", root, started="2026-02-01T12:00:00Z", machine="box")
    (bad / "record.json").write_text("{}", encoding="utf-8")
    run_folder("load", root, started="2026-02-02T12:00:00Z", machine="box")
    index = json.loads(update_index(root).read_text(encoding="utf-8"))
    assert index["runs"][0] == {
        "target": "load",
        "folder": "load/20260101T120000Z-nogit-box",
        "named": False,
        "committed": False,
        "size_bytes": (good / "record.json").stat().st_size,
        "started": "2026-01-01T12:00:00Z",
        "command": "profile",
        "commit": COMMIT,
        "completed": True,
        "engine": "cprofile",
        "verdict": "loader-bound | mostly",
        "steps": 12,
        "expected": 2,
        "delivered": 1,
        "artifacts": {"text": "merged.txt", "merged": "merged.prof"},
    }
    assert index["runs"][1]["problem"].startswith("field 'schema'")
    assert len(index["runs"]) == 2


def test_a_record_that_says_little_or_nonsense(root: Path) -> None:
    write_run(root, "load", results={"engine": 3, "counts": [], "pipeline": None}, workers=None, environment={"git": 1})
    entry = json.loads(update_index(root).read_text(encoding="utf-8"))["runs"][0]
    names = ("engine", "verdict", "steps", "expected", "delivered", "commit")
    assert [entry[name] for name in names] == [None] * 6


def test_the_page(root: Path) -> None:
    for day in (1, 2):
        write_run(root, "load", day, completed=day == 1)
    write_run(root, "a target", results={}, workers=None, artifacts={}, environment={})
    update_index(root)
    page = (root / "README.md").read_text(encoding="utf-8")
    table = page.partition("### load")[2].splitlines()
    assert table[4] == (
        "| 2026-01-02T12:00:00Z | [20260102T120000Z-nogit-box](load/20260102T120000Z-nogit-box/) "
        "([merged.txt](load/20260102T120000Z-nogit-box/merged.txt)) | profile | 0123456789ab | cprofile "
        "| loader-bound \\| mostly | 12 | 1/2 | **no** |"
    )
    assert table[5].startswith("| 2026-01-01T12:00:00Z |")
    assert page.index("### a_target") < page.index("### load")
    before = (root / "README.md").stat().st_mtime_ns
    update_index(root)
    assert (root / "README.md").read_text(encoding="utf-8") == page
    assert (root / "README.md").stat().st_mtime_ns == before


def test_a_long_table_is_cut(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_index, "MAX_ROWS", 2)
    for day in (1, 2, 3):
        write_run(root, "load", day)
    update_index(root)
    page = (root / "README.md").read_text(encoding="utf-8")
    assert "20260101T" not in page
    assert "1 older ones: `bench list --runs --target load`" in page


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# Mine\n\nAbove.\n", f"# Mine\n\nAbove.\n\n{BEGIN}\n\nTABLE\n\n{END}\n"),
        (f"Above.\n{BEGIN}\nold\n{END}\nBelow.\n", f"Above.\n{BEGIN}\n\nTABLE\n\n{END}\nBelow.\n"),
        (f"Above.\n{BEGIN}\nnot ended\n", f"Above.\n{BEGIN}\n\nTABLE\n\n{END}\n\nnot ended\n"),
    ],
    ids=["no markers", "both", "only the first"],
)
def test_text_outside_of_the_markers_stays(before: str, after: str) -> None:
    assert run_index.with_table(before, "TABLE") == after
    assert run_index.with_table(after, "TABLE") == after


def test_bytes_that_are_no_utf8_stay(root: Path) -> None:
    root.mkdir()
    (root / "README.md").write_bytes(b"caf\xe9\n")
    update_index(root)
    assert (root / "README.md").read_bytes().startswith(b"caf\xe9\n\n<!-- runs")


def test_a_page_in_git_lists_what_is_in_git(root: Path) -> None:
    write_run(root, "load", 1)
    capture = write_run(root, "captures").rename(root / "captures" / "early_filter")
    (root / "README.md").write_text(f"# Runs\n\n{BEGIN}\n{END}\n", encoding="utf-8")
    git(root.parent, "init", "-q")
    git(root.parent, "add", "profiles/README.md", str(capture))
    index = json.loads(update_index(root).read_text(encoding="utf-8"))
    marks = {run["folder"]: (run["named"], run["committed"]) for run in index["runs"]}
    assert marks == {"captures/early_filter": (True, True), "load/20260101T120000Z-nogit-box": (False, False)}
    page = (root / "README.md").read_text(encoding="utf-8")
    assert "[early_filter](captures/early_filter/)" in page
    assert "### load" not in page


def test_a_page_in_git_without_markers_is_left_alone(root: Path) -> None:
    write_run(root, "load", 1)
    (root / "README.md").write_text("# Mine\n", encoding="utf-8")
    git(root.parent, "init", "-q")
    git(root.parent, "add", "profiles/README.md")
    update_index(root)
    assert (root / "README.md").read_text(encoding="utf-8") == "# Mine\n"


def test_where_git_does_not_answer_the_page_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(root, "load", 1)
    git(root.parent, "init", "-q")
    monkeypatch.setenv("PATH", os.fspath(root))
    update_index(root)
    assert (root / "index.json").exists()
    assert not (root / "README.md").exists()


def test_the_page_of_this_repository_is_up_to_date(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "profiles" / "README.md"
    tracked = run_index.tracked_files(page.parent)
    if tracked is None or "README.md" not in tracked:
        pytest.skip("not a checkout")
    runs = [run for run in run_index.read_runs(page.parent, tracked) if run["committed"]]
    text = page.read_text(encoding="utf-8")
    assert run_index.with_table(text, "\n".join(run_index.tables(runs))) == text

"""`bench init` in repositories of other people: what it writes works, and what is there stays as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench_harness.__main__ import main
from bench_harness.config import load_config
from bench_harness.starter.files import Repository, planned_files

FILES = [
    "asv.conf.json",
    "benchmarks/__init__.py",
    "benchmarks/importing.py",
    "pyproject.toml",
    ".gitignore",
    ".github/workflows/benchmark.yml",
    ".github/workflows/benchmark-comment.yml",
]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one package and one commit."""
    folder = tmp_path / "their project"
    (folder / "theirs").mkdir(parents=True)
    (folder / "theirs" / "__init__.py").write_text("VALUE = 1\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    return folder


def git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], text=True, timeout=30)


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_everything_is_written_once_and_then_kept(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(repository)
    assert main(["init", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[: len(FILES)] == [f"would write {name}" for name in FILES]
    assert tree(repository) == before
    assert main(["init"]) == 0
    assert capsys.readouterr().out.splitlines()[: len(FILES)] == [f"written     {name}" for name in FILES]
    after = tree(repository)
    assert set(after) == {*before, *FILES}
    assert main(["init"]) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("written")] == []
    assert tree(repository) == after


def test_what_is_there_is_not_touched_and_the_table_is_to_paste(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = {"pyproject.toml": "[project]\nname = 'theirs'\n", "asv.conf.json": "not even JSON", ".gitignore": "x\n"}
    mine |= {"benchmarks/__init__.py": "", "benchmarks/mine.py": "def time_mine(): pass\n"}
    (repository / "benchmarks").mkdir()
    for name, text in mine.items():
        (repository / name).write_text(text, encoding="utf-8")
    assert main(["init"]) == 0
    printed = capsys.readouterr().out
    after = tree(repository)
    assert {name: after[name] for name in mine} == mine
    assert "benchmarks/importing.py" not in after  # there is a suite
    assert "kept        asv.conf.json" in printed
    table = printed[printed.index("[tool.bench_harness]") : printed.index(".gitignore is there")]
    (repository / "pyproject.toml").write_text(mine["pyproject.toml"] + table, encoding="utf-8")
    assert load_config(repository).rule_for("importing.timeraw_import", "cpu_s").effect == 0.05
    assert main(["init"]) == 0
    assert "paste into it" not in capsys.readouterr().out  # now it has the table


def test_from_a_folder_below_it_writes_to_the_root(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "theirs")
    assert main(["init"]) == 0
    assert (repository / "asv.conf.json").is_file()


@pytest.mark.parametrize("suffix", [[], ["--dry-run"]])
def test_outside_of_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], suffix: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(["init", *suffix]) == 2
    assert capsys.readouterr().err == (
        "bench: error: no git repository here: asv measures commits; run git init and commit first\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_where_one_file_cannot_be_written_none_is(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / ".github").write_text("a file where a folder should be", encoding="utf-8")
    before = tree(repository)
    assert main(["init"]) == 2
    assert ".github/workflows/benchmark.yml: cannot be written" in capsys.readouterr().err
    assert tree(repository) == before


@pytest.mark.parametrize("arguments", [["--harness", 'x"; rm -rf /'], ["--budget", "$(x)"], ["--harness", ""]])
def test_words_that_would_break_the_workflow(
    repository: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["init", *arguments]) == 2
    assert "it becomes a word in quotes of a shell" in capsys.readouterr().err
    assert not (repository / "asv.conf.json").exists()


def test_a_budget_that_no_comparison_takes_is_refused(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--budget", "5 minutes"]) == 2
    assert "--budget 5 minutes: expected a time above 0 such as 90, 90s or 2m" in capsys.readouterr().err
    assert not (repository / "asv.conf.json").exists()
    assert main(["init", "--budget", "5 m"]) == 0
    assert "--budget 5m ||" in (repository / ".github/workflows/benchmark.yml").read_text(encoding="utf-8")


def test_the_workflow_installs_what_is_asked_for(repository: Path) -> None:
    assert main(["init", "--harness", "bench_harness[asv] @ https://host.invalid/w.whl", "--budget", "90s"]) == 0
    workflow = yaml.safe_load((repository / ".github/workflows/benchmark.yml").read_text(encoding="utf-8"))
    lines = [step.get("run", "") for step in workflow["jobs"]["benchmark"]["steps"]]
    assert 'python -m pip install "bench_harness[asv] @ https://host.invalid/w.whl" virtualenv' in lines
    assert any('bench compare "$BASE" "$HEAD" --budget 90s' in line for line in lines)


@pytest.mark.parametrize(
    ("paths", "package", "installable"),
    [
        (["tests/__init__.py", "src/lib/__init__.py", "setup.py"], "lib", True),
        (["tool.py", "setup.py"], "tool", True),
        (["conftest.py", "docs/__init__.py"], None, False),
        (["a-b/__init__.py", "zeta/__init__.py", "alpha/__init__.py"], "alpha", False),
    ],
)
def test_what_is_found_of_a_project(tmp_path: Path, paths: list[str], package: str | None, installable: bool) -> None:
    for name in paths:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, timeout=30)
    found = Repository.find(tmp_path)
    assert found is not None
    assert (found.package, found.installable) == (package, installable)
    texts = {one.path: one.text for one in planned_files(found)}
    assert not [path for path, text in texts.items() if "@PROJECT@" in text or "@PACKAGE@" in text]
    assert ("checkout.pth" in texts["asv.conf.json"]) is not installable


ASV_NEEDS = ("No matching distribution", "Could not find a version", "ConnectionError", "Network is unreachable")


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_asv_measures_a_commit_by_what_was_written(repository: Path) -> None:
    """As a newcomer goes on: asv makes its environment, and measures the commit."""
    pytest.importorskip("asv")
    pytest.importorskip("virtualenv")
    assert main(["init"]) == 0
    git("add", "-A")
    git("commit", "-q", "-m", "Add benchmarks")
    home = repository.parent / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    for command in (["machine", "--yes"], ["run", "--quick", "HEAD^!"]):
        words = [sys.executable, "-m", "asv", *command]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=250, check=False)
        said = done.stdout + done.stderr
        if done.returncode and any(word in said for word in ASV_NEEDS):
            pytest.skip("asv cannot install asv_runner into its environment: no package index here")
        assert done.returncode == 0, said
    assert "importing.timeraw_import" in said
    assert main(["summary", "--out", str(repository.parent / "summary")]) == 0

"""The repository's own asv configuration: the subject comes from the commit, the instruments from the working tree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUBJECT_PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "bench_core"
version = "0"
[tool.setuptools]
packages = ["bench_core"]
"""
INSTRUMENT_PROJECT = SUBJECT_PROJECT.replace('"bench_core"', '"bench_harness"') + (
    '[tool.setuptools.package-dir]\nbench_harness = "."\n'
)
SUITE = """
import bench_core, bench_harness
def track_subject(): return bench_core.VALUE
def track_instrument(): return bench_harness.VALUE
"""


def configuration(repository: Path) -> dict[str, Any]:
    """asv.conf.json without its comments."""
    text = (repository / "asv.conf.json").read_text()
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))


def git(folder: Path, *arguments: str) -> str:
    return subprocess.check_output(["git", "-C", str(folder), *arguments], text=True).strip()


def commit_with_value(folder: Path, value: int) -> str:
    for package in ("bench_core", "bench_harness"):
        (folder / package / "__init__.py").write_text(f"VALUE = {value}\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", f"value {value}")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def fixture_repository(tmp_path: Path, repository: Path) -> tuple[Path, list[str]]:
    """Two commits that change the subject and the instruments, under the repository's own asv.conf.json."""
    folder = tmp_path / "fixture"
    for name in ("bench_core", "bench_harness", "benchmarks"):
        (folder / name).mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "pyproject.toml").write_text(SUBJECT_PROJECT)
    (folder / "bench_harness" / "pyproject.toml").write_text(INSTRUMENT_PROJECT)
    (folder / "benchmarks" / "__init__.py").touch()
    (folder / "benchmarks" / "values.py").write_text(SUITE)
    config = configuration(repository)
    config["matrix"] = {"req": {"wheel": [""]}}  # the toy needs no torch
    (folder / "asv.conf.json").write_text(json.dumps(config))
    return folder, [commit_with_value(folder, 1), commit_with_value(folder, 2)]


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_the_instrument_stays_while_the_subject_changes(
    fixture_repository: tuple[Path, list[str]], fresh_home: dict[str, str]
) -> None:
    folder, commits = fixture_repository
    (folder / "bench_harness" / "__init__.py").write_text("VALUE = 9\n")  # an edit that is not even committed
    asv = [sys.executable, "-m", "asv"]
    variables = {**os.environ, **fresh_home}  # asv keeps the machines it knows in the home folder
    machine = [*asv, "machine", "--yes", "--machine", "m"]
    subprocess.run(machine, cwd=folder, env=variables, check=True, capture_output=True)
    done = subprocess.run(
        [*asv, "run", "--quick", "--show-stderr", "--machine", "m", "ALL"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=270,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    values = {}
    for path in (folder / "profiles" / "asv" / "m").glob("*-virtualenv-*.json"):
        stored = json.loads(path.read_text())
        column = stored["result_columns"].index("result")
        values[stored["commit_hash"]] = {name: row[column][0] for name, row in stored["results"].items()}
    assert values == {
        commits[0]: {"values.track_subject": 1, "values.track_instrument": 9},
        commits[1]: {"values.track_subject": 2, "values.track_instrument": 9},
    }


def test_no_dependency_is_installed_per_commit(repository: Path) -> None:
    for step in configuration(repository)["install_command"]:
        assert "--no-deps" in step


def test_torch_is_pinned_as_in_pyproject(repository: Path) -> None:
    pinned = configuration(repository)["matrix"]["req"]["torch"]
    assert f'loader = ["torch=={pinned[0]}"]' in (repository / "pyproject.toml").read_text()

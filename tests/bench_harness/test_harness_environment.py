"""Conditions of a measurement: in and outside a repository, in cgroups, with plugins that work and that fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench_harness import environment

NO_GIT = {"commit": None, "branch": None, "dirty": None}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.check_output(["git", "-C", str(folder), *arguments], text=True).strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "file").write_text("one", encoding="utf-8")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_everything_is_plain_json_without_paths_of_the_machine() -> None:
    collected, warnings = environment.collect()
    text = json.dumps(collected, allow_nan=False)
    assert str(Path.home()) not in text
    assert sys.prefix not in text
    assert warnings == [] or all(isinstance(line, str) for line in warnings)
    assert collected["cpu"]["logical_count"] == os.cpu_count()
    assert collected["memory"]["total_bytes"] > 2**20
    assert collected["packages"]["psutil"]
    assert collected["multiprocessing"]["start_method"] in {"fork", "spawn", "forkserver"}


def test_git_in_a_repository(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert environment.collect_git(repository) == {"commit": head, "branch": "trunk", "dirty": False}
    (repository / "untracked").touch()
    assert environment.collect_git(repository)["dirty"] is False
    (repository / "file").write_text("two", encoding="utf-8")
    assert environment.collect_git(repository)["dirty"] is True


def test_git_outside_a_repository_and_before_the_first_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.collect_git(tmp_path) == NO_GIT
    git(tmp_path, "init", "-q")
    assert environment.collect_git(tmp_path) == NO_GIT
    assert environment.collect_git(tmp_path / "gone") == NO_GIT


def test_git_absent(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment.collect_git(repository) == NO_GIT


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "1000\n"}, 1000),
        ("0::/a/b\n", {"a/b/memory.max": "500\n", "a/memory.max": "1000\n"}, 500),
        ("0::/elsewhere/of/the/host\n", {"memory.max": "700\n"}, 700),
        ("0::/\n", {}, None),
        ("4:cpu,memory:/job\n1:cpu:/x\n", {"memory/job/memory.limit_in_bytes": "2000\n"}, 2000),
        ("4:memory:/job\n", {"memory/job/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("", {}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_cgroup_limits(tmp_path: Path, membership: str, limits: dict[str, str], expected: int | None) -> None:
    (tmp_path / "cgroup").write_text(membership, encoding="utf-8")
    for name, content in limits.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(content, encoding="utf-8")
    assert environment.cgroup_limit_bytes(tmp_path / "cgroup", tmp_path / "fs") == expected


def test_variables_and_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("BENCH_MACHINE", "the-box")
    variables = environment.collect_variables()
    assert variables["OMP_NUM_THREADS"] == "1"
    assert "MKL_NUM_THREADS" not in variables
    assert environment.machine_label() == "the-box"


PLUGIN = """
def good(): return {"variant": "avx2"}
def bad(): raise RuntimeError("no such chip")
def odd(): return ["not a dict"]
"""
ENTRY_POINTS = """
[bench_harness.metadata]
simd = a_plugin:good
chip = a_plugin:bad
list = a_plugin:odd
cpu = a_plugin:good
gone = no_such_module:f
"""


def test_plugins_are_merged_and_failing_ones_become_warnings(tmp_path: Path) -> None:
    info = tmp_path / "a_plugin-1.dist-info"
    info.mkdir()
    (tmp_path / "a_plugin.py").write_text(PLUGIN, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a_plugin\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    code = "import json; from bench_harness.environment import collect; print(json.dumps(collect()))"
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=True)
    collected, warnings = json.loads(done.stdout)
    assert collected["simd"] == {"variant": "avx2"}
    assert "model" in collected["cpu"]
    ours = sorted(line for line in warnings if "a_plugin" in line or "no_such_module" in line)
    assert ours == [
        "metadata plugin 'chip' (a_plugin:bad) failed with RuntimeError: no such chip; left out",
        "metadata plugin 'cpu' (a_plugin:good) has the name of a built-in key; left out",
        "metadata plugin 'gone' (no_such_module:f) failed with ModuleNotFoundError: "
        "No module named 'no_such_module'; left out",
        "metadata plugin 'list' (a_plugin:odd) returned a list, expected a dict; left out",
    ]

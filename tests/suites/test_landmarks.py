"""The committed history: measured at commits of this repository, readable by asv, free of this machine's paths."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench_harness.config import load_config

pytestmark = pytest.mark.timeout(200)

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "profiles" / "asv"
FOLDERS = list(RESULTS.glob("landmarks-*"))
ABSOLUTE = re.compile(r"(?:^|[^\w.:/])(?:~?/[\w.+~-]+)+|\b[A-Za-z]:\\")
"""A path from the root, a home or a drive, anywhere in a text; `examples/s` and `https://...` are none."""


def landmarks() -> dict[str, str]:
    return dict(load_config(ROOT).summary.landmarks)


def measurements() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in folder.glob("*-*.json"))


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=60)


def asv(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "asv", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def history() -> None:
    if git("rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        pytest.skip("a shallow checkout holds no landmark commits: run git fetch --unshallow")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration and the committed results, where asv may write its own files beside them."""
    folder = tmp_path_factory.mktemp("history")
    text = (ROOT / "asv.conf.json").read_text().replace('"repo": "."', f'"repo": {json.dumps(str(ROOT))}')
    (folder / "asv.conf.json").write_text(text)
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")
    (folder / "profiles" / "asv").mkdir(parents=True)
    shutil.copy(RESULTS / "benchmarks.json", folder / "profiles" / "asv")
    for results in FOLDERS:
        shutil.copytree(results, folder / "profiles" / "asv" / results.name)
    return folder


def test_the_landmarks_are_the_commits_that_make_asv_measures() -> None:
    listed = (RESULTS / "landmarks.txt").read_text().split()
    assert list(landmarks()) == ["naive", "filtered", "C", "SIMD"]
    for commit, prefix in zip(listed, landmarks().values(), strict=True):
        assert commit.startswith(prefix)


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("label", list(landmarks()))
def test_a_landmark_is_an_ancestor_of_this_commit(label: str) -> None:
    """A rebase would leave results of commits that a clone does not have."""
    done = git("merge-base", "--is-ancestor", landmarks()[label], "HEAD")
    assert done.returncode == 0, done.stderr or "not an ancestor of HEAD"


def test_every_landmark_is_measured_and_labelled_by_machine() -> None:
    assert len(FOLDERS) == 1
    machine = json.loads((FOLDERS[0] / "machine.json").read_text())
    assert machine["machine"] == FOLDERS[0].name
    assert machine["cpu"]
    assert len(measurements()) == len(landmarks())
    measured = {json.loads(path.read_text())["commit_hash"] for path in measurements()}
    assert measured == set((RESULTS / "landmarks.txt").read_text().split())


def texts(value: Any) -> Iterator[str]:
    """Every string in a JSON value, names included, but the source of a benchmark."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts(inner if name != "code" else None)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_the_results_hold_no_paths() -> None:
    seen = 0
    for path in (RESULTS / "benchmarks.json", FOLDERS[0] / "machine.json", *measurements()):
        found = [text for text in texts(json.loads(path.read_text())) if ABSOLUTE.search(text)]
        assert not found, (path.name, found)
        assert "existing-py_" not in path.name  # asv puts the interpreter's path there
        seen += 1
    assert seen == 2 + len(landmarks())


@pytest.mark.parametrize("text", ["/srv", "'/home/me/x.cif'", "folder=/tmp/a", "~/data", "C:\\data", "a (/home/b)"])
def test_a_path_is_seen(text: str) -> None:
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize("text", ["h/2", "examples/s", "https://example.invalid/a", "21^3 x 0.75 A", "bench_core/x.py"])
def test_what_only_looks_like_a_path(text: str) -> None:
    assert not ABSOLUTE.search(text)


@pytest.mark.usefixtures("history")
def test_asv_compares_them(copy: Path) -> None:
    naive, compiled = landmarks()["naive"], landmarks()["C"]
    text = asv(copy, "compare", naive, compiled, "--machine", FOLDERS[0].name)
    assert "voxelizing.Image.time_image" in text
    assert "worker_memory" in asv(copy, "show", compiled, "--machine", FOLDERS[0].name)


@pytest.mark.usefixtures("history")
def test_asv_publishes_them(copy: Path) -> None:
    asv(copy, "publish", "--html-dir", str(copy / "html"))
    graphs = list((copy / "html" / "graphs").rglob("*time_image*.json"))
    assert graphs


def test_what_a_landmark_lacks_is_skipped_and_not_failed() -> None:
    """asv stores a skipped benchmark as NaN and a failed one as null."""
    for path in measurements():
        stored = json.loads(path.read_text())
        values = {name: row[0] for name, row in stored["results"].items()}
        failed = [name for name, value in values.items() if value is None or None in value]
        assert not failed, (path.name, failed)

"""The committed history: measured at commits of this repository, readable by asv, free of this machine's paths."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench_harness.config import load_config

pytestmark = pytest.mark.timeout(200)

ROOT = Path(__file__).parents[2]
FOLDERS = list((ROOT / "profiles" / "asv").glob("landmarks-*"))


def landmarks() -> dict[str, str]:
    return dict(load_config(ROOT).summary.landmarks)


def asv(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "asv", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration and the committed results, where asv may write its own files beside them."""
    folder = tmp_path_factory.mktemp("history")
    text = (ROOT / "asv.conf.json").read_text().replace('"repo": "."', f'"repo": {json.dumps(str(ROOT))}')
    (folder / "asv.conf.json").write_text(text)
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")
    (folder / "profiles" / "asv").mkdir(parents=True)
    shutil.copy(ROOT / "profiles" / "asv" / "benchmarks.json", folder / "profiles" / "asv")
    for results in FOLDERS:
        shutil.copytree(results, folder / "profiles" / "asv" / results.name)
    return folder


def test_the_landmarks_are_the_commits_that_make_asv_measures() -> None:
    listed = (ROOT / "profiles" / "asv" / "landmarks.txt").read_text().split()
    assert list(landmarks()) == ["naive", "filtered", "C"]
    for commit, prefix in zip(listed, landmarks().values(), strict=True):
        assert commit.startswith(prefix)


def test_every_landmark_is_measured_and_labelled_by_machine() -> None:
    assert len(FOLDERS) == 1
    machine = json.loads((FOLDERS[0] / "machine.json").read_text())
    assert machine["machine"] == FOLDERS[0].name
    assert machine["cpu"]
    measured = {json.loads(p.read_text())["commit_hash"] for p in FOLDERS[0].glob("*-*.json")}
    assert measured == set((ROOT / "profiles" / "asv" / "landmarks.txt").read_text().split())


def test_the_results_hold_no_paths() -> None:
    for path in FOLDERS[0].glob("*.json"):
        assert not re.search(r'"/(?:home|root|work|tmp|Users)\b', path.read_text()), path.name


def test_asv_compares_them(copy: Path) -> None:
    naive, compiled = landmarks()["naive"], landmarks()["C"]
    text = asv(copy, "compare", naive, compiled, "--machine", FOLDERS[0].name)
    assert "voxelizing.Image.time_image" in text
    assert "worker_memory" in asv(copy, "show", compiled, "--machine", FOLDERS[0].name)


def test_asv_publishes_them(copy: Path) -> None:
    asv(copy, "publish", "--html-dir", str(copy / "html"))
    graphs = list((copy / "html" / "graphs").rglob("*time_image*.json"))
    assert graphs


def test_what_a_landmark_lacks_is_skipped_and_not_failed() -> None:
    """asv stores a skipped benchmark as NaN and a failed one as null."""
    for path in FOLDERS[0].glob("*-virtualenv-*.json"):
        stored = json.loads(path.read_text())
        values = {name: row[0] for name, row in stored["results"].items()}
        failed = [name for name, value in values.items() if value is None or None in value]
        assert not failed, (path.name, failed)

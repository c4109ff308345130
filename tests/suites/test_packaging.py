"""Both distributions as they would be published: an sdist that builds, one abi3 wheel, everything inside."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

ROOT = Path(__file__).parents[2]
TEMPLATES = "bench_harness/starter/templates"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows or would take, without what was built beside them."""
    folder = tmp_path_factory.mktemp("sources")
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def build(sources: Path, out: Path, *options: str) -> list[Path]:
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(out), str(sources)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(out.iterdir())


def test_bench_core(sources: Path, tmp_path: Path) -> None:
    """Without options, the wheel is built from the sdist: what MANIFEST.in forgets is missing there."""
    wheel, sdist = build(sources, tmp_path)
    assert "-cp310-abi3-" in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"bench_core/py.typed", "bench_core/_voxelizer.pyi", "bench_core/reference/voxels.py"} <= names
    assert [name for name in names if name.startswith("bench_core/_voxelizer.") and "abi3" in name]
    assert len([name for name in names if name.endswith(".cif.gz")]) == 14
    assert "bench_core/data/so3/thomson_cube.npz" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "bench_harness", "csrc"))]
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"csrc/{path.name}" for path in (ROOT / "csrc").glob("*.[ch]")} <= inside


def test_one_version_of_escnn_is_named_everywhere() -> None:
    files = ["Makefile", "pyproject.toml", "asv.conf.json", "bench_core/models/stock/importing.py", "README.md"]
    found = {file: set(re.findall(r"escnn==[\d.]+\d", (ROOT / file).read_text(encoding="utf-8"))) for file in files}
    assert all(versions == {"escnn==1.0.11"} for versions in found.values()), found


def test_bench_harness(sources: Path, tmp_path: Path) -> None:
    """The wheel is built from the sdist here too."""
    wheel, _ = build(sources / "bench_harness", tmp_path)
    assert not wheel.name.endswith("-any.whl")  # what is in C; without a compiler it is left out
    names = set(zipfile.ZipFile(wheel).namelist())
    for extension in ("_census", "_call_entries"):
        assert any(re.fullmatch(rf"bench_harness/{extension}\..*(so|pyd)", name) for name in names), extension
    modules = {f"bench_harness/{path.relative_to(ROOT / 'bench_harness')}" for path in modules_of("bench_harness")}
    assert modules <= names
    templates = {f"bench_harness/starter/templates/{path.name}" for path in (ROOT / TEMPLATES).iterdir()}
    assert len(templates) > 5
    assert templates <= names


def modules_of(package: str) -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", f"{package}/*.py"]
    return [ROOT / name for name in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]

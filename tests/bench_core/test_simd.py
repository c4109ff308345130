"""Choosing the kernel: by processor, by BENCH_CORE_SIMD, by name; and a build without the others."""

import os
import subprocess
import sys

import pytest

from bench_core import simd
from bench_core.errors import VoxelError

SHOW = "from bench_core import voxels; print(voxels.simd_variant(), *voxels.simd_variants())"
DRAW = "import bench_core; bench_core.voxelize_atoms([[0, 0, 0]], [0.5], [1], bench_core.Grid(1, 1.0), 1)"


def run_with(value, *command):
    environment = {**os.environ, simd.VARIABLE: value}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def restored():
    before = simd.simd_variant()
    yield
    simd.use_simd_variant(before)


def test_the_baseline_is_everywhere_and_the_best_is_chosen():
    assert simd.simd_variants()[0] == "baseline"
    assert set(simd.simd_variants()) <= set(simd.KNOWN_VARIANTS)
    chosen, *variants = run_with("", "-c", SHOW).stdout.split()
    assert chosen == variants[-1] == simd.simd_variants()[-1]


@pytest.mark.parametrize("name", simd.simd_variants())
def test_the_variable_overrides_the_choice(name):
    assert run_with(name, "-c", SHOW).stdout.split()[0] == name


def test_an_unknown_name_is_one_line_at_first_use():
    done = run_with("sse9", "-c", "import bench_core")
    assert (done.returncode, done.stderr) == (0, "")
    done = run_with("sse9", "-c", DRAW)
    why = "BENCH_CORE_SIMD=sse9: SIMD variant 'sse9' is unknown: choose one of baseline, avx2, avx512"
    assert done.stderr.splitlines()[-1] == f"bench_core.errors.VoxelError: {why}"


def test_the_command_line_says_so_too(tmp_path):
    done = run_with("sse9", "-m", "bench_core", "load", "--workers", "0", "--batches", "1", "--json")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("bench_core load: error: BENCH_CORE_SIMD=sse9:")
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["", "AVX2", "scalar", "neon"])
def test_unknown_names_change_nothing(name):
    before = simd.simd_variant()
    with pytest.raises(VoxelError, match="is unknown: choose one of baseline, avx2, avx512"):
        simd.use_simd_variant(name)
    assert simd.simd_variant() == before


@pytest.mark.parametrize("name", simd.simd_variants())
def test_using_a_variant(name, restored):
    simd.use_simd_variant(name)
    assert simd.simd_variant() == name


def test_variants_that_do_not_run_here_say_why(monkeypatch):
    monkeypatch.setattr(simd, "simd_variants", lambda: ("baseline",))
    with pytest.raises(VoxelError, match=r"cannot be used, .*: choose one of baseline$"):
        simd.use_simd_variant("avx512")

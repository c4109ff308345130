"""Choosing the kernel: by processor, by BENCH_CORE_SIMD, by name; and a build without the others."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from bench_core import Grid, simd, voxelize_atoms, voxels
from bench_core.errors import VoxelError

SHOW = "from bench_core import voxels; print(voxels.simd_variant(), *voxels.simd_variants())"
DRAW = "import bench_core; bench_core.voxelize_atoms([[0, 0, 0]], [0.5], [1], bench_core.Grid(1, 1.0), 1)"


def run_with(value, *command, **variables):
    environment = {**os.environ, simd.VARIABLE: value, **variables}
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


def draw_some():
    coords_A = np.random.default_rng(0).uniform(-3, 3, (200, 3))
    radii_A = np.linspace(0.1, 1.5, 200)
    return voxelize_atoms(coords_A, radii_A, np.ones(200, np.uint32), Grid(5, 1.0), 1, dtype=np.float64)


def send_what_is_used(connection):
    connection.send((simd.simd_variant(), voxels.describe(), draw_some()))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.parametrize("name", simd.simd_variants())
def test_forked_workers_inherit_the_variant(name, restored):
    simd.use_simd_variant(name)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    worker = context.Process(target=send_what_is_used, args=(theirs,))
    worker.start()
    try:
        assert ours.poll(60)
        inherited, described, image = ours.recv()
    finally:
        worker.join(60)
    assert (inherited, described) == (name, {"simd": name})
    np.testing.assert_array_equal(image, draw_some())


@pytest.mark.parametrize("name", simd.simd_variants())
def test_a_variant_holds_for_all_threads(name, restored):
    # Chosen in one thread, seen in one that was already there and in this one.
    chosen, seen = threading.Event(), []

    def look():
        chosen.wait(60)
        seen.append(simd.simd_variant())

    threads = [threading.Thread(target=look), threading.Thread(target=simd.use_simd_variant, args=(name,))]
    for thread in threads:
        thread.start()
    threads[1].join()
    chosen.set()
    threads[0].join()
    assert [*seen, simd.simd_variant()] == [name, name]


@pytest.mark.parametrize("name", simd.simd_variants())
def test_the_variant_stands_in_the_conditions_of_a_record(name, repository, tmp_path):
    pytest.importorskip("bench_harness")
    # The entry point as pyproject.toml declares it: what is installed may be of another checkout, or of none.
    lines = (repository / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    declared = lines[lines.index('[project.entry-points."bench_harness.metadata"]') + 1]
    info = tmp_path / "bench_core-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench_core\nVersion: 0\n", encoding="utf-8")
    entry_points = "[bench_harness.metadata]\n" + declared.replace('"', "")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    code = "import json; from bench_harness.environment import collect; print(json.dumps(collect()))"
    path = os.pathsep.join([str(tmp_path), str(repository), os.environ.get("PYTHONPATH", "")])
    collected, warnings = json.loads(run_with(name, "-c", code, PYTHONPATH=path).stdout)
    assert collected["bench_core"] == {"simd": name}
    assert not [line for line in warnings if "bench_core" in line]
    # A refused choice costs the measurement nothing but this entry.
    collected, warnings = json.loads(run_with("sse9", "-c", code, PYTHONPATH=path).stdout)
    assert "bench_core" not in collected
    assert any("BENCH_CORE_SIMD=sse9" in line for line in warnings)

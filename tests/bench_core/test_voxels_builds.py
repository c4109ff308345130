"""Other builds of the extension: without the kernels of AVX2 and AVX-512, and in plain C as for an unknown processor.

Both must build, say what they have, and draw what the normal build draws.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

SCENES = """
import sys
import numpy as np
from bench_core import Grid, ImageSpec, read_embedded, voxelize_atoms, voxelize_view
from bench_core.frames import random_rotation, view_frame

rng = np.random.default_rng(0)
images = {}
for length in (1, 2, 3, 9):
    for ratios in ((0.2, 0.5), (0.51, 1.7), (0.5, 0.5**0.5, 4.0)):
        radii = rng.choice(ratios, 60)
        reach = length / 2 + radii[:, np.newaxis]
        coords = rng.uniform(-reach, reach, (60, 3))
        coords[::7] = np.round(2 * coords[::7]) / 2
        masks = rng.integers(0, 8, 60).astype(np.uint32)
        for rules in ({}, {"aggregate": "max"}, {"fill": "overlap_A3"}, {"dtype": "f8"},
                      {"dtype": "f8", "precision": "float32"}):
            given = coords, radii, masks, Grid(length, 1.0), 3
            images[f"{length} {ratios} {rules}"] = voxelize_atoms(*given, **rules)
atoms = read_embedded("1pfe")
for dtype in ("f4", "f8"):
    for radius_A in (None, 1.7):
        image = ImageSpec(Grid(16, 1.0), [["C"], ["N"], ["O"], ["*"]], radius_A)
        frame = view_frame(random_rotation(rng), atoms.coords_A[100].astype(float))
        images[f"view {dtype} {radius_A}"] = voxelize_view(atoms, image, frame, dtype=dtype)
np.savez(sys.argv[1], **images)
"""
SHOW = "from bench_core import _voxelizer, simd; print(_voxelizer.__file__, *simd.simd_variants())"
N_ATOMS = 60  # of a scene, so many may touch a voxel; views have fewer in one


def run(folder, *command, **variables):
    """Run Python in a folder of sources, with the bench_core that is there."""
    environment = {**os.environ, "BENCH_CORE_SIMD": "", "PYTHONPATH": str(folder), **variables}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )


def build(sources, folder, **variables):
    """A copy of the sources with the extension built in place."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(sources / name, folder)
    for name in ("bench_core", "csrc"):
        shutil.copytree(sources / name, folder / name, ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    done = run(folder, "setup.py", "build_ext", "--inplace", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    module, *variants = run(folder, "-c", SHOW).stdout.split()
    assert Path(module).is_relative_to(folder)
    assert variants == ["baseline"]
    return folder


def draw(folder, to, **variables):
    done = run(folder, "-c", SCENES, str(to), **variables)
    assert done.returncode == 0, done.stderr
    with np.load(to) as images:
        return dict(images)


@pytest.fixture(scope="module")
def normal(repository, tmp_path_factory):
    """What the baseline kernel of the normal build draws."""
    folder = tmp_path_factory.mktemp("normal")
    images = draw(repository, folder / "images.npz", BENCH_CORE_SIMD="baseline")
    assert sum(image.any() for image in images.values()) > 60
    return images


@pytest.fixture(scope="module")
def baseline_only(repository, tmp_path_factory):
    return build(repository, tmp_path_factory.mktemp("baseline_only"), BENCH_CORE_BUILD_SIMD="0")


@pytest.fixture(scope="module")
def plain_c(repository, tmp_path_factory):
    flags = f"{os.environ.get('CFLAGS', '')} -DVOXELIZER_PLAIN_C"
    return build(repository, tmp_path_factory.mktemp("plain_c"), CFLAGS=flags)


def test_without_the_other_kernels_the_baseline_is_the_same_bit_for_bit(baseline_only, normal, tmp_path):
    images = draw(baseline_only, tmp_path / "images.npz")
    assert images.keys() == normal.keys()
    for name, image in images.items():
        np.testing.assert_array_equal(image, normal[name], err_msg=name)


@pytest.mark.parametrize("name", ["avx2", "avx512"])
def test_a_kernel_that_was_not_built_cannot_be_chosen(baseline_only, name):
    why = f"BENCH_CORE_SIMD={name}: SIMD variant '{name}' cannot be used, this build has no such kernel: "
    done = run(baseline_only, "-c", SCENES, os.devnull, BENCH_CORE_SIMD=name)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"bench_core.errors.VoxelError: {why}choose one of baseline"
    done = run(baseline_only, "-m", "bench_core", "load", "--workers", "0", "--batches", "1", BENCH_CORE_SIMD=name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"bench_core load: error: {why}choose one of baseline"


def test_plain_c_draws_the_same_but_for_rounding(plain_c, normal, tmp_path):
    images = draw(plain_c, tmp_path / "images.npz")
    assert images.keys() == normal.keys()
    for name, image in images.items():
        unit = 4 / 3 * np.pi * 4.0**3 if "overlap_A3" in name else 1.0
        atom = 2e-7 if "precision" in name else 4 * 2.0**-52
        allowed = N_ATOMS * atom * unit + (np.spacing(np.abs(image)) if image.dtype == np.float32 else 0)
        assert (np.abs(image.astype(np.float64) - normal[name]) <= allowed).all(), name

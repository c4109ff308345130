"""Where the two halves meet: bench vram predicts what a training step of our networks takes.

Of stock escnn models too: tests/bench_harness/test_vram_validation.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TARGET = """
from bench_core.models import Architecture, SteerableConv, build

def narrow(backend):
    layers = [SteerableConv(3, 5, 2), *(SteerableConv(copies, 3) for copies in (6, 8, 12, 14))]
    return build(Architecture("narrow", tuple(layers), 4, 21), backend=backend)
"""


@pytest.mark.slow
def test_the_peak_of_the_dense_backend_is_predicted(tmp_path: Path) -> None:
    (tmp_path / "narrow.py").write_text(TARGET, encoding="utf-8")
    vram = [
        sys.executable,
        "-m",
        "bench_harness",
        "vram",
        "narrow.py:narrow",
        "--input",
        "2,4,21,21,21",
        "--batch",
        "2",
    ]
    options = ["--arg", "backend=dense", "--check", "--json", "--out", "record"]
    done = subprocess.run([*vram, *options], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert abs(results["check"]["ratio"] - 1) < 0.02

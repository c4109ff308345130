"""docs/make/peers.py: its views are views, and without the peer it says what to install."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_core import Grid, ImageSpec

SCRIPT = Path(__file__).parents[2] / "docs" / "make" / "peers.py"


@pytest.fixture(scope="module")
def peers() -> Any:
    spec = importlib.util.spec_from_file_location("peers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(importlib.util.find_spec("macromol_voxelize") is not None, reason="the peer is installed")
def test_without_the_peer_it_says_what_to_do() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.strip() == "macromol_voxelize is not installed: see the head of this file"


def test_views_are_full_of_atoms_inside_the_box(peers: Any) -> None:
    image = ImageSpec(Grid(21, 0.75), peers.CHANNELS)
    seen = list(peers.views(image))
    assert len(seen) == 200
    assert 150 < np.mean([len(coords_A) for coords_A, *_ in seen]) < 250
    for coords_A, radii_A, channels, occupancies in seen:
        assert np.abs(coords_A).max() < 21 * 0.75 / 2 + 0.375
        assert len(coords_A) == len(radii_A) == len(channels) == len(occupancies)
        assert channels.min() >= 0
        assert channels.max() < 6

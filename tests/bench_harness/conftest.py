"""What several test files measure with."""

from __future__ import annotations

import functools
import multiprocessing.process
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_capture import Capture
from profiled_scripts import Bench, profile

from bench_harness.capture.pipeline import hooks


@pytest.fixture
def capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Capture]:
    """The hooks in this process, and in the workers that it starts."""
    runtime = Capture(tmp_path)
    original = multiprocessing.process.BaseProcess.start
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", lambda self: runtime.start(self, original))
    runtime.install()
    yield runtime
    hooks.uninstall()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Writes a script, and profiles it."""
    return functools.partial(profile, tmp_path)

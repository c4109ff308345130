"""py-spy beside a target: how the target's start waits for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench_harness.capture import outside
from bench_harness.capture.plan import Plan
from bench_harness.errors import MissingPackageError

pytestmark = pytest.mark.timeout(60)


def test_the_target_starts_once_py_spy_samples(tmp_path: Path) -> None:
    """py-spy says so on stdout or on stderr, by its version; who listens to the other one waits in vain."""
    try:
        outside.find_py_spy()
    except MissingPackageError as error:
        pytest.skip(str(error))
    watcher = outside.Watcher(Plan(str(tmp_path), engine="py-spy", interval_s=0.01))
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as target, watcher.attached(target.pid):
        said = (tmp_path / "py-spy.log").read_text()
        target.communicate(b"\n")
    if "ermission" in said or "rror:" in said:
        pytest.skip(f"py-spy may not look into processes here: {said}")
    assert "Sampling process" in said

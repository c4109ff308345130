"""tests/kernels/gate.sh: two Pythons in turns, and bench compare on what they wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# So short that nothing can be told from it; the verdict is not the point here.
BRIEF = "--benchmark-max-time=0.002 --benchmark-min-rounds=2 --benchmark-warmup=off"


def gate(tmp_path: Path, base: str, head: str) -> subprocess.CompletedProcess[str]:
    # In a worker of pytest-xdist pytest-benchmark would time nothing.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    variables = ours | {"OUT": str(tmp_path / "out"), "PYTEST_ADDOPTS": BRIEF, "PYTHONPATH": str(ROOT)}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(ROOT / "tests" / "kernels" / "gate.sh"), base, head, "2"]
    return subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.slow
def test_both_sides_are_timed_in_turns_and_judged(tmp_path: Path) -> None:
    done = gate(tmp_path, sys.executable, sys.executable)
    assert done.returncode in (0, 1, 4), done.stderr
    record = json.loads((tmp_path / "out" / "compare" / "record.json").read_text())
    found = {(each["name"], tuple(each["params"].items())): each for each in record["results"]["benchmarks"]}
    assert len(found) == 4
    assert {(each["metric"], each["rounds"], each["paired"]) for each in found.values()} == {("cpu_s", 2, True)}
    assert "2 files of base and 2 of head, in turns" in done.stdout


def test_a_side_that_cannot_be_timed_is_shown(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no bench_core here\nexit 1\n")
    broken.chmod(0o755)
    done = gate(tmp_path, str(broken), sys.executable)
    assert (done.returncode, done.stderr) == (3, "no bench_core here\n")

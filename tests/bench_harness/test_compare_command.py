"""`bench compare` as a process: verdicts, exit codes, record, refusals."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench_harness.record import Record

# Tells a number of its own that varies a little, so that verdicts do not depend on the machine: head is 10 % more.
TELLING = """
import json, os, random, sys
value = float(sys.argv[1]) * random.SystemRandom().gauss(1, 0.005)
with open(os.environ["BENCH_COMPARE_REPORT"], "a") as file:
    file.write(json.dumps({"metric": "cpu_s", "value": value}) + chr(10))
"""


def bench_compare(cwd: Path, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(cwd.parent)}
    command = [sys.executable, "-m", "bench_harness", "compare", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=timeout_s, check=False
    )


@pytest.fixture
def telling(tmp_path: Path) -> Any:
    """A function that returns the command of a program that tells a number."""
    script = tmp_path / "telling.py"
    script.write_text(TELLING)
    return lambda value: shlex.join([sys.executable, "-I", "-S", str(script), str(value)])


def test_a_regression_from_the_command_to_the_record(tmp_path: Path, telling: Any) -> None:
    arguments = ("--a", telling(1), "--b", telling(1.1), "--metric", "cpu_s", "--seed", "3", "--out", "run")
    done = bench_compare(tmp_path, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "REGRESSION" in done.stdout
    assert "Noise certificate: each side against itself" in done.stdout
    record = Record.read(tmp_path / "run")
    assert record.completed
    (row,) = record.results["benchmarks"]
    assert (row["name"], row["metric"], row["unit"], row["verdict"]) == ("command", "cpu_s", "s", "regression")
    assert row["confirmed"]
    assert 1.03 < row["ci"][0] < row["ratio"] < row["ci"][1] < 1.17
    assert row["b"] / row["a"] == pytest.approx(row["ratio"], rel=0.01)  # the ratio is trimmed
    assert row["rounds"] == len(row["samples"]["a"]) + len(row["samples"]["confirm_a"])
    assert row["aa"]["verdict"] in ("fine", "undecided")
    assert row["aa"]["ratio"] == pytest.approx(1, abs=0.03)
    certificate = record.results["certificate"]
    assert certificate["rounds"] == row["rounds"] + 1 == len(certificate["orders"])  # the first is left out
    assert certificate["seed"] == 3
    assert certificate["body_s"] > 0
    assert record.results["head"] == {"commit": None, "label": telling(1.1)}


def test_no_difference_is_a_result(tmp_path: Path, telling: Any) -> None:
    done = bench_compare(tmp_path, "--a", telling(1), "--b", telling(1), "--metric", "cpu_s", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["results"]["benchmarks"]
    assert row["verdict"] == "fine"
    assert row["words"].startswith("no relevant difference within +-2 % (90 % CI ")
    assert len(list((tmp_path / "profiles" / "compare").glob("*/record.json"))) == 1


def test_better_is_fine_and_markdown_is_a_table(tmp_path: Path, telling: Any) -> None:
    done = bench_compare(tmp_path, "--a", telling(1.2), "--b", telling(1), "--metric", "cpu_s", "--markdown")
    assert (done.returncode, done.stderr) == (0, "")
    assert "| benchmark | metric | a | b | ratio [CI] | verdict | rounds |" in done.stdout
    assert "| improvement |" in done.stdout


def test_noise_beyond_the_budget_is_undecided(tmp_path: Path, telling: Any) -> None:
    noisy = Path(tmp_path, "telling.py")
    noisy.write_text(TELLING.replace("0.005", "0.1"))
    done = bench_compare(tmp_path, "--a", telling(1), "--b", telling(1), "--metric", "cpu_s", "--rounds-max", "6")
    assert done.returncode == 4, done.stdout
    assert "rounds would decide" in done.stdout


def test_failing_on_head_alone_is_an_alarm_and_on_base_no_measurement(tmp_path: Path) -> None:
    good, bad = shlex.join([sys.executable, "-c", ""]), shlex.join([sys.executable, "-c", "raise SystemExit('oh no')"])
    done = bench_compare(tmp_path, "--a", good, "--b", bad)
    assert done.returncode == 1
    assert "command all: failed on head: exit code 1: oh no" in done.stdout
    done = bench_compare(tmp_path, "--a", bad, "--b", good, "--out", "base")
    assert done.returncode == 3
    assert Record.read(tmp_path / "base").results["benchmarks"][0]["failed"] == {"a": "exit code 1: oh no"}
    done = bench_compare(tmp_path, "--a", bad, "--b", bad)
    assert done.returncode == 3
    assert "command all: failed on both sides: exit code 1: oh no" in done.stdout


def test_too_long_is_a_failure(tmp_path: Path) -> None:
    done = bench_compare(tmp_path, "--a", "sleep 0", "--b", "sleep 100", "--timeout", "0.3")
    assert done.returncode == 1
    assert "took longer than 0.3 s and was ended" in done.stdout


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path, telling: Any) -> None:
    (tmp_path / "telling.py").write_text(TELLING.replace("0.005", "0.3"))
    count = tmp_path / "count"
    with Path(tmp_path, "telling.py").open("a") as file:
        file.write(f"open({str(count)!r}, 'a').write('x')\n")
    arguments = ["--a", telling(1), "--b", telling(1), "--metric", "cpu_s", "--out", "run", "--budget", "10m"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench_harness", "compare", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 50
    while not (count.exists() and len(count.read_text()) > 12) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130, out
    assert "warning: it did not run to its end" in out
    record = Record.read(tmp_path / "run")
    assert not record.completed
    assert len(record.results["benchmarks"][0]["samples"]["a"]) >= 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--a", "true"], "two sides to compare: BASE HEAD, two commits, or --a 'BASE COMMAND' --b 'HEAD COMMAND'"),
        (["--a", "true", "--b", "true", "--metric", "cpus"], "--metric cpus: did you mean 'cpu_s'?"),
        (["--a", "true", "--b", "true", "--budget", "soon"], "--budget soon: expected a time above 0"),
        (["--a", "true", "--b", "true", "--budget", "0"], "--budget 0: expected a time above 0"),
        (["--a", "true", "--b", "true", "--effect", "2"], "--effect '2', expected a percentage"),
        (["--a", "true", "--b", "true", "--rounds-max", "1"], "--rounds-max 1: expected an integer of at least 2"),
        (["--a", "true | cat", "--b", "true"], "needs a shell; add --shell"),
        (["--a", "true", "--b", "true", "--metric", "calls"], "calls are counted in Python programs"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = bench_compare(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("bench: error: ")
    assert words in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())

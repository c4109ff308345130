"""The CPU clock of a process and all below it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench_harness.verdict.asv_clocks import Clocks, cpu_below_ns

SPIN = "import time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True)\n"


def test_a_child_counts_once_while_it_lives_as_a_zombie_and_waited_for() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the clocks of others are read through Linux's clock ids")
    before_ns = cpu_below_ns()
    child = subprocess.Popen(
        [sys.executable, "-c", SPIN + "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    living_ns = cpu_below_ns() - before_ns
    child.stdin.write("\n")
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    zombie_ns = cpu_below_ns() - before_ns
    child.wait()
    child.stdout.close()
    ended_ns = cpu_below_ns() - before_ns
    assert 200e6 <= living_ns <= zombie_ns <= ended_ns + 1e6  # getrusage rounds to microseconds
    assert ended_ns < 2 * 200e6 + zombie_ns - living_ns


def test_a_grandchild_counts() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the clocks of others are read through Linux's clock ids")
    text = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPIN + 'input()'!r}])"
    before_ns = cpu_below_ns()
    child = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    assert cpu_below_ns() - before_ns >= 200e6
    child.communicate("\n", timeout=20)
    assert cpu_below_ns() - before_ns >= 200e6


def test_sleeping_is_wall_and_computing_is_both() -> None:
    clocks = Clocks()
    clocks.start()
    until = time.process_time() + 0.02
    while time.process_time() < until:
        pass
    clocks.stop()
    assert clocks.cpu_s >= 0.02
    computed_s = clocks.cpu_s
    clocks.start()
    time.sleep(0.05)
    clocks.stop()
    assert clocks.wall_s >= 0.07
    assert clocks.cpu_s - computed_s < 0.05

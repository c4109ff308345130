"""py-spy beside a target: how the target's start waits for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench_harness.capture import outside
from bench_harness.capture.plan import Plan
from bench_harness.errors import MissingPackageError
from bench_harness.profiles.waiting_functions import THREAD_FILE
from bench_harness.record import Record
from bench_harness.segments import Stacks, read_segments

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


def test_threads_side_by_side_are_no_longer_than_one() -> None:
    frames = [("main", "a.py", 1), ("thread feeder", THREAD_FILE, 0), ("step", "a.py", 9)]
    stacks = Stacks(0.01, frames, [[0], [0, 2], [1, 2], []], [1.0, 1.5, 3.0, 0.25])
    assert outside.seconds_watched(stacks) == 3.0
    stacks.weights_s[1] = 2.5
    assert outside.seconds_watched(stacks) == 3.75
    assert outside.seconds_watched(Stacks(0.01, [], [], [])) == 0.0


def test_processes_of_a_running_program_are_called_by_their_pids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which worker of which loader each is cannot be seen; and two threads of one name last no longer than one."""
    frames = [("main", "a.py", 1), ("thread QueueFeederThread", THREAD_FILE, 0)]
    stacks = Stacks(0.01, frames, [[0], [1]], [2.0, 4.0])
    monkeypatch.setattr(outside, "stacks_by_process", lambda raw: {70: stacks, 71: stacks})
    monkeypatch.setattr(outside, "_process_name", lambda pid: "pt_data_worker")
    monkeypatch.setattr(outside, "_command", lambda interval_s: [])
    monkeypatch.setattr(outside.subprocess, "run", lambda *_, **__: (tmp_path / "py-spy.json").touch())
    outside.watch_running(70, 2.0, Plan(str(tmp_path), engine="py-spy", interval_s=0.01))
    main, worker = read_segments(tmp_path)
    assert main.state is not None
    assert main.state.wall_s == 2.0
    assert (worker.identity.role, worker.identity.worker) == ("worker", None)
    assert worker.identity.label() == "worker-pid-71"


def test_a_py_spy_that_may_not_look_is_a_failed_measurement(tmp_path: Path) -> None:
    """As in a container without ptrace: the exit code must not be that of a run that was sampled."""
    spy = tmp_path / "py-spy"
    spy.write_text("#!/bin/sh\necho 'Error: Permission Denied (os error 13)' >&2\nexit 1\n")
    spy.chmod(0o700)
    (tmp_path / "script.py").write_text("print('ran')\n")
    code = (
        "import sys; from bench_harness.capture import outside; from bench_harness.__main__ import main; "
        f"outside.find_py_spy = lambda: {str(spy)!r}; "
        "sys.exit(main(['profile', '--engine', 'py-spy', '--out', 'run', 'script.py']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=50)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "ran" in done.stdout
    assert "Permission Denied" in done.stdout + done.stderr
    record = Record.read(tmp_path / "run")
    assert not record.completed
    assert record.results["exit"] == {"code": 0, "signal": None}

"""A program does under `bench profile` what it does without: what the harness needs must not be noticed."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench_harness.record import Record

pytestmark = pytest.mark.timeout(120)
BENCH = (sys.executable, "-m", "bench_harness", "profile")
INSIDE = ["cprofile", "pyinstrument", "none", *(["monitoring"] if sys.version_info >= (3, 12) else [])]


@dataclass
class Done:
    """A run of `bench profile`."""

    code: int
    out: list[str]
    err: str
    folder: Path

    @property
    def record(self) -> Record:
        """The record that it left."""
        return Record.read(self.folder)

    def calls(self, process: str) -> dict[str, int | None]:
        """Return the calls of the program's own functions."""
        rows = self.record.results["functions"]
        return {row["name"]: row["calls"] for row in rows if row["process"] == process and row["own"]}


Bench = Callable[..., Done]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a function that writes a script and profiles it."""

    def run(script: str, *arguments: str, options: tuple[str, ...] = (), **extra: Any) -> Done:
        (tmp_path / "script.py").write_text(textwrap.dedent(script))
        command = [*BENCH, "--out", str(tmp_path / "run"), *options, "script.py", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, **{"timeout": 60, **extra})
        return Done(done.returncode, done.stdout.splitlines(), done.stderr, tmp_path / "run")

    return run


def test_a_thread_may_start_processes(bench: Bench) -> None:
    """A pool replaces its workers from a thread: from Python 3.12 on one profiler is active in all threads."""
    script = """
    import multiprocessing, threading
    def work():
        pass
    def start():
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        print(process.exitcode)
    if __name__ == "__main__":
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
    """
    done = bench(script)
    assert done.out[0] == "0", done.err
    assert done.calls("processes")["work"] == 1


@pytest.mark.parametrize("engine", INSIDE)
def test_a_program_that_waits_for_every_thread_ends(bench: Bench, engine: str) -> None:
    script = """
    import threading, time
    threading.Thread(target=time.sleep, args=(0.1,)).start()
    time.sleep(1.2)
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    print(threading.active_count(), [thread.name for thread in threading.enumerate()])
    """
    done = bench(script, options=("--engine", engine), timeout=20)
    assert done.out[0] == "1 ['MainThread']", done.err

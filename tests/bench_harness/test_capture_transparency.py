"""A program does under `bench profile` what it does without: what the harness needs must not be noticed."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench_harness.__main__ import main
from bench_harness.commands import profile
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


def plain(folder: Path, *arguments: str, **extra: Any) -> subprocess.CompletedProcess[str]:
    """Run Python without us."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, **extra)


NAMESPACE = """
    print(sorted(globals()), type(__builtins__).__name__, __cached__)
    import sys
    print(sys.excepthook is sys.__excepthook__, sys.orig_argv, sys.argv, __spec__ and __spec__.name)
"""


@pytest.mark.parametrize("how", [["script.py"], ["-m", "script"]])
def test_a_program_finds_the_namespace_that_it_finds_without_us(bench: Bench, tmp_path: Path, how: list[str]) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(NAMESPACE))
    without = plain(tmp_path, *how, "--x").stdout.splitlines()
    command = [*BENCH, "--out", "run", *how, "--x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.splitlines()[:2] == without, done.stderr


FAILURES = {
    "syntax": "def f(:\n",
    "chained": "def f():\n    1 / 0\ntry:\n    f()\nexcept ZeroDivisionError as e:\n    raise KeyError(1) from e\n",
    "own hook": (
        "import sys, traceback\ndef hook(kind, error, tb):\n    print([f.name for f in traceback.extract_tb(tb)],"
        " error, [f.name for f in traceback.extract_tb(error.__traceback__)], file=sys.stderr)\n"
        "sys.excepthook = hook\ndef f():\n    1 / 0\nf()\n"
    ),
    "at exit": "import atexit, sys\natexit.register(lambda: 1 / 0)\n",
    "in a thread": "import threading\nthreading.Thread(target=lambda: 1 / 0, name='t').start()\n",
}


@pytest.mark.parametrize("script", FAILURES.values(), ids=FAILURES)
def test_a_failure_reads_as_it_does_without_us(bench: Bench, tmp_path: Path, script: str) -> None:
    done = bench(script)
    without = plain(tmp_path, "script.py")
    addresses = re.compile("0x[0-9a-f]+")
    assert addresses.sub("", done.err) == addresses.sub("", without.stderr)
    assert done.code == without.returncode


def test_threads_that_outlive_the_script_are_captured(bench: Bench) -> None:
    """Python waits for them before it ends; processes that they start then are captured too."""
    script = """
    import multiprocessing, threading, time
    def work():
        pass
    def later():
        time.sleep(0.3)
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
    if __name__ == "__main__":
        threading.Thread(target=later).start()
    """
    done = bench(script)
    assert done.calls("processes")["work"] == 1
    assert done.record.results["processes"][0]["wall_s"] > 0.3
    assert done.record.completed


def test_a_failure_is_shown_before_threads_are_waited_for(bench: Bench) -> None:
    script = """
    import sys, threading, time
    threading.Thread(target=lambda: (time.sleep(0.5), print("thread ended", file=sys.stderr))).start()
    1 / 0
    """
    done = bench(script)
    assert done.err.splitlines()[-1] == "thread ended"
    assert "ZeroDivisionError" in done.err
    assert done.record.results["processes"][0]["reason"] == "exception"


LOSES_THE_FOLDER = """
    import multiprocessing, os, resource, shutil, signal, sys, time
    def work():
        pass
    def lose():
        shutil.rmtree("run")
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    if __name__ == "__main__":
        globals()[sys.argv[1]]()
        time.sleep(0.6)
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        print(process.exitcode, flush=True)
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(15,))
        process.start()
        process.terminate()
        process.join()
        print(process.exitcode, flush=True)
        {end}
"""


@pytest.mark.parametrize("how", ["lose", "limit"])
@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(5)", 5), ("os._exit(6)", 6), ("os.kill(os.getpid(), signal.SIGTERM)", 143)]
)
def test_a_run_folder_that_cannot_be_written_disturbs_nobody(bench: Bench, how: str, end: str, code: int) -> None:
    done = bench(LOSES_THE_FOLDER.format(end=end), how)
    assert done.out[:2] == ["0", "-15"], done.err
    assert "Traceback" not in done.err
    assert done.code == (3 if how == "lose" else code)  # nothing is left to merge
    if how == "limit":
        assert any("File too large" in line for line in done.record.warnings) or not done.record.completed


def test_a_process_that_could_not_be_started_is_not_missing(bench: Bench) -> None:
    script = """
    import multiprocessing
    if __name__ == "__main__":
        try:
            multiprocessing.get_context("spawn").Process(target=lambda: None).start()
        except Exception as error:
            print(type(error).__name__)
    """
    done = bench(script)
    assert "Error" in done.out[0]
    assert done.record.workers == {"expected": 0, "delivered": 0, "missing": []}


def test_a_process_may_be_terminated_as_soon_as_it_is_started(bench: Bench) -> None:
    """Python forgets signals that a forked child gets before it is ready: our handlers must not make it do so."""
    script = """
    import multiprocessing, os, signal, time
    if __name__ == "__main__":
        for _ in range(20):
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(15,))
            process.start()
            os.kill(process.pid, signal.SIGTERM)
            process.join(10)
            print(process.exitcode)
            process.kill()
    """
    assert bench(script, options=("--engine", "none")).out[:20] == ["-15"] * 20


def test_signals_are_left_to_who_waits_for_them(bench: Bench) -> None:
    """A signal that the program blocks to wait for it must not be delivered to a thread of ours instead."""
    script = """
    import os, signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    for number in (signal.SIGALRM, signal.SIGTERM):
        os.kill(os.getpid(), number)
        print(signal.sigwait({number}) == number)
    """
    done = bench(script)
    assert (done.out[:2], done.code) == (["True", "True"], 0), done.err


def test_folders_of_other_people_are_not_removed(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "run" / "processes").mkdir(parents=True)
    (tmp_path / "run" / "processes" / "mine.txt").write_text("mine")
    done = bench("print('never')")
    assert (done.code, done.out) == (2, [])
    assert "processes is of no earlier profile" in done.err
    assert (tmp_path / "run" / "processes" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments", [["--engine", "py-spy", "script.py"], ["--engine", "pyinstrument", "script.py"], ["--pid", "1"]]
)
def test_a_missing_profiler_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyinstrument", None)
    (tmp_path / "script.py").write_text("")
    assert main(["profile", *arguments]) == 2
    assert "is not installed; try: pip install 'bench_harness[sampling]'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_an_unknown_process_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["profile", "--pid", "99999999"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_segments_stay_until_the_record_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that is killed before can be made up for by --merge."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text("")
    seen = []

    def keep(record: Record, folder: Path, root: Path) -> Record:
        seen.extend(path.name for path in (folder / "segments").iterdir())
        return record

    monkeypatch.setattr(profile, "keep_record", keep)
    assert main(["profile", "--out", "run", "script.py"]) == 0
    assert "main.announced.json" in seen
    assert not (tmp_path / "run" / "segments").exists()
    assert not (tmp_path / "run" / ".segments").exists()

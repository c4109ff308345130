"""A program does under `bench profile` what it does without: what the harness needs must not be noticed."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import zipapp
from pathlib import Path
from typing import Any

import pytest
from profiled_scripts import BENCH, Bench, own_calls

pytestmark = pytest.mark.timeout(120)
INSIDE = ["cprofile", "pyinstrument", "none", *(["monitoring"] if sys.version_info >= (3, 12) else [])]


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
    assert done.lines[0] == "0", done.err
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
    assert done.lines[0] == "1 ['MainThread']", done.err


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


@pytest.mark.parametrize("how", [["script.py"], ["other/script.py"], ["-m", "script"]])
def test_modules_of_the_programs_folder_are_its_own(tmp_path: Path, how: list[str]) -> None:
    """Those of the standard library that we import must not take their place, nor they that of ours."""
    names = ("profile", "resource", "pstats", "psutil", "queue", "record", "segments")
    for name in names:
        (tmp_path / f"{name}.py").write_text(f"print('own {name}')\n")
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        (folder / "script.py").write_text("print('up')\nimport profile, queue, resource\n")
    without = plain(tmp_path, *how).stdout.splitlines()
    # As the command `bench`: `python -m bench_harness` itself has the current folder on its path.
    arguments = ["profile", "--out", "run", *how]
    code = f"import sys; sys.path.remove(''); from bench_harness.__main__ import main; sys.exit(main({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.splitlines()[: len(without)] == without, done.stderr


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_a_folder_or_an_archive_is_run_as_python_runs_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(
        textwrap.dedent(NAMESPACE) + "print(__package__, sys.path[0], __file__)"
    )
    name = "app"
    if kind == "archive":
        name = "app.pyz"
        zipapp.create_archive(tmp_path / "app", tmp_path / name)
    without = plain(tmp_path, name, "x").stdout.splitlines()
    command = [*BENCH, "--out", "run", name, "x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.splitlines()[:3] == without, done.stderr


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    script = os.fsdecode(os.fsencode(tmp_path) + b"/n\xff.py")
    Path(script).write_text("def work():\n    pass\nwork()\nimport sys\nprint(ascii(sys.argv[1:]))\n")
    command: list[str | bytes] = [*BENCH, "--out", "run", script, b"a\xfe"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.splitlines()[0] == r"['a\udcfe']", done.stderr
    assert done.returncode == 0, done.stderr
    assert own_calls(tmp_path / "run", "main")["work"] == 1


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
    assert done.lines[:2] == ["0", "-15"], done.err
    assert "Traceback" not in done.err
    assert done.code == (3 if how == "lose" else code)  # nothing is left to merge
    if how == "limit":
        # Nothing could be written from then on, this warning neither: a first dump may have come before.
        assert any(re.match("main (left nothing|is partial)", line) for line in done.record.warnings)


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
    assert "Error" in done.lines[0]
    assert done.record.workers == {"expected": 0, "delivered": 0, "missing": []}


def test_a_process_may_be_terminated_as_soon_as_it_is_started(bench: Bench) -> None:
    """Python forgets signals that a forked child gets before it is ready: our handlers must not make it do so.

    It naps: a signal that comes between Python's last look for one and a long sleep is handled after that.
    """
    script = """
    import multiprocessing, os, signal, time
    def nap():
        for _ in range(1500):
            time.sleep(0.01)
    if __name__ == "__main__":
        for _ in range(20):
            process = multiprocessing.get_context("fork").Process(target=nap)
            process.start()
            os.kill(process.pid, signal.SIGTERM)
            process.join(10)
            print(process.exitcode)
            process.kill()
    """
    assert bench(script, options=("--engine", "none")).lines[:20] == ["-15"] * 20


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
    assert (done.lines[:2], done.code) == (["True", "True"], 0), done.err


def test_the_descriptors_of_ended_processes_are_closed_without_garbage_collection(bench: Bench) -> None:
    script = """
    import gc, multiprocessing, os
    gc.disable()
    if __name__ == "__main__":
        for _ in range(20):
            process = multiprocessing.get_context("fork").Process(target=print)
            process.start()
            process.join()
        print(len(os.listdir("/proc/self/fd")) < 20)
    """
    assert bench(script).lines[20] == "True"


def test_a_process_object_can_be_pickled_by_its_own_process(bench: Bench) -> None:
    script = """
    import multiprocessing, pickle
    class Worker(multiprocessing.get_context("fork").Process):
        def run(self):
            print(sorted(self.__dict__))
    if __name__ == "__main__":
        worker = Worker()
        print(sorted(worker.__dict__))
        worker.start()
        worker.join()
    """
    done = bench(script)
    assert "run" not in done.lines[1]
    assert done.calls("processes")["run"] == 1


def test_orphans_of_the_program_are_left_alone_and_reaped(bench: Bench) -> None:
    """It may look for the end of a daemon of its own by its pid, and leave one running."""
    script = """
    import os, signal, time
    def daemon():
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writing, str(os.getpid()).encode())
                os.close(0), os.close(1), os.close(2)
                time.sleep(30)
            os._exit(0)
        os.wait()
        return int(os.read(reading, 100))
    pid = daemon()
    os.kill(pid, signal.SIGKILL)
    try:
        for _ in range(200):
            os.kill(pid, 0)
            time.sleep(0.01)
    except ProcessLookupError:
        print("gone")
    print(daemon())
    """
    done = bench(script, timeout=25)
    assert done.lines[0] == "gone"
    os.kill(int(done.lines[1]), signal.SIGKILL)  # it still runs


def test_garbage_collection_is_as_the_program_left_it(bench: Bench) -> None:
    script = """
    import gc, time
    exec("\\n".join(f"def f{n}(): pass" for n in range(20000)))
    for n in range(20000):
        globals()[f"f{n}"]()
    seen = set()
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        seen.add(gc.isenabled())
    print(seen)
    """
    assert bench(script).lines[0] == "{True}"


def test_a_program_may_profile_itself(bench: Bench) -> None:
    script = """
    import cProfile, io, pstats
    def inner():
        pass
    def outer():
        pass
    outer()
    for _ in range(2):
        profile = cProfile.Profile()
        profile.enable()
        inner()
        profile.disable()
        print(sum(row[1] for key, row in pstats.Stats(profile).stats.items() if key[2] == "inner"))
        with cProfile.Profile() as profile:
            inner()
        outer()
    """
    done = bench(script)
    assert done.lines[:2] == ["1", "1"], done.err
    assert done.calls("main")["outer"] == 3
    assert any("profiled itself" in line for line in done.record.warnings)


def test_a_profiler_that_takes_the_place_of_ours_is_told(bench: Bench) -> None:
    done = bench("import sys\nsys.setprofile(lambda *a: None)\nprint('fine')\n")
    assert done.lines[0] == "fine"
    if sys.version_info < (3, 12):
        assert any("took cProfile's place" in line for line in done.record.warnings)

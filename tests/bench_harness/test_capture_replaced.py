"""A process that replaces itself by another program is kept up to then, and goes on where it could not."""

import sys

import pytest
from profiled_scripts import Bench

pytestmark = pytest.mark.timeout(60)
INSIDE = ["cprofile", "pyinstrument", "none", *(["monitoring"] if sys.version_info >= (3, 12) else [])]


@pytest.mark.parametrize(
    "call",
    [
        "os.execv(sys.executable, command)",
        "os.execve(path=sys.executable, argv=command, env=os.environ)",
        "os.execlp(sys.executable, *command)",
    ],
)
def test_what_a_program_did_before_it_replaced_itself_is_kept(bench: Bench, call: str) -> None:
    script = f"""
    import os, sys
    def before():
        command = [sys.executable, "-c", "print('anew'); raise SystemExit(4)"]
        {call}
    before()
    """
    done = bench(script)
    assert (done.lines[0], done.code) == ("anew", 4), done.err
    assert done.calls("main")["before"] == 1
    [main] = done.record.results["processes"]
    assert main["reason"] in ("os.execv", "os.execve")


def test_a_process_of_a_pool_may_replace_itself(bench: Bench) -> None:
    script = """
    import multiprocessing, os, sys
    def work():
        os.execv(sys.executable, [sys.executable, "-c", "raise SystemExit(5)"])
    if __name__ == "__main__":
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        print(process.exitcode)
    """
    done = bench(script)
    assert done.lines[0] == "5", done.err
    assert done.calls("processes")["work"] == 1
    workers = done.record.workers
    assert workers is not None
    assert (workers["expected"], workers["delivered"], workers["missing"]) == (1, 1, [])


@pytest.mark.parametrize("engine", INSIDE)
def test_a_process_that_could_not_replace_itself_is_captured_further(bench: Bench, engine: str) -> None:
    """A file that may be run and is no program, from main and from a thread; one that is not there; no file at all."""
    script = """
    import os, sys, threading, time
    def replace(path, kind):
        try:
            os.execvp(path, [path])
        except kind as error:
            print(type(error).__name__)
    def after():
        end = time.perf_counter() + 0.7
        while time.perf_counter() < end:
            pass
    with open("broken", "w") as file:
        file.write("no program")
    os.chmod("broken", 0o755)
    replace("./broken", OSError)
    thread = threading.Thread(target=replace, args=("./broken", OSError))
    thread.start()
    thread.join()
    replace("./nothing", FileNotFoundError)
    replace(5.5, TypeError)
    after()
    """
    done = bench(script, options=("--engine", engine))
    assert done.code == 0, done.err
    assert done.lines[:4] == ["OSError", "OSError", "FileNotFoundError", "TypeError"]
    [main] = done.record.results["processes"]
    assert (main["reason"], main["wall_s"] > 0.7) == ("exit", True)
    assert "ended from another thread" not in done.out
    if engine != "none":
        assert "after" in done.calls("main")
    if engine in ("cprofile", "monitoring"):
        assert done.calls("main")["after"] == 1

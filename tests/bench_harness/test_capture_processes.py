"""Every process that a program starts is captured, and the program runs as if we were not there."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from profiled_scripts import BENCH, Bench, own_calls

from bench_harness.record import Record

pytestmark = pytest.mark.timeout(120)
THREADS_APART = sys.version_info < (3, 12)


WORK = """
    import multiprocessing, os, signal, sys, threading, time
    from concurrent.futures import ProcessPoolExecutor

    def work(n):
        time.sleep(0.005)  # a pool ends its workers once it has the results: all of them shall have begun by then
        return sum(k * k for k in range(200 + n % 2))

    def child():
        process = multiprocessing.get_context("fork").Process(target=grandchild)
        process.start()
        process.join()

    def grandchild():
        for n in range(7):
            work(n)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pool_is_captured(bench: Bench, method: str) -> None:
    script = f"""{WORK}
    if __name__ == "__main__":
        with multiprocessing.get_context("{method}").Pool(2) as pool:
            print(len(pool.map(work, range(50))))
    """
    done = bench(script)
    assert (done.code, done.lines[0]) == (0, "50"), done.err
    assert done.calls("processes")["work"] == 50
    assert done.record.workers == {"expected": 2, "delivered": 2, "missing": []}
    assert done.record.completed


def test_an_executor_is_captured(bench: Bench) -> None:
    script = f"""{WORK}
    if __name__ == "__main__":
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            list(pool.map(work, range(30)))
    """
    assert bench(script).calls("processes")["work"] == 30


def test_processes_of_processes_are_captured(bench: Bench) -> None:
    script = f"""{WORK}
    if __name__ == "__main__":
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
    """
    done = bench(script, options=("--keep-all",))
    assert done.calls("processes")["work"] == 7
    serials = sorted(path.name.removesuffix(".announced.json") for path in (done.folder / "segments").glob("*.ann*"))
    assert serials == ["main", "main.1", "main.1.1"]


def test_a_process_that_the_program_forks_by_itself_spoils_nothing(bench: Bench) -> None:
    script = f"""{WORK}
    work(0)
    pid = os.fork()
    if pid == 0:
        for n in range(100):
            work(n)
        os._exit(0)
    os.waitpid(pid, 0)
    time.sleep(0.6)
    work(1)
    """
    done = bench(script)
    assert done.calls("main")["work"] == 2
    assert done.record.results["processes"][0]["reason"] == "exit"


@pytest.mark.skipif(not THREADS_APART, reason="cProfile is one tool for all threads from Python 3.12 on")
def test_threads_are_kept_apart(bench: Bench) -> None:
    script = f"""{WORK}
    thread = threading.Thread(target=lambda: [work(n) for n in range(20)])
    thread.start()
    thread.join()
    work(0)
    """
    done = bench(script)
    assert done.calls("main")["work"] == 1
    assert done.calls("main threads")["work"] == 20


SEEN = """
    import json, os, sys
    is_main = sys.modules["__main__"].__dict__ is globals()
    print(json.dumps([__name__, __file__, sys.argv, sys.path[0], __package__, is_main]))
"""


def test_a_script_sees_what_it_would_see_without_us(bench: Bench, tmp_path: Path) -> None:
    seen = json.loads(bench(SEEN, "--out", "x", "-m").lines[0])
    plain = subprocess.run(
        [sys.executable, "script.py", "--out", "x", "-m"], capture_output=True, text=True, cwd=tmp_path, timeout=30
    )
    assert seen == json.loads(plain.stdout)


def test_a_module_sees_what_it_would_see_without_us(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "__main__.py").write_text(textwrap.dedent(SEEN) + "print(__spec__.name)\n")
    arguments = ["-m", "package", "-m", "--json"]
    plain = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=30)
    ours = subprocess.run(
        [*BENCH, "--out", "run", *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert ours.stdout.splitlines()[:2] == plain.stdout.splitlines()


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [("sys.exit(5)", 5, ""), ("sys.exit('no luck')", 1, "no luck"), ("1 / 0", 1, "ZeroDivisionError"), ("pass", 0, "")],
)
def test_the_exit_code_is_the_programs_own(bench: Bench, ending: str, code: int, said: str) -> None:
    done = bench(f"import sys\n{ending}\n")
    assert done.code == code
    assert said in done.err
    assert "bootstrap" not in done.err
    assert done.record.completed == (code == 0)


def test_the_programs_signal_handlers_stay_in_charge(bench: Bench) -> None:
    script = """
    import os, signal, sys
    def handler(number, frame):
        print("handled", signal.Signals(number).name, flush=True)
        sys.exit(7)
    before = signal.signal(signal.SIGTERM, handler)
    print(before == signal.SIG_DFL, signal.getsignal(signal.SIGTERM) is handler)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
    """
    done = bench(script)
    assert done.lines[:2] == ["True True", "handled SIGTERM"]
    assert done.code == 7
    assert done.calls("main")["handler"] == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_bench_ends_the_program_and_keeps_its_capture(tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "script.py").write_text(
        "import time\nprint('up', flush=True)\ndef work():\n    time.sleep(0.01)\nwhile True:\n    work()\n"
    )
    process = subprocess.Popen(
        [*BENCH, "--out", "run", "script.py"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # else ignored in a CI's background
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.5)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert (own_calls(tmp_path / "run", "main")["work"] or 0) > 5
    assert Record.read(tmp_path / "run").results["exit"] == {"code": code, "signal": signal.Signals(number).name}


def test_json_is_one_object_and_the_program_prints_to_stderr(bench: Bench) -> None:
    done = bench("print('hello')", options=("--json",))
    assert json.loads(done.out)["command"] == "profile"
    assert done.err.splitlines()[0] == "hello"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "what shall be profiled"),
        (["nothing.py"], "nothing.py: no such script"),
        (["--interval", "0", "nothing.py"], "--interval 0"),
        (["--batches", "0", "nothing.py"], "--batches 0"),
        (["@nobody-has-registered-this"], "nobody-has-registered-this"),
        (["--pid", "1", "script.py"], "--pid takes no target"),
        (["--merge", "."], "no folder 'segments'"),
        (["--calibrate", "--batches", "5", "script.py"], "--calibrate"),
        (["--calibrate", "--sweep-workers", "0,1", "script.py"], "--calibrate"),
        (["--memory-limit", "1GB", "script.py"], "--memory-limit"),
        (["--memory-limit", "much", "--sweep-workers", "1", "script.py"], "--memory-limit much"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run([*BENCH, *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not (tmp_path / "profiles").exists()


def test_a_module_that_does_not_exist_is_the_programs_own_failure(tmp_path: Path) -> None:
    done = subprocess.run(
        [*BENCH, "--out", "run", "-m", "no_such_module_here"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 2
    assert "no_such_module_here" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_record_of_another_command_is_not_overwritten(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    Record("vram", [], "2026-01-31T12:00:00Z", 1.0, True).write(tmp_path / "run")
    done = bench("print('never')")
    assert done.code == 2
    assert "never" not in done.out
    assert done.record.command == "vram"


def test_a_second_run_replaces_the_first(bench: Bench) -> None:
    bench(f"{WORK}\n    work(0)\n    work(1)")
    assert bench(f"{WORK}\n    work(0)").calls("main")["work"] == 1


def test_a_run_whose_supervisor_was_killed_is_merged_later(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os, signal\ndef work():\n    pass\nwork()\nos.kill(os.getppid(), signal.SIGKILL)\nwork()\n"
    )
    killed = subprocess.run([*BENCH, "--out", "run", "script.py"], cwd=tmp_path, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    wait_for(tmp_path / "run" / "segments" / "main.json", '"final": true')
    assert not (tmp_path / "run" / "record.json").exists()
    merged = subprocess.run([*BENCH, "--merge", "run"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert merged.returncode == 0, merged.stderr
    assert own_calls(tmp_path / "run", "main")["work"] == 2


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{path} never said {text}"
        time.sleep(0.05)


def test_calibration_compares_to_a_run_without_us(bench: Bench) -> None:
    script = "import time, sys\nprint('bench_harness.capture.runtime' in sys.modules)\ntime.sleep(0.2)\n"
    wall = bench(script, options=("--calibrate",)).record.results["wall"]
    assert wall["without_engine_s"] >= 0.2
    assert wall["ratio"] == pytest.approx(wall["with_engine_s"] / wall["without_engine_s"], rel=0.01)


def test_a_program_started_anew_is_left_alone(bench: Bench) -> None:
    script = """
    import subprocess, sys
    subprocess.run([sys.executable, "-c", "import sys; print('bench_harness' in sys.modules)"], check=True)
    """
    assert bench(script).lines[0] == "False"


def test_the_users_own_sitecustomize_still_runs(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import builtins\nbuiltins.customized = True\n")
    done = bench("print(customized)", env={**os.environ, "PYTHONPATH": str(tmp_path / "site")})
    assert done.lines[0] == "True", done.err


@pytest.mark.slow
def test_the_ranks_of_torchrun_are_captured(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os\ndef work():\n    pass\nfor _ in range(3 + int(os.environ['RANK'])):\n    work()\n"
    )
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "script.py"]
    done = subprocess.run([*BENCH, "--out", "run", *torchrun], capture_output=True, text=True, cwd=tmp_path, timeout=90)
    assert done.returncode == 0, done.stderr
    record = Record.read(tmp_path / "run")
    ranks = {process["rank"]: process for process in record.results["processes"] if process["role"] == "process"}
    assert set(ranks) == {0, 1}
    assert own_calls(tmp_path / "run", "processes")["work"] == 3 + 4


def test_each_rank_that_runs_bench_has_a_folder(bench: Bench) -> None:
    ranks = {"WORLD_SIZE": "2", "LOCAL_RANK": "1", "RANK": "1"}
    done = bench(f"{WORK}\n    work(0)", env={**os.environ, **ranks})
    assert done.code == 0, done.err
    record = Record.read(done.folder / "rank-1")
    assert [(row["label"], row["rank"]) for row in record.results["processes"]] == [("rank-1-main", 1)]


@pytest.mark.parametrize("threads", [0, 1])
def test_threads_that_pyinstrument_does_not_follow_are_told_once(bench: Bench, threads: int) -> None:
    script = """
    import multiprocessing, sys, threading
    def work():
        leave = threading.Event()
        threads = [threading.Thread(target=leave.wait, daemon=True) for _ in range(int(sys.argv[1]))]
        for thread in threads:
            thread.start()
        return threads
    if __name__ == "__main__":
        kept = work()
        for _ in range(2):
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
    """
    done = bench(script, str(threads), options=("--engine", "pyinstrument"))
    told = [line for line in done.record.warnings if "follows one thread" in line]
    assert [line.partition(":")[0] for line in told] == ["main and 2 more"] * threads
    assert ("warning: main and 2 more: pyinstrument follows one thread" in " ".join(done.lines)) == bool(threads)

"""Real processes, run once: what is counted, what is ended, what a command tells of itself."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from bench_harness.errors import CouldNotMeasureError, UsageError
from bench_harness.verdict import counters
from bench_harness.verdict.command_side import CommandSide, parse_command
from bench_harness.verdict.metrics import UNITS
from bench_harness.verdict.one_run import Ran, run_once
from bench_harness.verdict.own_numbers import read_own_numbers
from bench_harness.verdict.sides import Taken

PYTHON = [sys.executable, "-I", "-S"]
# Burns CPU seconds by the process's own clock, so that the load of others does not matter.
BURN = "import os, signal, sys, time\ndef burn(s):\n    while time.process_time() < s: pass\n"


def run_python(code: str, timeout_s: float = 30) -> Ran:
    return run_once([*PYTHON, "-c", BURN + code], os.environ, timeout_s)


def test_cpu_seconds_are_those_of_the_process_and_its_children() -> None:
    child = "burn(.1)\npid = os.fork()\nif pid == 0:\n    burn(.15); os._exit(0)\nos.waitpid(pid, 0)"
    ran = run_python(child)
    assert ran.code == 0
    assert 0.25 <= ran.cpu_s < 0.6


def test_a_child_that_was_killed_and_never_waited_for_is_counted() -> None:
    code = (
        "r, w = os.pipe()\npid = os.fork()\n"
        "if pid == 0:\n    burn(.2); os.write(w, b'x'); time.sleep(30)\n"
        "os.read(r, 1); os.kill(pid, signal.SIGKILL); os._exit(0)"
    )
    ran = run_python(code)
    assert ran.cpu_s >= 0.2
    assert ran.wall_s < 20


def test_an_orphan_is_waited_for_and_counted() -> None:
    ran = run_python("if os.fork() == 0:\n    burn(.2); os._exit(0)\nos._exit(0)")
    assert ran.cpu_s >= 0.2
    assert ran.killed == 0


def test_what_never_ends_is_ended_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench_harness.verdict.one_run.STRAGGLERS_LEAVE_S", 0.1)
    side = CommandSide("a", ["sh", "-c", "sleep 1000 & exit 0"])
    taken = side.measure(None, 0, 30)
    assert taken.values
    assert side.warnings == ["a left processes running, which were ended after 2 s; their CPU time is counted"]


def test_a_timeout_ends_the_whole_tree() -> None:
    begin = time.monotonic()
    ran = run_once(["sh", "-c", "sleep 1000 & sleep 1000"], os.environ, 0.2)
    assert ran.timed_out
    assert ran.problem(0.2) == "took longer than 0.2 s and was ended"
    assert time.monotonic() - begin < 20


def test_failures_are_told_with_the_end_of_stderr() -> None:
    assert run_python("sys.exit('no such thing')").problem(None) == "exit code 1: no such thing"
    assert (
        run_python("print('a\\n\\nb\\nc\\nd', file=sys.stderr); sys.exit(2)").problem(None) == "exit code 2: b | c | d"
    )
    assert run_python("os.kill(os.getpid(), 9)").problem(None) == "exit code 137: it wrote nothing to stderr"
    missing = run_once(["/nonsense/program"], os.environ).problem(None)
    assert missing == "exit code 127: /nonsense/program: No such file or directory"


def test_each_way_of_measuring_is_a_run_of_its_own_and_only_if_wanted(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    runs = tmp_path / "runs"
    script.write_text(f"import sys, time; open({str(runs)!r}, 'a').write('x'); print('hello'); time.sleep(.1)")
    side = CommandSide("a", [sys.executable, str(script)], ("cpu_s", "wall_s", "peak_pss_bytes", "calls"))
    taken = side.measure(None, 0, 30)
    assert not taken.failures
    by_metric = {key.metric: value for key, value in taken.values.items()}
    assert set(by_metric) == {"cpu_s", "wall_s", "peak_pss_bytes", "calls"}
    assert 1e6 < by_metric["peak_pss_bytes"] < 1e8
    assert runs.read_text() == "xxx"
    calls = {key for key in taken.values if key.metric == "calls"}
    assert side.measure(calls, 1, 30).values == {key: taken.values[key] for key in calls}
    assert runs.read_text() == "xxxx"


@pytest.mark.parametrize("program", ["script", "module", "code"])
def test_calls_are_counted_exactly(tmp_path: Path, program: str) -> None:
    text = "def f(): pass\nfor _ in range({}): f()\nimport sys; assert sys.argv[1:] == ['-x', 'y'], sys.argv"

    def count(times: int) -> float:
        code = text.format(times)
        (tmp_path / "counted.py").write_text(code)
        words = {"script": [str(tmp_path / "counted.py")], "module": ["-m", "counted"], "code": ["-c", code]}[program]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        side = CommandSide("a", [sys.executable, "-X", "dev", *words, "-x", "y"], ("calls",), environment=environment)
        taken = side.measure(None, 0, 30)
        assert not taken.failures
        (value,) = taken.values.values()
        return value

    assert count(1500) - count(500) == 1000
    assert count(500) == count(500)


def test_allocations_repeat_exactly() -> None:
    pytest.importorskip("memray")
    side = CommandSide("a", [sys.executable, "-c", "x = [bytes(10_000 + i) for i in range(300)]"], ("allocations",))
    first, second = (side.measure(None, 0, 60) for _ in range(2))
    assert not first.failures
    assert first.values == second.values
    assert next(iter(first.values.values())) >= 300


def test_what_cannot_be_counted_leaves_the_rest_standing() -> None:
    """Without site there is no memray to run under."""
    side = CommandSide("a", [*PYTHON, "-c", "pass"], ("cpu_s", "calls", "allocations"))
    taken = side.measure(None, 0, 30)
    assert {key.metric for key in taken.values} == {"cpu_s", "calls"}
    assert list(taken.failures) == ["command allocations"]
    assert "No module named memray" in taken.failures["command allocations"]


def test_a_command_that_fails_is_not_counted() -> None:
    failing = CommandSide("a", [*PYTHON, "-c", "raise SystemExit('oh no')"], ("calls",))
    assert failing.measure(None, 0, 30).failures == {"command": "exit code 1: oh no"}


@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
@pytest.mark.slow
def test_instructions_of_programs_that_a_program_starts_are_counted() -> None:
    def count(command: str) -> float:
        taken = CommandSide("a", ["sh", "-c", command], ("instructions",)).measure(None, 0, 120)
        assert not taken.failures
        return next(iter(taken.values.values()))

    one, two = count("/bin/true; exit 0"), count("/bin/true; /bin/true; exit 0")
    assert two - one > 50_000


def test_a_program_that_python_does_not_run_has_no_calls() -> None:
    with pytest.raises(UsageError, match=r"calls are counted in Python programs: 'true' is none"):
        CommandSide("a", ["true"], ("calls",)).check()


def test_a_script_with_a_shebang_is_run_by_its_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text(f"#!{sys.executable} -I\nprint(1)\n")
    script.chmod(0o755)
    assert counters.split_python([str(script), "x"], "calls") == ([sys.executable, "-I"], [str(script), "x"])
    assert counters.split_python(["python3", "-Xdev", "-W", "error", "-m", "m", "a"], "calls")[1] == ["-m", "m", "a"]


def told_by(lines: str, *metrics: str) -> Taken:
    code = f"import os; open(os.environ['BENCH_COMPARE_REPORT'], 'a').write({lines!r})"
    return CommandSide("a", [*PYTHON, "-c", code], metrics or ("cpu_s", "wall_s")).measure(None, 0, 30)


def test_a_command_may_tell_its_own_seconds() -> None:
    lines = '{"body_s": 0.001}\n{"metric": "cpu_s", "value": 1.5}\n{"metric": "cpu_s", "value": 2}\n'
    lines += '{"metric": "rows_per_s", "value": 7, "unit": "rows/s", "better": "higher", "params": {"n": 3}}\n'
    taken = told_by(lines)
    by_metric = {key.metric: (value, key) for key, value in taken.values.items()}
    assert by_metric["cpu_s"][0] == 3.5
    assert by_metric["rows_per_s"][0] == 7
    assert by_metric["rows_per_s"][1].params == (("n", "3"),)
    assert by_metric["rows_per_s"][1].better == "higher"
    assert taken.body_s == 0.001
    assert taken.startup_s > 0.001


def test_metrics_that_nobody_asked_for_are_left_out() -> None:
    assert {key.metric for key in told_by('{"metric": "wall_s", "value": 1}', "cpu_s").values} == {"cpu_s"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "line 1 of"),
        ('{"metric": "x"}', "'value'"),
        ('{"metric": "x", "value": NaN}', "expected a finite number"),
        ('{"metric": "x", "value": 1, "bettr": "lower"}', "no field 'bettr'"),
        ('{"metric": "x", "value": 1, "better": "fewer"}', "expected 'lower' or 'higher'"),
        ("{}", "neither metric nor body_s"),
    ],
)
def test_a_line_that_is_no_number_is_told(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "report").write_text(line + "\n")
    with pytest.raises(CouldNotMeasureError, match=words):
        read_own_numbers(tmp_path / "report", "command")


@pytest.mark.parametrize("text", ["python x.py > out", "a && b", "X=1 python x.py"])
def test_what_needs_a_shell_says_so(text: str) -> None:
    with pytest.raises(UsageError, match="needs a shell; add --shell"):
        parse_command(text)
    assert parse_command(text, shell=True) == ["/bin/sh", "-c", text]


def test_every_metric_has_a_unit_that_its_name_ends_with() -> None:
    assert all(name.endswith(f"_{unit}") for name, unit in UNITS.items() if unit)


def test_nothing_is_left_open_by_many_runs() -> None:
    run_python("")
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(5):
        run_python("")
        run_once(["/nonsense"], os.environ)
        run_once(["sleep", "9"], os.environ, 0.01)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before

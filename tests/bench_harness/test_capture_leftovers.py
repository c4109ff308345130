"""A capture leaves nothing behind but its run: no hooks in the process, no folder where nothing was measured."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bench_harness.__main__ import main
from bench_harness.capture import bootstrap
from bench_harness.capture.library import capture
from bench_harness.commands import profile
from bench_harness.errors import UsageError
from bench_harness.record import Record

pytestmark = pytest.mark.timeout(120)


def test_folders_of_other_people_are_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text("")
    (tmp_path / "run" / "processes").mkdir(parents=True)
    (tmp_path / "run" / "processes" / "mine.txt").write_text("mine")
    assert main(["profile", "--out", "run", "script.py"]) == 2
    assert "processes is of no earlier profile" in capsys.readouterr().err
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
    seen: list[str] = []

    def keep(record: Record, folder: Path, root: Path) -> Record:
        seen.extend(path.name for path in (folder / "segments").iterdir())
        return record

    monkeypatch.setattr(profile, "keep_record", keep)
    assert main(["profile", "--out", "run", "script.py"]) == 0
    assert "main.announced.json" in seen
    assert not (tmp_path / "run" / "segments").exists()
    assert not (tmp_path / "run" / ".segments").exists()


def test_a_capture_leaves_the_process_as_it_found_it(tmp_path: Path) -> None:
    script = """
    import _thread, faulthandler, os, signal, sys, threading
    from bench_harness.capture.library import capture
    faulthandler.register(signal.SIGUSR1, file=open("dumped.txt", "w"))
    hook = lambda *a: None
    threading.setprofile(hook)
    functions = lambda: (signal.signal, os._exit, os.execv, os.execve)
    before = [signal.getsignal(n) for n in signal.valid_signals()], functions()
    for _ in range(2):
        with capture("run"):
            os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    print(before == ([signal.getsignal(n) for n in signal.valid_signals()], functions()))
    print(threading.getprofile() is hook, _thread._count(), os.path.getsize("dumped.txt") > 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.stdout.splitlines() == ["True", "True 0 True"], done.stderr


@pytest.mark.parametrize(("engine", "said"), [("nope", "expected one of"), ("py-spy", "from outside")])
def test_a_capture_by_an_engine_that_cannot_is_refused(tmp_path: Path, engine: str, said: str) -> None:
    with pytest.raises(UsageError, match=said), capture(tmp_path / "run", engine):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_was_killed_before_it_began_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text("")
    monkeypatch.setattr(bootstrap, "command", lambda: "import os; os.kill(os.getpid(), 9)")
    assert main(["profile", "--out", "run", "script.py"]) == 3
    assert "no process was captured" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_a_run_whose_target_still_runs_is_not_merged(tmp_path: Path) -> None:
    """Its segments would be removed under it."""
    (tmp_path / "script.py").write_text(
        "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\n"
        "while not os.path.exists('end'):\n    time.sleep(0.05)\n"
    )
    bench = [sys.executable, "-m", "bench_harness", "profile"]
    subprocess.run([*bench, "--out", "run", "script.py"], cwd=tmp_path, timeout=60)
    merge = [*bench, "--merge", "run"]
    try:
        refused = subprocess.run(merge, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    finally:
        (tmp_path / "end").touch()
    assert refused.returncode == 2
    assert "still runs" in refused.stderr
    for _ in range(100):
        merged = subprocess.run(merge, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        if merged.returncode == 0:
            break
    assert Record.read(tmp_path / "run").results["processes"][0]["reason"] == "exit"

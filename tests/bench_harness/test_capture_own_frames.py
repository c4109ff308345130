"""Exceptions of the target that pass through the capture carry no frames of it, wherever the target catches them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hooked_loaders import DataLoader, Items, forked, iterate
from pipeline_capture import Capture
from profiled_scripts import Bench

from bench_harness.capture.own_frames import without_ours

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="a raise keeps the entry of the function that it is in"),
]
CAPTURE = "bench_harness/capture"


class Failing(Items):
    def __getitem__(self, index: int) -> Any:
        raise error if index == 7 else KeyError(index)


error = ValueError("no such item")


def unlike(samples: Any) -> Any:
    raise ValueError("no such item")


def failing_sampler() -> Any:
    yield 0
    raise error


FAILURES: dict[str, Callable[[], object]] = {
    "data set": lambda: iterate(DataLoader(Failing(9), sampler=[7])),
    "data set in a worker": lambda: iterate(forked(Failing(9), sampler=[7], num_workers=1)),
    "collate_fn": lambda: iterate(DataLoader(Items(9), collate_fn=unlike)),
    "collate_fn in a worker": lambda: iterate(forked(Items(9), collate_fn=unlike, num_workers=1)),
    "sampler": lambda: iterate(DataLoader(Items(9), sampler=failing_sampler())),
    "arguments": lambda: DataLoader(Items(9), num_workers=-1),
}


@pytest.mark.parametrize("fails", FAILURES.values(), ids=FAILURES)
def test_a_loaders_failure_shows_the_users_frames(capture: Capture, fails: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"no such item|num_workers") as caught:
        fails()
    shown = "".join(traceback.format_exception(caught.value))
    assert "dataloader.py" in shown
    assert CAPTURE not in shown, shown
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_it_is_the_same_exception(capture: Capture) -> None:
    with pytest.raises(ValueError, match="no such item") as caught:
        iterate(DataLoader(Failing(9), sampler=[7]))
    assert caught.value is error


def test_a_hook_that_fails_is_no_context_of_the_targets_exception(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_harness.capture.pipeline.replacements.MainSide.request", lambda *_: 1 / 0)
    with pytest.raises(ValueError, match="no such item") as caught:
        iterate(DataLoader(Failing(9), sampler=[7]))
    assert caught.value.__context__ is None
    assert len(capture.warnings) == 1


def test_a_hook_that_fails_after_a_failure_takes_no_exceptions_place(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_harness.capture.pipeline.replacements.MainSide.end", lambda *_: 1 / 0)
    with pytest.raises(ValueError, match="no such item"):
        iterate(DataLoader(Failing(9), sampler=[7]))
    assert len(capture.warnings) == 1


SCRIPT = """
    import multiprocessing, os, signal, threading, traceback

    def fail():
        raise RuntimeError("in a process")

    def interrupt(number, frame):
        raise RuntimeError(number)

    def show(call):
        try:
            call()
        except Exception:
            print(traceback.format_exc())

    if __name__ == "__main__":
        process = multiprocessing.Process(target=fail)
        process.start()
        process.join()
        open("program", "w").write("no program")
        os.chmod("program", 0o700)
        show(lambda: os.execv("program", ["program"]))
        show(multiprocessing.get_context("spawn").Process(args=[threading.Lock()]).start)
        signal.signal(signal.SIGTERM, interrupt)
        show(lambda: os.kill(os.getpid(), signal.SIGTERM))
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        process = multiprocessing.get_context("fork").Process(target=signal.pause, daemon=True)
        process.start()
        show(process.join)
        process.kill()
"""


def test_failures_around_processes_and_signals_read_as_without_us(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(textwrap.dedent(SCRIPT))
    done = bench(SCRIPT)
    command = [sys.executable, "plain.py"]
    without = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert CAPTURE not in done.out + done.err
    assert done.err.replace("script.py", "plain.py") == without.stderr
    lines = without.stdout.splitlines()
    assert done.out.replace("script.py", "plain.py").splitlines()[: len(lines)] == lines
    assert without.stdout.count("Traceback") == 4


def test_a_traceback_of_ours_alone_is_nothing() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile("1 / 0", str(Path(without_ours.__code__.co_filename)), "exec"))
    entries = caught.value.__traceback__
    assert entries is not None
    assert without_ours(entries.tb_next) is None
    assert without_ours(entries) is entries
    assert entries.tb_next is None

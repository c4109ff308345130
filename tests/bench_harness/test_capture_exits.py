"""However a program and its workers end, what was captured is kept, and who is missing is named."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench_harness.record import Record

SCRIPT = Path(__file__).parent / "targets" / "ends.py"
FINE, RAISED = 0, 1
# Ending: (exit code, workers that deliver their last dump, what is said of main's end).
ENDINGS = {
    "exhausted": (FINE, 2, "exit"),
    "break, iterator deleted": (FINE, 2, "exit"),
    "break, iterator alive": (FINE, 2, "exit"),
    "persistent, exhausted": (FINE, 2, "exit"),
    "persistent, iterator alive": (FINE, 2, "exit"),
    "main raises": (RAISED, 2, "exception"),
    "persistent, main raises": (RAISED, 2, "exception"),
    "dataset raises": (RAISED, 2, "exception"),
    "worker SIGKILLed": (RAISED, 1, "exception"),
    "worker SIGTERMed": (RAISED, 2, "exception"),
    "worker segfaults": (RAISED, 1, "exception"),
    "Ctrl-C": (128 + signal.SIGINT, 2, "exception"),
    "main SIGTERM": (128 + signal.SIGTERM, 2, "SIGTERM"),
    "main SIGKILL": (128 + signal.SIGKILL, 2, "running"),
    "main os._exit": (3, 2, "os._exit(3)"),
}
METHODS = ("fork", "forkserver")


@dataclass
class Ended:
    """What a run under `bench profile` left."""

    code: int
    said: str
    record: Record
    folder: Path


def run(ending: str, method: str, folder: Path) -> Ended:
    command = [sys.executable, "-m", "bench_harness", "profile", "--out", str(folder), str(SCRIPT), ending, method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    return Ended(done.returncode, done.stdout + done.stderr, Record.read(folder), folder)


Runs = Callable[[str, str], Ended]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Return the run of an ending under a start method; several run at a time, and a test waits for its own alone."""
    root = tmp_path_factory.mktemp("ends")
    futures: dict[tuple[str, str], Future[Ended]] = {}
    pool = ThreadPoolExecutor(4)
    for method in METHODS:
        for number, ending in enumerate(ENDINGS):
            futures[ending, method] = pool.submit(run, ending, method, root / f"{method}-{number}")
    yield lambda ending, method: futures[ending, method].result()
    pool.shutdown(cancel_futures=True)


cells = pytest.mark.parametrize(("ending", "method"), [(ending, method) for method in METHODS for ending in ENDINGS])


@pytest.mark.slow
@pytest.mark.timeout(300)
@cells
def test_every_worker_is_delivered_or_named(runs: Runs, ending: str, method: str) -> None:
    ended = runs(ending, method)
    code, delivered, _ = ENDINGS[ending]
    workers = ended.record.workers
    assert workers is not None
    assert (workers["expected"], workers["delivered"]) == (2, delivered), ended.said
    assert len(workers["missing"]) == 2 - delivered
    assert ended.code == code, ended.said
    assert ended.record.completed == (code == FINE and delivered == 2)


@pytest.mark.slow
@pytest.mark.timeout(300)
@cells
def test_the_functions_of_every_worker_are_there(runs: Runs, ending: str, method: str) -> None:
    """Also those of a killed one: it had more than a second to live, and dumps twice a second."""
    ended = runs(ending, method)
    rows = [row for row in ended.record.results["functions"] if row["process"] == "workers" and row["own"]]
    calls = {row["name"]: row["calls"] for row in rows}
    assert calls["squares"] >= 50, ended.said
    for process in ended.record.results["processes"]:
        if process["role"] == "worker":
            assert (ended.folder / process["files"]["prof"]).is_file()


@pytest.mark.slow
@pytest.mark.timeout(300)
@cells
def test_main_is_there_and_its_end_is_named(runs: Runs, ending: str, method: str) -> None:
    ended = runs(ending, method)
    main = ended.record.results["processes"][0]
    assert (main["role"], main["reason"]) == ("main", ENDINGS[ending][2])
    assert any(row["process"] == "main" for row in ended.record.results["functions"])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("ending", "reason"), [("worker SIGKILLed", "SIGKILL"), ("worker segfaults", "SIGSEGV")])
def test_what_killed_a_worker_is_named(runs: Runs, ending: str, reason: str, method: str) -> None:
    workers = runs(ending, method).record.workers
    assert workers is not None
    (missing,) = workers["missing"]
    assert (missing["worker"], missing["epoch"], missing["partial"]) == (0, 0, True)
    assert reason in missing["reason"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", METHODS)
def test_an_incomplete_merge_says_so_first(runs: Runs, method: str) -> None:
    ended = runs("worker SIGKILLed", method)
    for name in ("text", "lib_text"):
        head = (ended.folder / ended.record.artifacts[name]).read_text().splitlines()[:10]
        assert any("1 of 2 workers delivered" in line for line in head)
    assert "1 of 2 workers" in ended.said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_traceback_is_shown_as_without_us(runs: Runs) -> None:
    said = runs("main raises", "fork").said
    assert "RuntimeError: main broke" in said
    assert "bootstrap.py" not in said

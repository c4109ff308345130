"""`bench doctor` on real loops with real hazards: what it finds, prints, keeps and exits with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench_harness.record import Record

SCRIPT = Path(__file__).parent / "targets" / "hazards.py"
# Argument of the target: further options.
HAZARDS = {
    "several": [],
    "raises": [],
    "hang": ["--patience", "2"],
    "idle": ["--patience", "3"],
    "rests": ["--patience", "3"],
}
DOCTOR = (sys.executable, "-m", "bench_harness", "doctor")
pytestmark = pytest.mark.timeout(120)


@dataclass
class Seen:
    code: int
    record: Record
    said: str

    def finding(self, check: str, loader: str = "") -> dict[str, Any]:
        rows = self.record.results["findings"]
        found = [row for row in rows if row["check"] == check and row["where"] == loader]
        return found[0] if found else {"level": None}

    def loader(self, name: str) -> dict[str, Any]:
        return next(row for row in self.record.results["loaders"] if row["name"] == name)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Seen]]:
    """Return the diagnosis of a hazard; two targets run at a time."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("doctor")
    pool = ThreadPoolExecutor(2)
    futures: dict[str, Future[Seen]] = {name: pool.submit(_diagnose, name, root / name) for name in HAZARDS}
    yield lambda name: futures[name].result()
    pool.shutdown(cancel_futures=True)


def _diagnose(hazard: str, folder: Path) -> Seen:
    command = [*DOCTOR, *HAZARDS[hazard], "--out", str(folder), str(SCRIPT), hazard]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (folder / "record.json").exists(), done.stderr
    return Seen(done.returncode, Record.read(folder), " ".join(done.stdout.split()))


def test_hazards_of_a_forked_loader_are_found(seen: Callable[[str], Seen]) -> None:
    found = seen("several")
    for check in ("threads before fork", "handles", "timeout", "torch threads"):
        assert found.finding(check, "reckless")["level"] == "warning", check
    assert found.finding("threads before fork", "reckless")["seen"] == "1 Python thread when workers fork: logger"
    handles = found.finding("handles", "reckless")
    assert "dataset.store.connection (SQLite connection), dataset.store.files[0] (open file)" in handles["seen"]
    assert "each other's bytes" in handles["why"]
    # 2 workers x 12 batches x 10 tensors, and a limit of 200.
    assert found.finding("open files", "reckless")["level"] == "fatal"
    assert found.finding("start method", "reckless")["level"] == "ok"
    assert found.code == 3
    assert "-> DataLoader(..., timeout=300)" in found.said


def test_figures_of_a_loader_are_kept(seen: Callable[[str], Seen]) -> None:
    loader = seen("several").loader("reckless")
    assert (loader["batches"], loader["batch_tensors"], loader["batch_bytes"]) == (2, 10, 10 * 4 * 4000)
    assert [worker["torch_threads"] for worker in loader["workers"]] == [3, 3]
    assert all(worker["uss_bytes"] > 0 for worker in loader["workers"])
    assert [thread["name"] for thread in loader["threads"] if thread["is_python"]] == ["logger"]


def test_handles_that_workers_open_anew_are_fine(seen: Callable[[str], Seen]) -> None:
    found = seen("several")
    assert found.finding("handles", "careful")["level"] == "ok"
    assert found.finding("threads before fork", "careful")["level"] is None
    assert found.finding("timeout", "careful")["level"] == "ok"


def test_a_spawned_loader_is_told_what_it_pickles(seen: Callable[[str], Seen]) -> None:
    found = seen("several")
    loader = found.loader("spawned")
    assert loader["pickled"]["size_bytes"] > 1000 * 3
    assert len(loader["workers"]) == 2
    assert found.finding("start method", "spawned")["level"] == "ok"
    assert found.finding("persistent workers", "spawned")["seen"].startswith("persistent_workers=False")


def test_what_cannot_be_pickled_is_fatal(seen: Callable[[str], Seen]) -> None:
    found = seen("several")
    start = found.finding("start method", "impossible")
    assert start["level"] == "fatal"
    assert "lambda" in start["seen"]
    assert found.finding("run")["seen"].startswith("the target failed: exit code 1, ")


def test_a_worker_that_raises_is_told_with_its_items(seen: Callable[[str], Seen]) -> None:
    found = seen("raises")
    death = found.finding("death")
    assert death["level"] == "fatal"
    assert "raised ValueError: bad item" in death["seen"]
    assert death["do"].endswith(("[0, 1, 2, 3]]", "[4, 5, 6, 7]]"))
    assert (found.code, found.record.completed) == (3, False)


def test_a_worker_that_hangs_is_ended_and_named(seen: Callable[[str], Seen]) -> None:
    found = seen("hang")
    hang = found.finding("hang")
    assert hang["seen"] == "train_loader-worker-1-epoch-0 is at one fetch of items [4, 5, 6, 7] for 2 s"
    assert (hang["level"], found.code) == ("fatal", 3)


def test_a_worker_that_nobody_asks_for_a_batch_does_not_hang(seen: Callable[[str], Seen]) -> None:
    found = seen("idle")
    assert found.finding("hang")["level"] is None
    assert (found.code, found.loader("train_loader")["batches"]) == (0, 2)


def test_a_main_process_that_hangs_is_ended_and_named(seen: Callable[[str], Seen]) -> None:
    found = seen("rests")
    hang = found.finding("hang")
    assert hang["seen"] == "main: nothing ran and no batch was handed out for 15 s"
    assert (hang["level"], found.code) == ("fatal", 3)
    assert found.loader("train_loader")["batches"] == 1


def test_without_a_target_the_machine_is_looked_at(tmp_path: Path) -> None:
    command = [*DOCTOR, "--json", "--out", "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "out" / "record.json").read_text())
    assert {"start method", "CPUs", "memory limit"} <= {row["check"] for row in document["results"]["findings"]}
    assert done.returncode == (3 if any(row["level"] == "fatal" for row in document["results"]["findings"]) else 0)


def test_a_target_without_workers_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("print('done')\n")
    done = subprocess.run([*DOCTOR, "plain.py"], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no DataLoader with workers was iterated" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.py"], "gone.py: no such script"),
        (["-m", "no_such_module"], "no_such_module"),
        (["--batches", "0", "gone.py"], "--batches 0: expected at least 1"),
        (["--patience", "-1"], "--patience -1.0: expected seconds above 0"),
    ],
)
def test_what_cannot_be_run_is_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = subprocess.run([*DOCTOR, *arguments], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "profiles").exists()

"""The registry of runs: one process at a time, nothing lost to deaths, to disks that are full, to other files."""

from __future__ import annotations

import json
import logging
import multiprocessing
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench_core.errors import RunError
from bench_core.training import checkpoints, fit
from bench_core.training.options import TrainOptions
from bench_core.training.runs import Run, find_run, registered

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("one_thread")]
OPTIONS = {"arch": "tiny", "seed": 0}


@pytest.fixture
def notices() -> Iterator[list[str]]:
    """What training has to say while a test runs."""
    told: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, handler = logging.getLogger("bench_core.training"), Kept()
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


@pytest.fixture
def ended(tmp_path: Path) -> Run:
    """A run with one segment."""
    run = Run.start(tmp_path, OPTIONS)
    run.begin([])
    run.end("finished")
    return run


def test_a_run_is_registered_when_it_begins(tmp_path: Path) -> None:
    run = Run.start(tmp_path, OPTIONS)
    assert not list(tmp_path.iterdir())
    assert run.begin([]) == run.folder / "segment_000"
    assert [found.id for found in registered(tmp_path)] == [run.id]


def begin_and_wait(folder: Path, together: Any, outcomes: Any, end: Any) -> None:
    run = Run.read(folder)
    together.wait(30)
    try:
        run.begin([])
        outcomes.put("began")
    except RunError as error:
        outcomes.put(str(error))
    end.wait(30)  # alive, as a process that trains


def test_of_processes_that_resume_at_once_one_does(ended: Run) -> None:
    context = multiprocessing.get_context("fork")
    together, outcomes, end = context.Barrier(4), context.Queue(), context.Event()
    processes = [context.Process(target=begin_and_wait, args=(ended.folder, together, outcomes, end)) for _ in range(4)]
    for process in processes:
        process.start()
    told = sorted(outcomes.get(timeout=30) for _ in processes)
    end.set()
    for process in processes:
        process.join(30)
    assert told.count("began") == 1
    assert sum("is being trained by process" in outcome for outcome in told) == 3
    assert len(Run.read(ended.folder).record["segments"]) == 2


def test_a_segment_that_nobody_recorded_is_in_nobodys_way(ended: Run) -> None:
    """Its process was killed between making the folder and writing the record."""
    ended.next_segment.mkdir()
    assert ended.begin([]).name == "segment_001"


def test_a_run_of_a_machine_that_has_gone_can_be_taken_over(ended: Run) -> None:
    """Whether its process lives cannot be seen from here."""
    ended.record["segments"][-1] |= {"outcome": "running", "host": "node17"}
    ended.write()
    with pytest.raises(RunError, match=r"by process \d+ on node17, says its record, .* --take-over where it has gone"):
        ended.begin([])
    ended.begin([], take_over=True)
    first, second = Run.read(ended.folder).record["segments"]
    assert (first["outcome"], second["outcome"]) == ("killed", "running")
    assert "node17 has gone" in first["reason"]
    with pytest.raises(RunError, match=r"by process \d+: wait for it$"):
        ended.begin([], take_over=True)


def test_a_run_that_has_gone_on_since_is_read_again(ended: Run) -> None:
    stale = Run.read(ended.folder)
    ended.begin([])
    ended.end("finished")
    with pytest.raises(RunError, match="was resumed by another process just now"):
        stale.begin([])
    assert len(Run.read(ended.folder).record["segments"]) == 2


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"id": 3}', '{"name": "of another program"}'])
def test_a_record_that_is_none_hides_no_other(tmp_path: Path, ended: Run, notices: list[str], text: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text(text)
    assert [run.id for run in registered(tmp_path)] == [ended.id]
    assert find_run(tmp_path, ended.id[:8]).id == ended.id
    assert "other/run.json is no record of a run" in notices[0]


def test_an_end_that_cannot_be_written_is_told(ended: Run, notices: list[str]) -> None:
    shutil.rmtree(ended.folder)
    ended.end("failed", "the reason proper is another error")
    assert "run.json cannot say that the run failed: No such file" in notices[0]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"--out .*file: no run can be registered there: Not a directory"):
        Run.start(tmp_path / "file", OPTIONS).begin([])


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let writing beyond a size fail in this process, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_the_run_with_a_reason(prepared_folder: Path, tmp_path: Path) -> None:
    """What was written before is whole, and can be resumed."""
    small = {"length_voxels": 9, "resolution_A": 1.0, "batch_size": 4, "epoch_size": 20, "val_size": 8}
    options = TrainOptions("tiny_models:tiny", data=str(prepared_folder), val_share=0.5, max_steps=2, **small)  # type: ignore[arg-type]
    run = fit.start(options, tmp_path, [])
    before = checkpoints.newest(run.checkpoints)
    more = TrainOptions.of_record(run.record["options"], run.id).changed_by({"max_steps": 4})
    with (
        files_of_at_most(before.stat().st_size // 2),
        pytest.raises(RunError, match=r"step_000000004.ckpt cannot be written: File too large"),
    ):
        fit.resume(run, before, more, [])
    failed = json.loads((run.folder / "run.json").read_text())["segments"][-1]
    assert failed["outcome"] == "failed"
    assert "cannot be written" in failed["reason"]
    assert [path.name for path in run.checkpoints.iterdir()] == [before.name]
    assert fit.resume(run, before, more, []).record["step"] == 4

"""bench profile on training loops: engines, pipeline, sweeps, and what bench diff makes of two runs."""

import json
import pstats
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_harness.capture.library import capture
from bench_harness.errors import UsageError
from bench_harness.record import Record

pytestmark = pytest.mark.timeout(180)
BENCH = (sys.executable, "-m", "bench_harness")
LOOP = """
    import sys
    import time
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Squares(Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, index):
            time.sleep({sleep_s})
            return torch.tensor([float(squares(index))])

    def squares(index):
        return sum(square(k) for k in range(40 * {factor}))

    def square(k):
        return k * k

    def main():
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
        train_loader = DataLoader(Squares(), batch_size=4, num_workers=int(sys.argv[1]))
        for epoch in range(2):
            for batch in train_loader:
                optimizer.zero_grad()
                model(batch).sum().backward()
                optimizer.step()

    if __name__ == "__main__":
        torch.set_num_threads(1)
        main()
"""
Profile = Callable[..., Record]


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """Return a function that profiles the loop into a folder."""

    def run(out: str, *options: str, workers: int = 2, factor: int = 1, sleep_s: float = 0.0) -> Record:
        (tmp_path / "loop.py").write_text(textwrap.dedent(LOOP.format(factor=factor, sleep_s=sleep_s)))
        command = [*BENCH, "profile", "--out", out, *options, "loop.py", str(workers)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=tmp_path)
        if "py-spy left nothing" in done.stdout:
            pytest.skip(f"py-spy may not watch here: {done.stdout}")
        assert done.returncode == 0, done.stderr
        return Record.read(tmp_path / out)

    return run


def calls(record: Record, process: str) -> dict[str, int | None]:
    return {
        row["name"]: row["calls"] for row in record.results["functions"] if row["process"] == process and row["own"]
    }


def test_a_capture_counts_calls_steps_and_workers(profile: Profile, tmp_path: Path) -> None:
    record = profile("run", "--keep-all")
    assert record.completed
    assert record.workers == {"expected": 4, "delivered": 4, "missing": []}  # two epochs of two
    assert calls(record, "workers")["__getitem__"] == 128
    assert calls(record, "workers")["squares"] == 128
    assert calls(record, "main")["main"] == 1
    counts = record.results["counts"]
    assert (counts["batches"], counts["samples"], counts["steps"]) == (32, 128, 32)
    assert (counts["steady_batches"], counts["steady_steps"]) == (31, 31)
    named = {(row["loader"], row["worker"], row["epoch"]) for row in record.results["processes"][1:]}
    assert named == {("train_loader", worker, epoch) for worker in (0, 1) for epoch in (0, 1)}
    merged = pstats.Stats(str(tmp_path / "run" / record.artifacts["merged"])).stats  # type: ignore[attr-defined]
    assert next(row[1] for key, row in merged.items() if key[2] == "squares") == 128
    waited = {(row["process"], row["kind"]) for row in record.results["waiting"]}
    assert {("main", "for loader"), ("workers", "for main")} <= waited
    waits = ("{method 'acquire'", "{method 'poll'", "{built-in method posix.waitpid")
    assert not any(row["name"].startswith(waits) for row in record.results["functions"])


def test_a_slow_data_set_makes_a_loader_bound_loop(profile: Profile) -> None:
    record = profile("run", "--engine", "none", sleep_s=0.01)
    pipeline = record.results["pipeline"]
    assert pipeline["verdict"] == "loader-bound"
    assert pipeline["main_wait_share"] > 0.5
    assert record.results["functions"] == []
    assert record.workers == {"expected": 4, "delivered": 4, "missing": []}


def test_pyinstrument_leaves_stacks_of_all(profile: Profile, tmp_path: Path) -> None:
    record = profile("run", "--engine", "pyinstrument", factor=50)
    document = json.loads((tmp_path / "run" / record.artifacts["merged"]).read_text())
    assert "speedscope" in document["$schema"]
    assert len(document["profiles"]) == 5
    assert "squares" in {frame["name"] for frame in document["shared"]["frames"]}
    assert record.artifacts["html"] == "merged.html"
    assert all(row["calls"] is None for row in record.results["functions"])


@pytest.mark.slow
def test_py_spy_leaves_stacks_of_all(profile: Profile, tmp_path: Path) -> None:
    record = profile("run", "--engine", "py-spy", factor=4000)  # it looks for new processes now and then
    own = {(row["process"], row["name"].rpartition(".")[2]) for row in record.results["functions"] if row["own"]}
    assert ("workers", "squares") in own or ("workers", "square") in own
    assert ("main", "main") in own


@pytest.mark.slow
def test_a_running_program_is_watched(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("def busy():\n    while True:\n        pass\nprint('up', flush=True)\nbusy()\n")
    program = subprocess.Popen([sys.executable, "script.py"], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "up\n"
        command = [*BENCH, "profile", "--pid", str(program.pid), "--duration", "1", "--out", "run"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    finally:
        program.kill()
        program.communicate()
    if done.returncode == 3:
        pytest.skip(f"py-spy may not watch here: {done.stderr}")
    rows = Record.read(tmp_path / "run").results["functions"]
    assert rows[0]["name"] == "busy"
    assert rows[0]["share"] > 0.9


@pytest.mark.slow
def test_a_sweep_recommends_a_number_of_workers(profile: Profile, tmp_path: Path) -> None:
    record = profile("run", "--sweep-workers", "0,2", "--batches", "12", workers=1, sleep_s=0.01)
    sweep = record.results["sweep"]
    assert [row["workers"] for row in sweep["rows"]] == [0, 2]
    assert sweep["recommended_num_workers"] == 2  # a data set that sleeps gains what it has workers
    assert sweep["rows"][1]["batches_per_s"] > 1.3 * sweep["rows"][0]["batches_per_s"]
    assert record.workers == {"expected": 2, "delivered": 2, "missing": []}
    assert (tmp_path / "run" / "sweep.png").stat().st_size > 5000
    assert not (tmp_path / "run" / "segments").exists()


def test_a_difference_of_two_runs_names_the_function_that_grew(profile: Profile, tmp_path: Path) -> None:
    profile("a")
    profile("b", factor=20)
    done = subprocess.run(
        [*BENCH, "diff", "a", "b", "--json", "--out", "difference"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]["functions"]
    slower = [row["name"] for row in rows if row["process"] == "workers"][:3]
    assert {"square", "<genexpr>"} & set(slower)


def test_the_monitoring_engine_needs_a_newer_python(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text("pass")
    command = [*BENCH, "profile", "--engine", "monitoring", "--out", "run", "loop.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    if sys.version_info >= (3, 12):
        assert done.returncode == 0
    else:
        assert done.returncode == 2
        assert "needs Python 3.12" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def work() -> int:
    return sum(range(100))


def test_a_part_of_a_program_is_captured_from_inside(tmp_path: Path) -> None:
    import multiprocessing

    with capture(tmp_path / "run") as running:
        work()
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
    work()
    assert running.record is not None
    assert calls(running.record, "main")["work"] == 1
    assert calls(running.record, "processes")["work"] == 1
    assert Record.read(tmp_path / "run").to_json() == running.record.to_json()
    assert multiprocessing.get_context("fork").Process.start.__module__ == "multiprocessing.process"


def test_workers_that_outlive_a_capture_tell_what_they_have(tmp_path: Path) -> None:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    with capture(tmp_path / "run") as running:
        process = context.Process(
            target=_work_until_told, args=(queue := context.SimpleQueue(), ended := context.Event())
        )
        process.start()
        queue.get()
    ended.set()
    process.join(timeout=30)
    assert process.exitcode == 0
    assert running.record is not None
    assert running.record.workers == {"expected": 1, "delivered": 1, "missing": []}
    assert calls(running.record, "processes")["work"] == 50


def _work_until_told(queue: "object", ended: "object") -> None:
    for _ in range(50):
        work()
    queue.put("worked")  # type: ignore[attr-defined]
    ended.wait(30)  # type: ignore[attr-defined]


def test_a_capture_inside_a_capture_is_refused(tmp_path: Path) -> None:
    with capture(tmp_path / "run"), pytest.raises(UsageError, match="runs already"), capture(tmp_path / "inner"):
        pass


def test_an_exception_ends_the_capture_and_passes(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), capture(tmp_path / "run"):
        1 / (work() - 4950)
    record = Record.read(tmp_path / "run")
    assert not record.completed
    assert calls(record, "main")["work"] == 1


def test_a_library_capture_follows_no_process_after_its_end(tmp_path: Path) -> None:
    import multiprocessing

    with capture(tmp_path / "run"):
        pass
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert Record.read(tmp_path / "run").workers == {"expected": 0, "delivered": 0, "missing": []}

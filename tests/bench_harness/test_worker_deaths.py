"""A worker that died is explained: by its signal, its exception, its exit code, and the counters of the kernel."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bench_harness.capture.endings import LastSample, deaths_of, with_causes
from bench_harness.memory.deaths import Evidence, explain
from bench_harness.memory.oom_kills import OomKills, count_oom_kills
from bench_harness.record import Record
from bench_harness.segments import Identity, Segment, State, announce, signal_name, signal_number

SCRIPT = Path(__file__).parent / "targets" / "dies.py"
# Ending: (kind, what is said, whether the worker delivered its last dump).
ENDINGS = {
    "SIGKILL": ("signal", "killed by SIGKILL", False),
    "SIGTERM": ("signal", "killed by SIGTERM", True),
    "segmentation fault": ("signal", "killed by SIGSEGV", False),
    "exception": ("exception", "raised ValueError: bad item", True),
    "worker_init_fn": ("exception", "raised KeyError: 'no such setting'", True),
    "os._exit": ("exit", "left by os._exit(3) with exit code 3", True),
    "sys.exit": ("exit", "left with exit code 4", True),
    "MemoryError": ("out of memory", "an allocation failed within RLIMIT_DATA of 4.29 GB: MemoryError", True),
}
# What one target does in turn; an exception is of the worker that ended the target, the last.
RUNS = (
    ("os._exit", "sys.exit", "SIGTERM", "segmentation fault", "SIGKILL"),
    ("exception",),
    ("MemoryError",),
    ("worker_init_fn",),
)


@dataclass
class Ended:
    record: Record
    said: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Ended]]:
    """Return the run of an ending; two run at a time."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("dies")
    pool = ThreadPoolExecutor(2)
    futures = [pool.submit(_run, endings, root / str(number)) for number, endings in enumerate(RUNS)]
    yield lambda ending: next(each.result() for each, endings in zip(futures, RUNS, strict=True) if ending in endings)
    pool.shutdown(cancel_futures=True)


def _run(endings: tuple[str, ...], folder: Path) -> Ended:
    command = [sys.executable, "-m", "bench_harness", "profile", "--engine", "none", "--out", str(folder)]
    done = subprocess.run([*command, str(SCRIPT), *endings], capture_output=True, text=True, timeout=90)
    assert done.returncode == 1, done.stderr
    return Ended(Record.read(folder), done.stdout)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_death_is_explained_with_its_evidence(runs: Callable[[str], Ended], ending: str) -> None:
    ended = runs(ending)
    kind, said, delivered = ENDINGS[ending]
    workers = ended.record.workers
    assert workers is not None
    (died,) = (row for row in workers["deaths"] if row["worker"] == 0 and said in row["cause"]["text"])
    cause = died["cause"]
    assert (died["loader"], cause["kind"]) == ("train_loader", kind), cause
    if ending != "worker_init_fn":
        assert (cause["batches"], cause["last_batch"], cause["items"]) == (5, 8, [20, 21])
    assert (cause in [row.get("cause") for row in workers["missing"]]) != delivered
    assert not ended.record.completed
    assert f"died ({kind}): {said}"[:60] in " ".join(ended.said.split())


def worker(*, code: int | None = 0, final: bool = True, exception: str | None = None, role: Any = "worker") -> Segment:
    identity = Identity("main.1", role, loader="train", worker=0, epoch=0, pid=7)
    state = State(identity, "none", final=final, exception=exception, rss_bytes=3 << 20, wall_s=2.0)
    return Segment(identity, state, None, {}, None, code)


KILLED = worker(code=-9, final=False)


@pytest.mark.parametrize(
    ("kills", "killed", "kind", "said"),
    [
        (OomKills(1, 5), 1, "out of memory", "which ended 1 process in its control group"),
        (OomKills(None, 2), 1, "out of memory", "which ended 2 processes on this machine"),
        (OomKills(1, 1), 2, "out of memory", "of 2 of this run that were killed by SIGKILL: perhaps not this one"),
        (OomKills(0, 1), 1, "signal", "counts no out-of-memory kill in its control group"),
        (OomKills(None, None), 1, "signal", "cannot be read here"),
    ],
)
def test_the_kernels_counters_decide_about_sigkill(kills: OomKills, killed: int, kind: str, said: str) -> None:
    death = explain(KILLED, Evidence(oom_kills=kills, limit_bytes=10**9, killed=killed))
    assert death is not None
    assert death.kind == kind
    assert said in death.text
    assert ("the limit is 1.00 GB" in death.text) == (kind == "out of memory")


def test_the_last_that_is_known_of_its_memory_is_told() -> None:
    death = explain(KILLED, Evidence())
    sampled = explain(KILLED, Evidence(memory_bytes=5 * 10**9, memory_kind="USS", memory_at_s=1.25))
    assert death is not None
    assert sampled is not None
    assert "last seen with RSS 3 MB, 2.0 s after it began" in death.text
    assert "last seen with USS 5.00 GB, 1.2 s after it began" in sampled.text
    assert (sampled.memory_bytes, sampled.memory_kind) == (5 * 10**9, "USS")


def test_a_sample_is_told_by_the_time_of_the_run_and_a_last_dump_goes_before_it() -> None:
    sample = dataclasses.asdict(LastSample(5 * 10**9, "USS", 61.25))
    killed = explain(KILLED, Evidence(**sample))
    assert killed is not None
    assert "last seen with USS 5.00 GB, 61.2 s after the run began" in killed.text
    left = worker(code=3)
    assert left.state is not None
    left.state.uss_bytes = 8 * 10**9
    ended = explain(left, Evidence(**sample))
    assert ended is not None
    assert "last seen with USS 8.00 GB, 2.0 s after it began" in ended.text


def test_who_ended_as_it_should_died_of_nothing() -> None:
    assert explain(worker(), Evidence()) is None
    assert explain(worker(code=None), Evidence()) is None
    assert explain(worker(code=-15), Evidence(ended_by_parent=True)) is None
    # The main process went on after an exception of the data set.
    assert explain(worker(exception="ValueError: bad"), Evidence(main_exception="KeyError: 'Caught'")) is None


def test_an_exception_of_a_worker_is_told_by_what_main_caught() -> None:
    sent = Evidence(main_exception="ValueError: Caught ValueError in DataLoader worker process 0.")
    death = explain(worker(exception="package.ValueError: bad"), replace(sent, items=range(20), item_count=20))
    assert death is not None
    assert death.remedy.endswith("[dataset[i] for i in [0, 1, 2, 3, 4, 5, 6, 7, ...]]")


def test_a_process_of_a_pool_that_raised_is_told() -> None:
    death = explain(worker(code=1, exception="OSError: [Errno 12] Cannot allocate memory", role="process"), Evidence())
    assert death is not None
    assert death.kind == "out of memory"


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    vanished = explain(worker(code=None, final=False), Evidence())
    assert vanished is not None
    assert vanished.kind == "unknown"
    assert [signal_name(number) for number in (9, 40)] == ["SIGKILL", "signal 40"]
    assert [signal_number(name) for name in ("SIGKILL", "signal 40")] == [9, 40]
    announce(tmp_path, Identity("main", pid=1))
    announce(tmp_path, Identity("main.1", "worker", loader="train", worker=0, epoch=0, pid=7))
    (row, main) = sorted(deaths_of(tmp_path, OomKills(1, 1), main_signal="SIGKILL"), key=lambda row: row["pid"] != 7)
    assert (row["cause"]["kind"], main["cause"]["kind"]) == ("unknown", "out of memory")
    missing = {"rank": 0, "loader": "train", "worker": 0, "epoch": 0, "pid": 7, "reason": "?"}
    workers = with_causes({"expected": 1, "delivered": 0, "missing": [missing]}, [row])
    assert workers["missing"][0]["cause"] == row["cause"]


def test_counters_of_both_versions_of_control_groups_are_read(tmp_path: Path) -> None:
    proc, mount = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "vmstat").write_text("nr_free_pages 5\noom_kill 7\n")
    (proc / "self" / "cgroup").write_text("0::/user.slice/job\n")
    (mount / "user.slice").mkdir(parents=True)
    assert count_oom_kills(proc, mount) == OomKills(None, 7)
    (mount / "user.slice" / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert count_oom_kills(proc, mount) == OomKills(2, 7)
    (proc / "self" / "cgroup").write_text("5:cpu,memory:/job\n0::/\n")
    (mount / "memory" / "job").mkdir(parents=True)
    (mount / "memory" / "job" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    assert count_oom_kills(proc, mount) == OomKills(4, 7)
    assert OomKills(4, 7).since(OomKills(1, None)) == OomKills(3, None)

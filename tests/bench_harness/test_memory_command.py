"""`bench memory` on real loaders: what the tree holds, by process and phase, and what it forecasts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench_harness.record import Record
from bench_harness.report.memory_text import memory_parts
from bench_harness.report.tables import render_parts

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells what processes share"),
]
ROWS = str(Path(__file__).parent / "targets" / "rows.py")


def bench(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench_harness", "memory", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150)


def measured(folder: Path, *arguments: object) -> dict[str, Any]:
    done = bench(folder, "--json", "--out", "run", *arguments)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert json.loads((folder / "run" / "record.json").read_text()) == document
    return document


def uss_of_workers(record: dict[str, Any], loader: str = "train_loader") -> list[int]:
    rows = record["results"]["processes"]
    return [row["peak_uss_bytes"] for row in rows if row["role"] == "worker" and row["loader"] == loader]


@pytest.fixture(scope="module")
def strings(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("strings")
    return measured(folder, "--interval", 0.2, "--attribute", "--limit", "64GB", ROWS, "strings", 400_000, 2), folder


def test_strings_are_copied_and_an_array_is_not(strings: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    array = measured(tmp_path, "--interval", 0.2, ROWS, "array", 400_000, 2)
    copied, shared = uss_of_workers(strings[0]), uss_of_workers(array)
    assert len(copied) == len(shared) == 2
    # Each worker reads every other batch, which lie on half of the pages: 400,000 strings take 36 MB.
    assert min(copied) - max(shared) > 12e6
    assert max(shared) < 25e6


def test_the_record_holds_what_others_rely_on(strings: tuple[dict[str, Any], Path]) -> None:
    record, folder = strings
    results = record["results"]
    assert record["command"] == "memory"
    assert record["completed"] is True
    assert record["workers"] == {"expected": 4, "delivered": 4, "missing": []}
    tree = results["tree"]
    assert 0 < tree["before_fork_pss_bytes"] < tree["peak_pss_bytes"] < tree["peak_rss_sum_bytes"]
    if tree["since_fork"] is not None:  # else no control group can be read
        grown = tree["peak_pss_bytes"] - tree["before_fork_pss_bytes"]
        assert tree["since_fork"]["pss_bytes"] == pytest.approx(grown, abs=1e6)
    roles = [row["role"] for row in results["processes"]]
    assert roles[0] == "main"
    assert roles.count("worker") == 4
    assert all(row["peak_uss_bytes"] > 0 for row in results["processes"] if row["role"] in ("main", "worker"))
    names = [phase["name"] for phase in results["phases"]]
    assert names == ["main before its workers", "train_loader pass 0", "val_loader pass 0", "train_loader pass 1",
                     "val_loader pass 1", "teardown"]  # fmt: skip
    starts = [phase["start_s"] for phase in results["phases"]]
    assert starts == sorted(starts)
    assert {row["role"] for row in results["processes"]} == {"main", "worker"}  # the census is none of the target's
    assert results["phases"][1]["batches"] == 400_000 // 64 // 32 + 1
    timeline = results["timeline"]
    assert all(len(row["pss_bytes"]) == len(timeline["time_s"]) for row in timeline["processes"])
    assert not (folder / "run" / "segments").exists()
    pytest.importorskip("matplotlib")
    assert (folder / "run" / record["artifacts"]["plot"]).read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "run" / record["artifacts"]["plot_svg"]).read_text()


def test_the_forecast_for_as_many_workers_is_what_was_seen(strings: tuple[dict[str, Any], Path]) -> None:
    results = strings[0]["results"]
    (two,) = (row for row in results["forecast"]["rows"] if row["workers"] == 2)
    assert two["peak_pss_bytes"] == pytest.approx(results["tree"]["peak_pss_bytes"], rel=0.1)
    assert two["least_pss_bytes"] <= two["peak_pss_bytes"] <= two["most_pss_bytes"]
    collections = [row["full_collections"] for row in results["processes"]]
    assert all(count >= 0 for count in collections)
    assert collections[0] > 0  # main imported torch


def test_copied_pages_are_attributed(strings: tuple[dict[str, Any], Path]) -> None:
    record, _ = strings
    if any("unsupported here" in warning for warning in record["warnings"]):
        pytest.skip("this kernel does not say which pages are copied")
    results = record["results"]
    rows = results["attribution"]
    assert (rows[0]["owner"], rows[0]["type"]) == ("dataset.records", "str")
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=0.01)
    about = results["attribution_about"]
    assert about["missing"] == []
    assert "str in dataset.records" in about["headline"]
    assert any("reference count" in line for line in about["advice"])
    labels = {row["pid"]: row["peak_uss_bytes"] for row in results["processes"] if row["role"] == "worker"}
    for worker, uss_bytes in zip(about["workers"], labels.values(), strict=True):
        # A sample may find the buffers of a dump, gone as the worker ends: 2.4 MB have been seen. Copies: 15 and 30 MB.
        assert worker["copied_bytes"] + worker["new_bytes"] == pytest.approx(uss_bytes, abs=6e6)


RANKS = """
import multiprocessing
import torch

class Rows(torch.utils.data.Dataset):
    def __init__(self, rank):
        self.records = [f"{rank} {number:060d}" for number in range(100_000)]
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        return sum(len(record) for record in self.records[100 * index : 100 * index + 100])

def iterate(rank):
    list(torch.utils.data.DataLoader(Rows(rank), 10, num_workers=1 + rank, multiprocessing_context="fork"))

ranks = [multiprocessing.get_context("fork").Process(target=iterate, args=(rank,)) for rank in range(2)]
[rank.start() for rank in ranks]
[rank.join() for rank in ranks]
"""


def test_workers_of_two_processes_are_not_mixed_up(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "ranks.py").write_text(RANKS)
    record = measured(tmp_path, "--attribute", "ranks.py")
    if any("unsupported here" in warning for warning in record["warnings"]):
        pytest.skip("this kernel does not say which pages are copied")
    results = record["results"]
    copied = {(row["owner"], row["type"]): row["copied_bytes"] for row in results["attribution"]}
    assert copied["dataset.records", "str"] > 3e6  # of 12 MB each reads one half
    assert [each["serial"] for each in results["attribution_about"]["workers"]] == ["main.2.1", "main.2.2"]
    assert any("--attribute shows 1 of 2 processes that" in warning for warning in record["warnings"])
    assert len(results["processes"]) == 1 + 2 + 3  # neither census is the target's


def test_memray_counts_beside(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("memray")
    record = measured(tmp_path, "--memray", ROWS, "array", 20_000, 1)
    rows = record["results"]["memray"]["processes"]
    assert [row["label"] for row in rows] == ["main", "train_loader-worker-0-epoch-0", "val_loader-worker-0-epoch-0"]
    assert all(row["allocations"] > 0 for row in rows)
    assert (tmp_path / "run" / record["artifacts"]["memray"] / rows[0]["capture"]).exists()


def test_a_folder_of_captures_that_is_not_ours_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("memray")
    (tmp_path / "quick.py").write_text("held = bytearray(1000)")
    assert bench(tmp_path, "--memray", "--out", "run", "quick.py").returncode == 0
    assert bench(tmp_path, "--memray", "--out", "run", "quick.py").returncode == 0  # those of an earlier run may go
    stranger = tmp_path / "memray" / "notes.txt"
    stranger.parent.mkdir()
    stranger.write_text("precious")
    done = bench(tmp_path, "--memray", "--out", ".", "quick.py")
    assert (done.returncode, stranger.read_text()) == (2, "precious")
    assert done.stderr.strip().endswith("is of no earlier run, and is not removed; give another --out")
    assert not (tmp_path / "segments").exists()


def test_the_text_names_the_tree_and_the_phases(strings: tuple[dict[str, Any], Path]) -> None:
    _, folder = strings
    text = render_parts(memory_parts(Record.read(folder / "run"), "run"))
    assert "the tree held" in text
    assert "train_loader pass 0" in text
    assert "forecast: " in text
    assert "workers per loader fit into 64 GB" in text
    assert "4 of 4 workers delivered" in text
    assert "copied per worker" in text


def test_a_loader_without_workers_has_no_forecast(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    record = measured(tmp_path, "--sweep-workers", "0", "--limit", "16GB", ROWS, "array", 50_000, 2)
    assert record["results"]["forecast"] is None
    assert "no forecast, and no answer to --limit: no DataLoader had workers" in record["warnings"]
    assert record["workers"]["expected"] == 0
    assert record["results"]["phases"][0]["name"] == "set-up"


def test_a_killed_main_leaves_its_record(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = bench(tmp_path, "--json", "--out", "run", ROWS, "array", 50_000, 2, "die")
    assert done.returncode == 128 + 9
    record = json.loads(done.stdout)
    assert record["completed"] is False
    assert record["results"]["exit"]["signal"] == "SIGKILL"
    assert record["workers"]["deaths"][0]["cause"]["signal"] == "SIGKILL"
    assert record["results"]["tree"]["before_fork_pss_bytes"] > 0


DYING = """
import os
import torch

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return os._exit(3) if index == 5 else torch.zeros(1)

try:
    list(torch.utils.data.DataLoader(Rows(), num_workers=1, multiprocessing_context="fork"))
except RuntimeError:
    print("goes on")
"""


def test_a_run_with_a_worker_that_died_is_not_completed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "dying.py").write_text(DYING)
    record = measured(tmp_path, "dying.py")
    (death,) = record["workers"]["deaths"]
    assert death["cause"]["exit_code"] == 3
    assert record["completed"] is False


def test_a_watch_that_is_interrupted_keeps_what_was_seen(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench_harness", "memory", "--out", "run", "--pid", str(os.getpid())]
    with subprocess.Popen([*command, "--duration", "60"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as watch:
        while not (tmp_path / "run" / "segments").exists():
            time.sleep(0.05)
        time.sleep(1)
        watch.send_signal(signal.SIGINT)
        printed, _ = watch.communicate(timeout=60)
    assert watch.returncode == 0
    assert "the tree held" in printed
    assert "interrupted after" in printed
    assert Record.read(tmp_path / "run").results["tree"]["peak_pss_bytes"] > 0


def test_a_program_that_runs_already(tmp_path: Path) -> None:
    code = "import time, os; held = bytearray(os.urandom(30_000_000)); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = bench(tmp_path, "--json", "--out", "run", "--pid", process.pid, "--duration", 0.5)
        process.kill()
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]["processes"]
    assert [(row["pid"], row["role"]) for row in rows] == [(process.pid, "main")]
    assert rows[0]["peak_uss_bytes"] > 30_000_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "whose memory?"),
        (["nowhere.py"], "no such script"),
        (["--out", "run", "-m", "no_such_module"], "no_such_module"),
        (["-m", "no_such_module"], "no_such_module"),
        (["--memray", "--out", "run", "-m", "no_such_module"], "no_such_module"),
        (["--native", ROWS], "belong to --memray"),
        (["--interval", "0", ROWS], "--interval 0.0: expected seconds above 0"),
        (["--batches", "0", ROWS], "--batches 0"),
        (["--limit", "much", ROWS], "much"),
        (["--sweep-workers", "a,b", ROWS], "--sweep-workers a,b: expected integers"),
        (["--sweep-workers", "0,²", ROWS], "--sweep-workers 0,²: expected integers"),
        (["--pid", str(2**22 + 5)], "no such process"),
        (["--pid", str(os.getpid()), "--limit", "1GB", "--attribute"], "--attribute, --limit with --pid"),
        (["--pid", str(os.getpid()), ROWS], "--pid takes no target"),
    ],
)
def test_bad_usage_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = bench(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


WITHOUT = """
import sys
from pathlib import Path
for name in ("resource", "fcntl", "termios", "pwd", "grp"):  # of POSIX
    sys.modules[name] = None
read_text = Path.read_text
def no_proc(path, *args, **kwargs):
    if str(path).startswith("/proc/"):
        raise FileNotFoundError(str(path))
    return read_text(path, *args, **kwargs)
Path.read_text = no_proc
from bench_harness.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_elsewhere_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text("")
    command = [sys.executable, "-c", WITHOUT, "memory", "quick.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "told by Linux alone" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["quick.py"]


def test_a_failing_target_passes_its_code_on(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("import sys, time; time.sleep(0.3); sys.exit(7)")
    done = bench(tmp_path, "--out", "run", "fails.py")
    assert done.returncode == 7
    assert "ended with 7" in done.stdout
    results = json.loads((tmp_path / "run" / "record.json").read_text())["results"]
    # The process looked at itself as it ended: the tree held no less.
    assert results["tree"]["peak_pss_bytes"] >= results["processes"][0]["peak_pss_bytes"]


def test_a_name_that_is_half_a_formula_is_drawn_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "a$b_{$.py").write_text("")
    assert measured(tmp_path, "a$b_{$.py")["artifacts"]["plot"] == "memory.png"


def test_a_plot_that_cannot_be_written_costs_no_record(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "quick.py").write_text("")
    (tmp_path / "run" / "memory.png").mkdir(parents=True)
    record = measured(tmp_path, "quick.py")
    assert "plot" not in record["artifacts"]
    assert any(line.startswith("no plot: ") for line in record["warnings"])


def test_a_signal_without_a_name_is_told_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "signalled.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)")
    done = bench(tmp_path, "--out", "run", "signalled.py")
    number = signal.SIGRTMIN + 1
    assert done.returncode == 128 + number
    assert f"main died (signal): killed by signal {number}" in done.stdout
    assert Record.read(tmp_path / "run").results["exit"] == {"code": 128 + number, "signal": f"signal {number}"}


def test_phases_of_lightning(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    begin_s = time.monotonic()
    demo = Path(__file__).parents[2] / "examples" / "lightning_demo.py"
    record = measured(tmp_path, "--interval", 0.2, str(demo))
    names = [phase["name"] for phase in record["results"]["phases"]]
    batches = {phase["name"]: phase["batches"] for phase in record["results"]["phases"]}
    # Lightning leaves its loops before the loaders are exhausted, and fetches one batch in advance.
    assert batches["train epoch 0"] == pytest.approx(800 / 20, abs=1)
    assert batches["validation 1"] == pytest.approx(100 / 20, abs=1)
    assert names[-1] == "teardown"
    assert 0 < record["results"]["phases"][-1]["end_s"] < time.monotonic() - begin_s

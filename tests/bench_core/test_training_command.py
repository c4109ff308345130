"""python -m bench_core train: exit codes, one line per error, signals, the registry, two processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from train_server import Served, Server

from bench_core.__main__ import main
from bench_core.training import measure
from bench_core.training.runs import Run, joined_log, registered

pytestmark = [pytest.mark.timeout(200), pytest.mark.usefixtures("one_thread")]

SMALL = ("--length-voxels", "9", "--resolution-A", "1", "--batch-size", "4", "--epoch-size", "20", "--val-size", "8")


class Done(NamedTuple):
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


Train = Callable[..., Done]


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Train:
    """The command, run in this process: a new one spends seconds on imports."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def run(*arguments: str | Path) -> Done:
        capsys.readouterr()
        try:
            code = main(["train", *map(str, arguments)])
        except SystemExit as error:  # argparse
            code = int(str(error.code))
        return Done(code, *capsys.readouterr())

    return run


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "bench_core", "train", *map(str, arguments)]


def environment() -> dict[str, str]:
    folders = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), "OMP_NUM_THREADS": "1"}


def only_run(out: Path) -> Run:
    (found,) = registered(out)
    return found


@pytest.fixture
def tiny(prepared_folder: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    arch = ("--arch", "tiny_models:tiny", "--val-share", "0.5", "--val-every", "4", "--max-steps", "8")
    return (*arch, *SMALL, "--data", prepared_folder, "--out", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "train needs --arch NAME, --resume RUN, --list or --plan"),
        (("--arch", "no_such_module:f"), "--arch no_such_module:f cannot be built: No module named"),
        (("--arch", "tiny_models:no"), "--arch tiny_models:no cannot be built"),
        (("--arch", "tiny_models:tiny", "--model-option", "depth=3"), "unexpected keyword argument 'depth'"),
        (("--arch", "arch_9"), "--arch arch_9 cannot be built: no architecture 'arch_9': choose one of arch_0, "),
        (("--arch", "arch_0"), "--length-voxels 9 does not fit --arch arch_0, which takes 21: use that, or"),
        (("--resume", "nothing"), "nothing: there is no such run in "),
        (("--plan",), "--plan needs --arch NAME to measure a step of, or --step-s"),
        (
            ("--arch", "tiny_models:tiny", "--precision", "16-mixed", "--accelerator", "cpu"),
            "on the CPU use bf16-mixed",
        ),
        (("--arch", "tiny_models:tiny", "--logger", "no.such:Logger"), "--logger no.such:Logger cannot be made"),
        (("--arch", "tiny_models:tiny", "--strategy", "magic"), "Lightning refuses these options"),
        (
            ("--arch", "tiny_models:tiny", "--devices", "2", "--strategy", "ddp_spawn"),
            "use ddp, which starts them anew",
        ),
        (("--arch", "tiny_models:tiny", "--devices", "2", "--strategy", "ddp_fork"), "use ddp, which starts them anew"),
        (("--arch", "tiny_models:tiny", "--batch-size", "1000"), "20 examples fill no batch of 1000"),
        (("--arch", "tiny_models:tiny", "--batch-size", "none"), "argument --batch-size"),
        (("--arch", "tiny_models:tiny", "--model-option", "depth"), "'depth' is not KEY=VALUE"),
    ],
)
def test_bad_input_is_one_line(
    train: Train, prepared_folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = train(*SMALL, "--data", prepared_folder, "--out", tmp_path, "--val-share", "0.5", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())  # nothing was registered


def test_json_is_one_object_and_a_resume_appends(train: Train, tiny: tuple[str | Path, ...], tmp_path: Path) -> None:
    done = train(*tiny, "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["runs"]
    assert (result["state"], result["step"], result["segments"]) == ("finished", 8, 1)
    low, high = result["val_accuracy_interval"]
    assert 0 <= low <= result["metrics"]["val_accuracy"] <= high <= 1
    assert result["metrics"]["val_examples"] == 8
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["step 4 of 8", "step 8 of 8"]
    again = train("--resume", result["id"][:20], "--max-steps", "12", "--out", tmp_path, "--workers", "1", "--json")
    assert again.returncode == 0, again.stderr
    (resumed,) = json.loads(again.stdout)["runs"]
    assert (resumed["id"], resumed["step"], resumed["segments"]) == (result["id"], 12, 2)
    run_ = only_run(tmp_path)
    assert [row["step"] for row in joined_log(run_) if "train_loss" in row] == list(range(1, 13))
    assert run_.record["segments"][1]["resumed_from"] == "step_000000008.ckpt"
    refused = train("--resume", result["folder"], "--max-steps", "16", "--lr", "0.5", "--out", tmp_path)
    assert refused.returncode == 2
    assert "--lr 0.5 does not fit the run, which has 0.001" in refused.stderr


def test_a_checkpoint_finds_its_run_and_no_other(train: Train, tiny: tuple[str | Path, ...], tmp_path: Path) -> None:
    assert train(*tiny, "--seeds", "2").returncode == 0
    first, second = registered(tmp_path)
    assert [found.record["options"]["seed"] for found in (first, second)] == [0, 1]
    path = first.checkpoints / "step_000000008.ckpt"
    elsewhere = tmp_path / "mailed.ckpt"
    elsewhere.write_bytes(path.read_bytes())
    done = train("--resume", elsewhere, "--max-steps", "10", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{first.id}: finished after 10 steps")
    (second.checkpoints / "step_000000009.ckpt").write_bytes(path.read_bytes())
    done = train("--resume", second.id, "--max-steps", "10", "--out", tmp_path)
    assert done.returncode == 2
    assert f"belongs to another run: {first.id}, not {second.id}" in done.stderr
    done = train("--resume", elsewhere, "--max-steps", "12", "--out", tmp_path / "empty")
    assert done.returncode == 2
    assert "there is no such run in" in done.stderr


def test_diverging_exits_3_and_other_seeds_go_on(train: Train, tiny: tuple[str | Path, ...], tmp_path: Path) -> None:
    done = train(*tiny, "--arch", "tiny_models:explosive")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "bench_core train: error: the loss of step 3 is nan: try a smaller --lr or --precision 32"
    ]
    done = train(*tiny, "--arch", "tiny_models:explosive", "--seeds", "2", "--json")
    assert done.returncode == 3
    result = json.loads(done.stdout)
    assert (result["runs"], [failure["seed"] for failure in result["failed"]]) == ([], [0, 1])
    assert "the loss of step 3 is nan" in result["failed"][1]["reason"]
    listed = train("--list", "--out", tmp_path)
    assert listed.stdout.count("failed") == 3
    assert listed.stdout.count("the loss of step 3 is nan") == 3
    records = json.loads(train("--list", "--out", tmp_path, "--json").stdout)["runs"]
    assert [record["state"] for record in records] == ["failed"] * 3
    without = train("--resume", records[0]["id"], "--out", tmp_path)
    assert without.returncode == 2
    assert "holds no checkpoint: the run ended before its first; start it anew" in without.stderr
    assert train("--list", "--out", tmp_path / "none").stdout == f"no runs in {tmp_path}/none\n"


def test_a_logger_and_a_profiler_of_lightning(train: Train, tiny: tuple[str | Path, ...], tmp_path: Path) -> None:
    logger = ("--logger", "tiny_models:Recorder", "--logger-option", f"path={tmp_path}/recorded.jsonl")
    done = train(*tiny, *logger, "--profiler", "simple")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "recorded.jsonl").read_text().splitlines()]
    assert rows[0]["arch"] == "tiny_models:tiny"
    assert [row["step"] for row in rows[1:] if "val_loss" in row] == [4, 8]
    (profile,) = only_run(tmp_path).folder.glob("segment_000/*profile*.txt")
    assert "run_training_batch" in profile.read_text()


def test_seeds_that_are_done_are_reported_though_a_later_one_was_stopped(
    train: Train, tiny: tuple[str | Path, ...], tmp_path: Path
) -> None:
    stop = ("--model-option", "seed=1", "--model-option", "at=3")
    done = train(*tiny, "--arch", "tiny_models:stopped", *stop, "--seeds", "3", "--json")
    assert done.returncode == 143, done.stderr
    result = json.loads(done.stdout)
    assert [run_["state"] for run_ in result["runs"]] == ["finished"]
    assert [failure["seed"] for failure in result["failed"]] == [1]
    assert [found.state() for found in registered(tmp_path)] == ["finished", "interrupted"]


def test_a_steps_time_is_told_apart_from_the_validations(train: Train, tiny: tuple[str | Path, ...]) -> None:
    pause = ("--model-option", "pause_at=5", "--model-option", "pause_s=1")  # after four steps: while it validates
    done = train(*tiny, "--arch", "tiny_models:slow", *pause, "--max-steps", "4")
    found = re.search(r"step 4 of 4: .*, (\S+) s per step, (\S+) s to validate$", done.stderr)
    assert found, done.stderr
    assert 0.05 < float(found[1]) < 0.25
    assert float(found[2]) > 1


def test_a_bound_in_epochs_takes_the_place_of_one_in_steps(
    train: Train, tiny: tuple[str | Path, ...], tmp_path: Path
) -> None:
    assert train(*tiny).returncode == 0
    done = train("--resume", only_run(tmp_path).id, "--max-epochs", "2", "--out", tmp_path)
    assert "finished after 10 steps" in done.stdout


@pytest.mark.parametrize("data", [(), ("--example-s", "0.001")])
def test_the_plan(train: Train, prepared_folder: Path, data: tuple[str, ...]) -> None:
    given = ("--arch", "tiny_models:tiny", "--val-share", "0.5", "--step-s", "0.6", *data)
    done = train("--plan", *given, *SMALL, "--data", prepared_folder, "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["parameters"] == 438 + 8 + 48 + 6 - 6
    assert plan["example_s"] == 0.001 if data else 0 < plan["example_s"] < 1
    free = [row for row in plan["rows"] if row["loading"] == "none"]
    assert [row["distinct_examples"] for row in free] == [576_000, 57_600, 5_760]
    text = train("--plan", *given, *SMALL, "--data", prepared_folder)
    assert len(text.stdout.splitlines()) == 8


def test_a_plan_measures_as_the_run_would_compute(
    train: Train, prepared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--plan", "--arch", "tiny_models:tiny", "--val-share", "0.5", *SMALL, "--data", prepared_folder)
    seen: list[torch.dtype] = []
    monkeypatch.setattr(measure, "pair_loss", lambda output, *_: seen.append(output.dtype) or output.float().sum())
    for precision in ("32", "64", "bf16-mixed", "bf16-true"):
        assert train(*given, "--example-s", "0.001", "--precision", precision).returncode == 0
    assert list(dict.fromkeys(seen)) == [torch.float32, torch.float64, torch.bfloat16]
    if not torch.cuda.is_available():
        refused = train(*given, "--accelerator", "cuda")
        assert refused.returncode == 2
        assert "--accelerator cuda: there is none here" in refused.stderr


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(environment())
    yield server
    server.close()


Start = Callable[..., Served]


@pytest.fixture
def started(server: Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a run of slow steps, and return once it has done some."""
    processes: list[Served] = []

    def start(*arguments: str | Path, steps: int = 3) -> Served:
        arguments = (*arguments, "--max-steps", "100000", "--arch", "tiny_models:slow")
        output = tmp_path_factory.mktemp("process") / "output"
        processes.append(server.start(output, list(map(str, arguments))))
        deadline, stderr = time.monotonic() + 60, output / "stderr"
        while not (registered(tmp_path) and len(joined_log(only_run(tmp_path))) >= steps):
            assert not (stderr.is_file() and "error" in stderr.read_text()), stderr.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return processes[-1]

    yield start
    for process in processes:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize(("name", "workers"), [("SIGINT", "2"), ("SIGTERM", "0")])
def test_a_signal_writes_a_checkpoint_and_ends_the_run(
    train: Train, started: Start, tiny: tuple[str | Path, ...], tmp_path: Path, name: str, workers: str
) -> None:
    process = started(*tiny, "--workers", workers)
    os.killpg(process.pid, getattr(signal, name)) if name == "SIGINT" else process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate()
    assert process.returncode == 128 + getattr(signal, name), stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    run_ = only_run(tmp_path)
    assert run_.state() == "interrupted"
    assert f"stopped by {name}, after step {run_.record['step']}" in str(run_.reason())
    done = train("--resume", run_.id, "--out", tmp_path, "--max-steps", str(run_.record["step"] + 1), "--json")
    assert done.returncode == 0, done.stderr
    steps = [row["step"] for row in joined_log(only_run(tmp_path)) if "train_loss" in row]
    assert steps == list(range(1, run_.record["step"] + 2))


def test_a_second_signal_stops_at_once(started: Start, tiny: tuple[str | Path, ...], tmp_path: Path) -> None:
    process = started(*tiny, "--model-option", "pause_s=20", "--model-option", "pause_at=4")
    for _ in range(2):
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, stderr = process.communicate()
    assert time.monotonic() - asked < 15
    assert process.returncode == 130, stderr
    assert "at once" in str(only_run(tmp_path).reason())


def test_a_killed_run_is_known_as_such_and_goes_on(
    train: Train, started: Start, tiny: tuple[str | Path, ...], tmp_path: Path
) -> None:
    process = started(*tiny, "--checkpoint-every", "2", steps=6)
    running = only_run(tmp_path)
    assert running.state() == "running"
    refused = train("--resume", running.id, "--out", tmp_path)
    assert refused.returncode == 2
    assert f"is being trained by process {process.pid}: wait for it" in refused.stderr
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = only_run(tmp_path)
    assert killed.state() == "killed"
    listed = train("--list", "--out", tmp_path)
    assert f"process {process.pid} is gone without a word: SIGKILL" in listed.stdout
    last = int(max(row["step"] for row in joined_log(killed)))
    done = train("--resume", killed.id, "--out", tmp_path, "--max-steps", str(last + 3))
    assert done.returncode == 0, done.stderr
    resumed = only_run(tmp_path)
    assert resumed.record["segments"][0]["outcome"] == "killed"
    assert [row["step"] for row in joined_log(resumed) if "train_loss" in row] == list(range(1, last + 4))


def test_a_killed_worker_is_named(started: Start, tiny: tuple[str | Path, ...], tmp_path: Path) -> None:
    process = started(*tiny, "--workers", "2", "--epoch-size", "4000", "--val-every", "1000")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, stderr = process.communicate()
    assert process.returncode == 3, stderr
    assert f"(pid {children[-1]}) died with exit code -9 (SIGKILL)" in stderr
    assert f"(pid {children[-1]}) died" in str(only_run(tmp_path).reason())


def test_a_profiler_of_another_package(
    train: Train, tiny: tuple[str | Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as absent:
        absent.setattr("bench_core.training.profilers.entry_points", lambda **_: [])
        refused = train(*tiny, "--profiler", "workers")
    assert refused.returncode == 2
    assert "--profiler workers is not installed: `pip install bench_harness`" in refused.stderr
    package = tmp_path / "site" / "offers-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: offers\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[bench_core.profilers]\nworkers = tiny_models:profiler\n")
    monkeypatch.syspath_prepend(str(package.parent))
    out = tmp_path / "profiled"
    assert train(*tiny, "--out", out, "--profiler", "workers").returncode == 0
    assert len(list(out.glob("*/segment_000/fit-offered.txt"))) == 1


def test_a_signal_to_all_processes_is_no_death_of_workers(
    started: Start, tiny: tuple[str | Path, ...], tmp_path: Path
) -> None:
    """As a scheduler or a container sends it."""
    process = started(*tiny, "--workers", "2", "--epoch-size", "4000", "--val-every", "1000")
    os.killpg(process.pid, signal.SIGTERM)
    _, stderr = process.communicate()
    assert process.returncode == 143, stderr
    run_ = only_run(tmp_path)
    assert run_.state() == "interrupted"
    assert str(run_.reason()).startswith("stopped by SIGTERM")
    assert [path.name for path in run_.checkpoints.iterdir()] == [f"step_{run_.record['step']:09d}.ckpt"]


@pytest.mark.slow
def test_two_processes_train_one_run(train: Train, tiny: tuple[str | Path, ...], tmp_path: Path) -> None:
    """Each takes half of every batch: together they do the steps of one process, and log one run."""
    # Batch statistics are each process's own; of the third held-out batch, one example, both cannot have a part.
    tiny = (*tiny, "--model-option", "norm=false", "--val-size", "9", "--json")
    two = ("--accelerator", "cpu", "--devices", "2", "--strategy", "ddp")
    together = subprocess.run(command(*tiny, *two), capture_output=True, text=True, timeout=150, env=environment())
    assert together.returncode == 0, together.stderr
    (result,) = json.loads(together.stdout)["runs"]
    assert result["state"] == "finished"
    both = only_run(tmp_path)
    assert train(*tiny, "--out", tmp_path / "alone").returncode == 0
    rows = list(zip(joined_log(both), joined_log(only_run(tmp_path / "alone")), strict=True))
    assert len(rows) == 10
    for row, alone in rows:
        names = alone.keys() - {"wall_s"}
        assert {name: row[name] for name in names} == pytest.approx({name: alone[name] for name in names}, rel=1e-4)
    assert together.stderr.count("step 4 of 8") == 1

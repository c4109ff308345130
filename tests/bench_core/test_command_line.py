"""python -m bench_core as a user runs it: exit codes, one line per error, one JSON object, interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bench_core
from bench_core.origins.layout import MANIFEST
from bench_core.origins.prepare import prepare_store

pytestmark = pytest.mark.timeout(200)


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench_core", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})


def test_help_names_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "prepare" in done.stdout
    assert "load" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("load", "--workers", "-1"),
        ("load", "--workers", "two"),
        ("load", "--batches", "0"),
        ("load", "--batch-size", "0"),
        ("load", "--resolution-A", "nan"),
        ("load", "--resolution-A", "inf"),
        ("load", "--resolution-A", "-1"),
        ("load", "--length-voxels", "9999999999"),
        ("load", "--batches", "1" + 30 * "0"),
        ("load", "--timeout", "1e300"),
        ("load", "--start-method", "thread"),
        ("load", "--dataset", "imagenet"),
        ("lod",),
        (),
        ("prepare", "--structures", "does-not-exist", "--out", "unused"),
    ],
)
def test_bad_usage_exits_2_without_a_traceback(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr.splitlines()[-1]


def test_prepare_twice(tmp_path: Path) -> None:
    first = run("prepare", "--out", tmp_path / "store")
    assert first.returncode == 0, first.stderr
    assert "prepared 14 structures, 51" in first.stderr
    second = run("prepare", "--out", tmp_path / "store", "--json")
    assert "changed" in second.stdout
    assert json.loads(second.stdout)["changed"] is False
    assert "already up to date, nothing done" in run("prepare", "--out", tmp_path / "store").stderr


def test_prepare_names_the_broken_file(tmp_path: Path) -> None:
    (tmp_path / "bad.cif.gz").write_bytes(b"\x1f\x8b\x08\x00 no gzip")
    done = run("prepare", "--structures", tmp_path, "--out", tmp_path / "store")
    assert done.returncode == 2
    assert "bad.cif.gz" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "store" / MANIFEST).exists()


def test_prepare_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("prepare", "--out", tmp_path / "file")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("workers", ["0", "2"])
def test_load_json_is_one_object(prepared_folder: Path, workers: str) -> None:
    arguments = ("--workers", workers, "--batches", "3", "--batch-size", "4", "--json")
    done = run("load", "--data", prepared_folder, *arguments)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["examples"] == 12
    assert result["workers"] == int(workers)
    assert result["start_method"] == ("fork" if workers == "2" else None)
    assert result["completed"] is True
    assert 0 < result["first_batch_s"] < result["wall_s"]
    assert result["examples_per_s"] == pytest.approx(8 / (result["wall_s"] - result["first_batch_s"]))
    assert 0 < result["example_s"] < 10
    assert result["skipped_structures"] >= 0
    assert isinstance(result["simd"], str)


def test_load_says_its_figures(prepared_folder: Path) -> None:
    done = run("load", "--data", prepared_folder, "--workers", "1", "--batches", "2", "--mode", "frame",
               "--length-voxels", "9", "--resolution-A", "1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("32 examples in ")
    assert "examples/s" in done.stdout


def test_load_prepares_where_nothing_is(tmp_path: Path) -> None:
    named = {"BENCH_CORE_DATA": str(tmp_path / "here")}, tmp_path / "here"
    cached = {"BENCH_CORE_DATA": "", "XDG_CACHE_HOME": str(tmp_path)}, tmp_path / "bench_core"
    for env, folder in (named, cached):
        done = run("load", "--workers", "0", "--batches", "1", "--batch-size", "2", "--json", env=env)
        assert done.returncode == 0, done.stderr
        assert "preparing the embedded structures there first" in done.stderr
        assert json.loads(done.stdout)["examples"] == 2
        assert folder.exists()


def test_load_from_a_damaged_store(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    done = run("load", "--data", tmp_path)
    assert done.returncode == 2
    assert "prepare" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def started(*arguments: str, expect_workers: int = 2) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a load that would take for ever in a process group of its own; return it once its workers are there."""
    command = [sys.executable, "-m", "bench_core", "load", "--batches", "100000", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while len(children.read_text().split()) < expect_workers and time.monotonic() < deadline:
        time.sleep(0.001)
    return process, [int(pid) for pid in children.read_text().split()]


def is_alive(pid: int) -> bool:
    """Say whether a process of ours lives (a zombie has no command line)."""
    try:
        return b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("after_s", [0.0, 0.5, 3.0])
def test_interrupt_is_clean(prepared_folder: Path, start_method: str, after_s: float) -> None:
    process, workers = started("--data", str(prepared_folder), "--start-method", start_method)
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    # Not always the last line: multiprocessing's resource tracker may count semaphores after the forkserver has gone.
    assert "interrupted" in stderr
    assert not [pid for pid in workers if is_alive(pid)]
    if after_s == 3.0:
        assert "examples in" in stdout


INTERRUPTED_IN_TORCH = """
import runpy, sys
from torch.multiprocessing import reductions
from bench_core.commands import load

class Storage:
    def _weak_ref(self):
        raise KeyboardInterrupt  # as a Ctrl-C on the constructor's first line

class Broken:
    def __del__(self):
        raise AttributeError("not torch's")

def run(arguments):
    Broken()
    reductions.StorageWeakRef(Storage())

load.run = run
sys.argv[1:] = ["load"]
runpy.run_module("bench_core", run_name="__main__")
"""


def test_an_interrupt_inside_torch_is_clean() -> None:
    """Found by CI: a batch was just being received, and the destructor of the half made reference complained."""
    command = [sys.executable, "-c", INTERRUPTED_IN_TORCH]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130
    assert "_free_weak_ref" not in done.stderr
    assert "interrupted" in done.stderr
    assert "not torch's" in done.stderr  # nothing else is hidden


def test_interrupted_json_is_still_one_object(prepared_folder: Path) -> None:
    process, _ = started("--data", str(prepared_folder), "--json")
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(stdout)["completed"] is False


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1, 0.5])
def test_a_killed_worker_is_named(prepared_folder: Path, after_s: float) -> None:
    """Whenever it dies: while the loader is made, while a batch is handed over, while the main process works."""
    process, children = started("--data", str(prepared_folder))
    time.sleep(after_s)
    os.kill(children[-1], signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert f"(pid {children[-1]}) died with exit code -9 (SIGKILL)" in stderr
    if after_s >= 0.1:  # while it is being started, torch's own handler may raise where nobody can catch it
        assert "Traceback" not in stderr


@pytest.mark.parametrize("workers", ["0", "2"])
def test_errors_of_the_data_are_one_line_wherever_they_arise(prepared_folder: Path, workers: str) -> None:
    done = run("load", "--data", prepared_folder, "--workers", workers, "--length-voxels", "51", "--resolution-A", "4")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no valid pair for example" in done.stderr


def test_prepare_spares_a_store_of_other_structures(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.cif.gz").write_bytes(bench_core.embedded_structure("1a7g").read_bytes())
    out = tmp_path / "store"
    assert run("prepare", "--structures", tmp_path / "mine", "--out", out).returncode == 0
    refused = run("prepare", "--out", out)
    assert refused.returncode == 2
    assert "holds a store of 1 other structures" in refused.stderr
    assert bench_core.open_origins(out).tags == ("own",)
    assert run("prepare", "--out", out, "--force").returncode == 0
    assert len(bench_core.open_origins(out).tags) == 14


def test_a_store_without_origins_is_bad_input(tmp_path: Path) -> None:
    files = {"3jqh": bench_core.embedded_structure("3jqh")}
    prepare_store(files, tmp_path, bench_core.read_atoms, min_neighbours=1000)
    done = run("load", "--data", tmp_path)
    assert done.returncode == 2
    assert "holds no origins: prepare larger structures" in done.stderr.splitlines()[-1]


def test_a_store_by_other_rules_is_pointed_out(tmp_path: Path) -> None:
    files = {"1gbt": bench_core.embedded_structure("1gbt")}
    prepare_store(files, tmp_path, bench_core.read_atoms, min_neighbours=20)
    done = run("load", "--data", tmp_path, "--workers", "0", "--batches", "1", "--batch-size", "1")
    assert done.returncode == 0
    assert "was prepared with other parameters" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_folders_that_may_not_be_read_are_one_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    # Everything is imported before: somebody else may not be able to read this Python either.
    imports = "import os, sys, gemmi, rich.progress, scipy.spatial, torch, bench_core.commands.load as load"
    imports += "".join(f", bench_core.commands.{command}" for command in ("models", "prepare", "sweep", "train"))
    code = (
        f"{imports}; from bench_core.__main__ import main; load._require_torch = lambda: None; "
        "os.setuid(65534); sys.exit(main(sys.argv[1:]))"
    )
    for arguments in (("load", "--data"), ("prepare", "--out"), ("prepare", "--structures")):
        command = [sys.executable, "-c", code, *arguments, str(closed / "x")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Permission denied" in done.stderr


def test_a_closed_stdout_is_no_error_and_a_full_one_is_one_line(prepared_folder: Path) -> None:
    load = f"'{sys.executable}' -m bench_core load --data {prepared_folder} --workers 0 --batches 1 --json"
    closed = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {load} | true"], capture_output=True, text=True, timeout=60
    )
    assert (closed.returncode, closed.stderr) == (0, "")
    full = subprocess.run(["bash", "-c", f"{load} > /dev/full"], capture_output=True, text=True, timeout=60)
    assert full.returncode == 2
    assert full.stderr.strip().splitlines() == [
        "bench_core load: error: the result cannot be written to stdout: No space left on device"
    ]


def test_no_stderr_at_all(prepared_folder: Path) -> None:
    load = f"'{sys.executable}' -m bench_core load --data {prepared_folder} --workers 0 --batches 1 --json 2>&-"
    done = subprocess.run(["bash", "-c", load], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert json.loads(done.stdout)["examples"] == 16


def test_a_closed_stderr_does_not_stop_the_work(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m bench_core load --data {tmp_path} --workers 0 --batches 1 --json"
    done = subprocess.run(["bash", "-c", f"({command} > {tmp_path}/out.json) 2>&1 | true"], timeout=60)
    assert done.returncode == 0
    assert json.loads((tmp_path / "out.json").read_text())["examples"] == 16


def test_memray_without_follow_fork_warns(prepared_folder: Path, tmp_path: Path) -> None:
    def under_memray(*flags: str, workers: str, start_method: str = "fork") -> str:
        load = ["-m", "bench_core", "load", "--data", str(prepared_folder), "--batches", "1", "--workers", workers]
        load += ["--start-method", start_method]
        command = [sys.executable, "-m", "memray", "run", *flags, "-f", "-o", str(tmp_path / "capture.bin"), *load]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "add --follow-fork" in under_memray(workers="1")
    assert "--follow-fork" not in under_memray("--follow-fork", workers="1")
    assert "--follow-fork" not in under_memray(workers="0")
    assert "memray cannot follow workers of --start-method spawn" in under_memray(
        "--follow-fork", workers="1", start_method="spawn"
    )

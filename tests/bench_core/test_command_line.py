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
    assert not (tmp_path / "store" / "manifest.json").exists()


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
    assert result["examples_per_s"] == pytest.approx(12 / result["wall_s"])
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
    (tmp_path / "manifest.json").write_text("{}")
    done = run("load", "--data", tmp_path)
    assert done.returncode == 2
    assert "prepare" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_interrupt_is_clean(prepared_folder: Path) -> None:
    command = [sys.executable, "-m", "bench_core", "load", "--data", str(prepared_folder), "--batches", "100000",
               "--json"]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while len(children.read_text().split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    workers = children.read_text().split()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted after" in stderr
    assert json.loads(stdout)["completed"] is False
    assert not any(Path(f"/proc/{pid}/cmdline").exists() and b"bench_core" in Path(f"/proc/{pid}/cmdline").read_bytes()
                   for pid in workers)  # fmt: skip


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1, 0.5])
def test_a_killed_worker_is_named(prepared_folder: Path, after_s: float) -> None:
    """Whenever it dies: while the loader is made, while a batch is handed over, while the main process works."""
    command = [sys.executable, "-m", "bench_core", "load", "--data", str(prepared_folder), "--batches", "100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while len(children.read_text().split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(after_s)
    victim = int(children.read_text().split()[1])
    os.kill(victim, signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert f"(pid {victim}) died with exit code -9 (SIGKILL)" in stderr
    assert "Traceback" not in stderr


def test_memray_without_follow_fork_warns(prepared_folder: Path, tmp_path: Path) -> None:
    def under_memray(*flags: str, workers: str) -> str:
        load = ["-m", "bench_core", "load", "--data", str(prepared_folder), "--batches", "1", "--workers", workers]
        command = [sys.executable, "-m", "memray", "run", *flags, "-f", "-o", str(tmp_path / "capture.bin"), *load]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "add --follow-fork" in under_memray(workers="1")
    assert "--follow-fork" not in under_memray("--follow-fork", workers="1")
    assert "--follow-fork" not in under_memray(workers="0")

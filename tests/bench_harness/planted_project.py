"""A git repository with asv benchmarks whose commits are known: which one is slower, which one costs memory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from asv_projects import CONFIG, commit, make_project

import bench_harness

MACHINE = "planted-box"
# The benchmarks measure with the bench_harness that is tested; asv keeps PYTHONPATH from them.
INSTRUMENTS = Path(bench_harness.__file__).parents[1]
LINK = f"import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'own.pth').write_text('{INSTRUMENTS}')"

PACKAGE = '''"""The subject: some work, and what a worker holds."""

LOOPS = {loops}
MEGABYTES = {megabytes}


def work():
    total = 0
    for number in range(LOOPS):
        total += number * number % 7
    return total


def load():
    return bytearray(b"x") * (MEGABYTES * 1_000_000)
'''

BENCHMARKS = '''"""How long the work takes, and what each worker holds for itself."""

import multiprocessing
import time

import toy
from bench_harness.memory.worker_uss import uss_bytes

WORKERS = 2


def time_work():
    toy.work()


# CPU time: others on this machine count less. One long call a sample, which evens out what they do to the caches.
time_work.timer = time.process_time
time_work.rounds = 2
time_work.repeat = 3
time_work.number = 1
time_work.warmup_time = 0


def hold(loaded, leave):
    held = toy.load()
    loaded.release()
    leave.wait()
    del held


def track_uss_bytes_per_worker():
    context = multiprocessing.get_context("fork")
    loaded, leave = context.Semaphore(0), context.Event()
    workers = [context.Process(target=hold, args=(loaded, leave)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for _ in workers:
        loaded.acquire()
    held = [uss_bytes(worker.pid) for worker in workers]
    leave.set()
    for worker in workers:
        worker.join()
    return sum(held) / len(held)


track_uss_bytes_per_worker.unit = "bytes"
'''


@dataclass
class PlantedProject:
    """The repository; `commits` maps what a commit does to its hash."""

    folder: Path
    commits: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path) -> PlantedProject:
        """Make the repository, with the benchmarks and no commit yet."""
        make_project(
            folder,
            BENCHMARKS,
            results_dir="results",
            install_command=[*CONFIG["install_command"], f'python -c "{LINK}"'],
        )
        (folder / ".gitignore").write_text("results/\nprofiles/\n.asv/\n__pycache__/\n", encoding="utf-8")
        return cls(folder)

    def commit(self, name: str, loops: int = 600_000, megabytes: int = 10, message: str | None = None) -> str:
        """Commit a version of the package; commits are an hour apart, so that asv can order them."""
        date = f"2026-01-01T{len(self.commits):02d}:00:00Z"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GIT_AUTHOR_DATE", date)
            patch.setenv("GIT_COMMITTER_DATE", date)
            package = PACKAGE.format(loops=loops, megabytes=megabytes)
            self.commits[name] = commit(self.folder, message or name, package)
        return self.commits[name]

    def run(self, *command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command of Python modules in the repository: asv run ..., bench alert ..."""
        module = {"asv": "asv", "bench": "bench_harness"}[command[0]]
        home = self.folder / ".asv" / "home"
        home.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", module, *command[1:]],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, "HOME": str(home), "BENCH_MACHINE": MACHINE},
            timeout=timeout_s,
            check=False,
        )

    def run_asv(self, *names: str) -> None:
        """Measure commits by a real `asv run`."""
        done = self.run("asv", "machine", "--yes", "--machine", MACHINE)
        assert done.returncode == 0, done.stderr
        (self.folder / ".asv" / "hashes").write_text("\n".join(self.commits[name] for name in names), encoding="utf-8")
        done = self.run("asv", "run", "HASHFILE:.asv/hashes", "--machine", MACHINE)
        assert done.returncode == 0, done.stdout + done.stderr

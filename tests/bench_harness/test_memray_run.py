"""Runs under memray through the capture: forks, processes started anew, killed ones, and the one table of them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench_harness.capture.plan import Plan
from bench_harness.capture.supervisor import Outcome
from bench_harness.memory.memray_pages import write_pages
from bench_harness.memory.memray_run import FILE_NAME, MemrayOptions
from bench_harness.memory.memray_table import MergedTable, Place, ProcessAllocations, read_table
from bench_harness.report.memray_text import memray_parts
from bench_harness.report.tables import render_parts
from bench_harness.segments import Identity, read_segments

pytest.importorskip("memray")
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.name != "posix", reason="programs are captured on POSIX systems only"),
]

STARTS_TWO = """
import multiprocessing, os, signal, sys, time

def work(size, ending):
    held = allocate(size)
    if ending == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if ending == "wait":
        time.sleep(60)

def allocate(size):
    return bytearray(size)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    keep = allocate(3_000_000)
    processes = [context.Process(target=work, args=(n * 1_000_000, sys.argv[n])) for n in (2, 3)]
    for process in processes:
        process.start()
    for process, ending in zip(processes, sys.argv[2:4]):
        if ending == "wait":
            time.sleep(1)
            process.terminate()
        process.join()
"""

LOADER = """
import os, signal, sys, time, torch
from torch.utils.data import DataLoader, Dataset

class Examples(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, i):
        if i == 3:
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(500_000)

loader = DataLoader(Examples(), 1, num_workers=2, timeout=30, multiprocessing_context="fork")
try:
    for batch in loader:
        pass
except (RuntimeError, OSError, EOFError):
    pass
"""


class Ran(NamedTuple):
    """What a run under memray left."""

    outcome: Outcome
    folder: Path
    identities: list[Identity]
    table: MergedTable


RUN = """
import contextlib, json, sys
from dataclasses import asdict
from bench_harness.capture.plan import Plan
from bench_harness.capture.supervisor import run_target
outcome = run_target(Plan.from_json(sys.argv[1]), sys.argv[2:], lambda pid: contextlib.nullcontext(), quiet=True)
print(json.dumps(asdict(outcome)))
"""


def run(folder: Path, script: str, *arguments: str, **options: Any) -> Ran:
    """Run a script in a process of its own that supervises: it becomes the reaper of what the script leaves."""
    for name in ("segments", "memray"):
        (folder / name).mkdir()
    (folder / "script.py").write_text(script)
    plan = Plan(str(folder / "segments"), engine="none", memray=MemrayOptions(str(folder / "memray"), **options))
    command = [sys.executable, "-c", RUN, plan.to_json(), "script.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    identities = [segment.identity for segment in read_segments(folder / "segments")]
    table = read_table(folder / "memray", identities)
    return Ran(Outcome(**json.loads(done.stdout)), folder / "memray", identities, table)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_every_process_is_a_row_however_it_was_started(tmp_path: Path, method: str) -> None:
    ran = run(tmp_path, STARTS_TWO, method, "end", "end")
    assert ran.outcome.code == 0
    main, *others = ran.table.processes
    assert (main.label, main.role, main.capture) == ("main", "main", FILE_NAME)
    assert [each.label for each in others] == [identity.label() for identity in ran.identities[1:]]
    assert [each.pid for each in others] == [identity.pid for identity in ran.identities[1:]]
    assert main.peak_bytes > 3_000_000
    for each, size in zip(others, (2_000_000, 3_000_000), strict=True):
        assert size < each.peak_bytes < size + 1_500_000
        assert each.allocated_bytes is not None
        assert each.allocated_bytes >= each.peak_bytes
        assert each.allocations
        assert (each.allocating[0].function, each.held[0].function) == ("allocate", "allocate")
        assert each.held[0].bytes == pytest.approx(size, rel=0.01)
        assert each.closed
    assert ran.table.missing == []
    assert ran.table.warnings() == []


def test_a_killed_process_keeps_its_row(tmp_path: Path) -> None:
    ran = run(tmp_path, STARTS_TWO, "fork", "kill", "wait")
    _, killed, terminated = ran.table.processes
    assert (killed.closed, terminated.closed) == (False, True)
    assert killed.held[0].bytes == pytest.approx(2_000_000, rel=0.01)
    assert terminated.held[0].bytes == pytest.approx(3_000_000, rel=0.01)
    assert ran.table.missing == []


def test_workers_of_a_loader_are_named_by_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    ran = run(tmp_path, LOADER)
    labels = [each.label for each in ran.table.processes]
    assert labels == ["main", "loader-worker-0-epoch-0", "loader-worker-1-epoch-0"]
    first, second = ran.table.processes[1:]
    assert first.closed
    assert not second.closed
    assert first.allocated_bytes is not None
    assert first.allocated_bytes > 2 * 2_000_000  # two examples of half a million float32
    assert second.allocated_bytes is not None
    assert second.allocated_bytes > 2_000_000


def test_native_frames_name_the_function_of_c(tmp_path: Path) -> None:
    ran = run(tmp_path, STARTS_TWO, "fork", "end", "end", native=True)
    place = ran.table.processes[1].held[0]
    assert place.function == "allocate"
    assert place.native
    assert not place.native.startswith(("malloc", "PyMem_", "PyObject_Malloc"))


def test_who_left_no_capture_is_missing(tmp_path: Path) -> None:
    ran = run(tmp_path, STARTS_TWO, "fork", "end", "end")
    first, second = ran.table.processes[1:]
    (ran.folder / first.capture).unlink()
    (ran.folder / second.capture).write_bytes(b"")
    table = read_table(ran.folder, ran.identities)
    assert [each.label for each in table.processes] == ["main"]
    assert [each["label"] for each in table.missing] == [first.label, second.label]
    assert table.missing[0]["reason"] == "left no capture"
    assert table.missing[1]["reason"].startswith("0 bytes")
    assert set(table.missing[0]) == {"label", "pid", "rank", "loader", "worker", "epoch", "reason", "partial"}
    assert table.warnings()[0] == f"memray: 1 of 3 processes is missing: {first.label}: left no capture"
    text = render_parts(memray_parts(table.to_json()))
    assert f"  {first.label} is missing: left no capture\n" in text


def test_captures_made_by_hand_are_rows_without_names(tmp_path: Path) -> None:
    captures = tmp_path / "memray"
    captures.mkdir()
    (tmp_path / "script.py").write_text(STARTS_TWO)
    memray = [sys.executable, "-m", "memray", "run", "-q", "--follow-fork", "-o", str(captures / "load.bin")]
    subprocess.run([*memray, "script.py", "fork", "end", "end"], cwd=tmp_path, check=True, timeout=60)
    table = read_table(captures)
    assert [each.label for each in table.processes] == ["main"] + [f"worker {p.pid}" for p in table.processes[1:]]
    assert len(table.processes) == 3
    assert table.missing == []


def test_pages_are_memrays_own_and_need_no_network(tmp_path: Path) -> None:
    ran = run(tmp_path, STARTS_TWO, "fork", "end", "end")
    processes = ran.table.processes[1:2]
    pages = write_pages(ran.folder, processes, tmp_path / "pages")
    assert pages.warnings == []
    assert [path.name for path in pages.files.values()] == [
        f"{kind}-{processes[0].label}.html" for kind in ("temporal", "leaks")
    ]
    for path in pages.files.values():
        text = path.read_text(encoding="utf-8")
        assert "<html" in text
        assert not [line for line in text.splitlines() if "<script" in line and 'src="http' in line]
    (ran.folder / processes[0].capture).write_bytes(b"")
    (line, _) = write_pages(ran.folder, processes, tmp_path / "pages").warnings
    assert line.startswith(f"memray: no page temporal-{processes[0].label}.html: ")
    assert "\n" not in line


def test_the_table_is_drawn_from_the_record() -> None:
    place = Place("make", "package/images.py", 12, 1_500_000, 0.75, "c10::alloc_cpu")
    row = ProcessAllocations("main", "main", 7, "memray.bin", 12_345, 2_000_000, 1_500_000, False, [place], [place])
    table = MergedTable([row, ProcessAllocations("other", "process", 8, "memray.bin.8", None, None, 10, True)])
    text = render_parts(memray_parts(json.loads(json.dumps(table.to_json()))))
    assert "main        7        12,345        2 MB   1.5 MB   memray.bin (not closed)" in text
    assert "other       8             -           -     10 B   memray.bin.8" in text
    assert "75%   1.5 MB   make (package/images.py:12) in c10::alloc_cpu" in text
    assert text.endswith("pages a worker copies on write are invisible to it\n")

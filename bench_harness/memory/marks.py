"""Marks of what a captured process did when: loaders that start their workers, passes, epochs of Lightning.

SERIAL.marks in the folder of segments has one JSON object per line, written at once: a killed process loses none.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench_harness.memory.process_memory import read_cgroup_bytes, read_held

MARKS = ".marks"
# What is marked: workers_start and workers_up of a loader, before and after its workers are started; pass_start and
# pass_end, where it is exhausted; stage_start and stage_end, of Lightning.
STARTS = {"workers_start": "workers_up", "pass_start": "pass_end", "stage_start": "stage_end"}


@dataclass(frozen=True)
class Mark:
    """One moment.

    Args:
        time_s: time.monotonic(), which processes of one machine share.
        event: see STARTS.
        name: of the loader, or of the stage: sanity check, train epoch 0, validation 0.
        number: which pass over the loader, from 0.
        workers: num_workers of the loader; persistent: its persistent_workers.
        batches: handed out in the pass that ends; at the start of a pass, by its loader so far; at the start and end of
            a stage, by all loaders of the process so far.
        in_order: of a pass that starts, its batches, where rows are read in order: workers divide them, and none reads
            them all.
        pss_bytes, uss_bytes: of the process that marks, where it looked.
        cgroup_bytes: of its control group, where it looked.
    """

    time_s: float
    event: str
    name: str
    number: int = 0
    workers: int = 0
    persistent: bool = False
    batches: int | None = None
    in_order: int | None = None
    pss_bytes: int | None = None
    uss_bytes: int | None = None
    cgroup_bytes: int | None = None


class Marker:
    """Writes the marks of this process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self, mark: Mark, *, look: bool = False) -> None:
        """Note a moment; `look`: and what this process holds.

        Raises:
            OSError: the file cannot be written.
        """
        held = read_held() if look else None
        if held is not None:
            cgroup, _ = read_cgroup_bytes()
            mark = replace(mark, pss_bytes=held.pss_bytes, uss_bytes=held.uss_bytes, cgroup_bytes=cgroup)
        line = json.dumps(asdict(mark))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)


def read_marks(folder: Path) -> dict[str, list[Mark]]:
    """Return the marks of each process by serial, in order; a line that was cut off is left out."""
    marks: dict[str, list[Mark]] = {}
    for path in sorted(folder.glob(f"*{MARKS}")):
        lines = path.read_text(errors="replace").splitlines()
        marks[path.name.removesuffix(MARKS)] = [mark for line in lines if (mark := _mark(line)) is not None]
    return marks


def _mark(line: str) -> Mark | None:
    try:
        return Mark(**json.loads(line))
    except (ValueError, TypeError):
        return None

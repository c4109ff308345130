"""One table of all memray captures of a run: who allocated how often, how much, held what at the peak, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.memory.memray_files import NOTE, find_captures, read_capture, short_path, unreadable_reason
from bench_harness.optional import require
from bench_harness.segments import Identity

# What takes memory on behalf of others: named by native frames, it says nothing.
_ALLOCATORS = (
    "_PyObject_",
    "PyObject_Malloc",
    "_PyMem_",
    "PyMem_",
    "operator new",
    "malloc",
    "calloc",
    "posix_memalign",
)


@dataclass(frozen=True)
class Place:
    """A place in the code that allocated, and its bytes as a share of its process's.

    `native` is the innermost function of C or C++ that is no allocator, where --native recorded it.
    """

    function: str
    file: str
    line: int
    bytes: int
    share: float
    native: str | None = None


@dataclass(frozen=True)
class ProcessAllocations:
    """A process of the run: main, a worker by loader, number and epoch, or another.

    Args:
        allocated_bytes: sum over all allocations of its life, freed or not; None with allocations in captures made
            with --aggregate, which keep the peak alone.
        peak_bytes: the most that it held at a time; that of a worker is decided by timing, and differs by a tenth.
        closed: whether the process ended in order; the figures of one that was killed are whole too.
        allocating: by bytes over its life.
        held: by bytes at its peak.
    """

    label: str
    role: str
    pid: int
    capture: str
    allocations: int | None
    allocated_bytes: int | None
    peak_bytes: int
    closed: bool
    allocating: list[Place] = field(default_factory=list)
    held: list[Place] = field(default_factory=list)


@dataclass
class MergedTable:
    """All processes of a run, main first, then as they were started; `missing` as in a record's `workers`."""

    processes: list[ProcessAllocations] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the part "memray" of a record's results."""
        return {"processes": [asdict(process) for process in self.processes], "missing": self.missing, "note": NOTE}

    def warnings(self) -> list[str]:
        """Return a line per process without a readable capture."""
        total = len(self.processes) + len(self.missing)
        return [
            f"memray: 1 of {total} processes is missing: {each['label']}: {each['reason']}" for each in self.missing
        ]


def read_table(folder: Path, identities: Iterable[Identity] = (), top: int = 3) -> MergedTable:
    """Read every capture in `folder`.

    Args:
        identities: of the processes that were started (bench_harness.segments); they name the rows, and who of them
            left no capture is missing. Without any, rows are named by role and pid.
        top: places per process, both by bytes allocated and by bytes held at the peak.

    Raises:
        MissingPackageError: memray is not installed.
    """
    table = MergedTable()
    known: dict[int | None, Identity] = {each.pid: each for each in identities if each.pid is not None}
    unreadable: dict[int | None, str] = {}
    for path in find_captures(folder):
        found = _read(path, known, top)
        if isinstance(found, str):
            unreadable[_pid(path)] = found
        else:
            table.processes.append(found)
    _sort(table.processes, list(known))
    table.missing = _missing(table.processes, known, unreadable)
    return table


def _read(path: Path, known: dict[int | None, Identity], top: int) -> ProcessAllocations | str:
    """Return a row, or why there is none."""
    try:
        capture = read_capture(path, top=0)
    except OSError as error:
        return unreadable_reason(path, error)
    statistics = None
    if capture.allocations is not None:
        statistics = require("memray._memray", "memray").compute_statistics(str(path), num_largest=top)
    identity = known.get(capture.pid)
    role = identity.role if identity else capture.role
    return ProcessAllocations(
        label=identity.label() if identity else ("main" if role == "main" else f"{role} {capture.pid}"),
        role=role,
        pid=capture.pid,
        capture=path.name,
        allocations=statistics.total_num_allocations if statistics else None,
        allocated_bytes=statistics.total_memory_allocated if statistics else None,
        peak_bytes=capture.peak_bytes,
        closed=capture.closed,
        allocating=_allocating(statistics) if statistics else [],
        held=_held(path, top),
    )


def _allocating(statistics: Any) -> list[Place]:
    total = max(statistics.total_memory_allocated, 1)
    return [
        Place(function, short_path(file), line, size, round(size / total, 4))
        for (function, file, line), size in statistics.top_locations_by_size
    ]


def _held(path: Path, top: int) -> list[Place]:
    with require("memray", "memray").FileReader(path) as reader:
        has_native = reader.metadata.has_native_traces
        sizes: Counter[tuple[tuple[str, str, int], str | None]] = Counter()
        for record in reader.get_high_watermark_allocation_records(merge_threads=True):
            stack = record.stack_trace(1)
            native = _native(record.native_stack_trace()) if has_native else None
            sizes[stack[0] if stack else ("(no Python frame)", "", 0), native] += record.size
    total = max(sum(sizes.values()), 1)
    return [
        Place(function, short_path(file), line, size, round(size / total, 4), native)
        for ((function, file, line), native), size in sizes.most_common(top)
    ]


def _native(stack: Sequence[tuple[str, str, int]]) -> str | None:
    return next((name for name, _, _ in stack if not name.startswith(_ALLOCATORS)), None)


def _pid(path: Path) -> int | None:
    ending = path.suffix[1:]
    return int(ending) if ending.isdigit() else None


def _sort(processes: list[ProcessAllocations], order: list[int | None]) -> None:
    """As they were started, as far as that is known; main first."""
    places = {pid: place for place, pid in enumerate(order)}
    processes.sort(key=lambda process: (process.role != "main", places.get(process.pid, len(places)), process.pid))


def _missing(
    processes: Iterable[ProcessAllocations], known: dict[int | None, Identity], unreadable: dict[int | None, str]
) -> list[dict[str, Any]]:
    delivered = {process.pid for process in processes}
    lost = {pid: "left no capture" for pid in known if pid not in delivered} | unreadable
    return [_entry(pid, known.get(pid), reason) for pid, reason in lost.items()]


def _entry(pid: int | None, identity: Identity | None, reason: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"label": "main" if pid is None else f"process {pid}", "pid": pid}
    if identity is not None:
        entry |= {name: getattr(identity, name) for name in ("rank", "loader", "worker", "epoch")}
        entry["label"] = identity.label()
    return entry | {"reason": reason, "partial": False}

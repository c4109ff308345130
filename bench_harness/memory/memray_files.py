"""Read what `memray run --follow-fork -o DIR/load.bin` leaves: load.bin of the main process, load.bin.PID per fork."""

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.optional import require

NOTE = "memray sees what a process allocates after its fork; pages a worker copies on write are invisible to it"
_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_PAGE_BYTES = 1 << 16  # more than any page that memray fills up with zeros
# A fork of a process that was itself started anew under a name of its own has two pids in its name: the last is its.
_CAPTURE_NAME = re.compile(r"(?P<base>.+?\.bin)(?:(?:\.\d+)*\.(?P<pid>\d+))?")


@dataclass(frozen=True)
class Allocator:
    """A place in the code that held memory at the peak of one process."""

    function: str
    file: str
    line: int
    bytes: int
    share: float


@dataclass(frozen=True)
class ProcessMemory:
    """One readable capture.

    `allocations` is None for files written with --aggregate, which count groups instead. `closed` is False where the
    process left by os._exit, as multiprocessing's forked workers always do, or by a signal; the file does not tell
    which. Its numbers are whole all the same: memray writes through a memory map, and even one allocation just before
    a SIGKILL was there (memray 1.20).
    """

    role: str
    pid: int
    capture: str
    peak_bytes: int
    allocations: int | None
    closed: bool
    top: list[Allocator] = field(default_factory=list)


@dataclass
class MemrayTable:
    """All captures of one folder; `unreadable` maps a file name to the reason."""

    processes: list[ProcessMemory] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return results.memory of a record."""
        return {"processes": [asdict(process) for process in self.processes], "note": NOTE}

    def workers(self) -> dict[str, Any]:
        """Return the record's `workers`: only forks that left a file can be counted here."""
        delivered = sum(process.role == "worker" for process in self.processes)
        lost = [(split_name(name)[1], reason) for name, reason in self.unreadable.items()]
        missing = [{"pid": pid, "reason": reason, "partial": False} for pid, reason in lost if pid is not None]
        return {"expected": delivered + len(missing), "delivered": delivered, "missing": missing}

    def warnings(self) -> list[str]:
        """Return a line per unreadable capture."""
        total, failed = len(self.processes) + len(self.unreadable), len(self.unreadable)
        return [f"{failed} of {total} captures unreadable: {name}: {why}" for name, why in self.unreadable.items()]


def split_name(name: str) -> tuple[str, int | None]:
    """Return (base name, pid or None) of a capture's file name, or ("", None) if it is not one."""
    match = _CAPTURE_NAME.fullmatch(name)
    if match is None:
        return "", None
    return match["base"], int(match["pid"]) if match["pid"] else None


def find_captures(folder: Path) -> list[Path]:
    """Return the captures in `folder`, each main file before its forks."""
    if not folder.is_dir():
        return []
    paths = [path for path in folder.iterdir() if path.is_file() and split_name(path.name)[0]]
    return sorted(paths, key=lambda path: (split_name(path.name)[0], split_name(path.name)[1] or 0))


def read_folder(folder: Path, top: int = 3) -> MemrayTable:
    """Read every capture in `folder`; `top` allocators per process."""
    table = MemrayTable()
    for path in find_captures(folder):
        _read_into(table, path, top)
    return table


def _read_into(table: MemrayTable, path: Path, top: int) -> None:
    try:
        table.processes.append(read_capture(path, top))
    except OSError as error:
        table.unreadable[path.name] = unreadable_reason(path, error)


def read_capture(path: Path, top: int = 3) -> ProcessMemory:
    """Read one capture; OSError if memray cannot."""
    memray = require("memray", "memray")
    with memray.FileReader(path) as reader:
        metadata = reader.metadata
        records = list(reader.get_high_watermark_allocation_records(merge_threads=True))
    aggregated = metadata.file_format.name == "AGGREGATED_ALLOCATIONS"
    return ProcessMemory(
        role=_role(path.name, metadata.pid),
        pid=metadata.pid,
        capture=path.name,
        peak_bytes=metadata.peak_memory,
        allocations=None if aggregated else metadata.total_allocations,
        closed=_is_closed(path, metadata),
        top=_top_allocators(records, metadata.peak_memory, top),
    )


def _is_closed(path: Path, metadata: Any) -> bool:
    """Return whether memray finished the file.

    It then compresses it, unless under --no-compress: there a trailer, a byte 1, ends what it wrote, and zeros that
    fill up the page may follow. The end time in the header alone proves nothing: memray also writes it when it opens
    the file, so that a process killed at once may show an end a millisecond after its start.
    """
    with path.open("rb") as file:
        if file.read(4) == _LZ4_MAGIC:
            return True
        file.seek(max(0, path.stat().st_size - _PAGE_BYTES))
        written = file.read().rstrip(b"\0")
    return bool(metadata.end_time > metadata.start_time) and written.endswith(b"\x01")


def _role(name: str, pid: int) -> str:
    """main: the file without a suffix; worker: memray's own suffix for a fork; other: renamed by hand."""
    suffix = split_name(name)[1]
    if suffix is None:
        return "main"
    return "worker" if suffix == pid else "other"


def _top_allocators(records: list[Any], peak_bytes: int, count: int) -> list[Allocator]:
    sizes: Counter[tuple[str, str, int]] = Counter()
    for record in records:
        stack = record.stack_trace(1)
        sizes[stack[0] if stack else ("(no Python frame)", "", 0)] += record.size
    return [
        Allocator(function, short_path(file), line, size, round(size / max(peak_bytes, 1), 4))
        for (function, file, line), size in sizes.most_common(count)
    ]


def short_path(file: str) -> str:
    """Return `file` from the package or the working folder on: records are shared, home folders are not."""
    for mark in ("/site-packages/", "/dist-packages/"):
        if mark in file:
            return file.rpartition(mark)[2]
    standard_library = re.search(r"/lib/(python3\.\d+/.+)", file)
    if standard_library:
        return standard_library[1]
    try:
        return Path(file).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file if not file.startswith("/") else "/".join(Path(file).parts[-2:])


def unreadable_reason(path: Path, error: OSError) -> str:
    """Return why memray could not read a capture."""
    if path.stat().st_size == 0:
        # Under --aggregate nothing is written before the file is closed, and forked workers never close it.
        return "0 bytes (memray run --aggregate loses forked workers; run it without)"
    with path.open("rb") as file:
        start = file.read(8)
    # Finished captures are LZ4 frames, unfinished ones begin with memray's own magic.
    if start.startswith((_LZ4_MAGIC, b"memray")):
        return "truncated (was the file copied while memray was still writing?)"
    return f"not a memray capture ({error})"

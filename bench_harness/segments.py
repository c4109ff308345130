"""What captured processes leave on disk: one segment per process, in the folder `segments` of a run.

A serial names a process: "main", and for the n-th process that it started "main.n"; ranks of a distributed job begin
with "rank1" and so on instead of "main". A process leaves, each file written to a temporary name and renamed:

SERIAL.announced.json          its Identity, written by the parent before it starts: who is missing can be told
SERIAL.json                    its State, whenever it changes; `final` once it ended in order
SERIAL.pulse                   how long it has run, in place, again and again while nothing else of its State changes
SERIAL.exit                    its exit code, where its parent saw it: negative is the signal that killed it
SERIAL.prof                    cprofile engine: statistics up to the last dump: as pstats reads them once it ended,
                               before that as bench_harness.call_entries says
SERIAL.stacks.json             sampling engines: Stacks up to the last dump
SERIAL.threads.prof            cprofile engine: the same of its other threads, added up
SERIAL.setup.prof, .first.prof (or .stacks.json)   the same, frozen at a boundary of phases
SERIAL.facts.json              what `bench doctor` asked of it (bench_harness.capture.diagnosis)
SERIAL.pipeline                counters of the data pipeline (bench_harness.capture.pipeline)

While a process runs, SERIAL.prof and SERIAL.stacks.json may hold only what came after a boundary, and name it:
`read_statistics` and `read_stacks` put both together.

Phases: "setup" lasts to the first request of a batch (in a worker: to the first index it is sent), "first" to the end
of the first step (of the first fetch), the rest is "steady". Times of a phase are differences of these files.
"""

import contextlib
import dataclasses
import itertools
import json
import marshal
import os
import signal
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench_harness.call_entries import Entries

FOLDER = "segments"
MAIN = "main"  # the serial of the first process
ANNOUNCED = ".announced.json"
PROFILE = ".prof"
STACKS = ".stacks.json"
THREADS = ".threads.prof"
PIPELINE = ".pipeline"
PULSE = ".pulse"
PULSE_FIELDS = struct.Struct("=3d")  # wall_s, cpu_s and rss_bytes of its State
EXIT_CODE = ".exit"
_numbers = itertools.count()
BOUNDARIES = ("setup", "first")
Role = Literal["main", "worker", "process"]


def signal_name(number: int) -> str:
    """Return SIGKILL for 9; real-time signals have no name of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def signal_number(name: str) -> int:
    """Return 9 for SIGKILL: what `signal_name` was given."""
    known = signal.Signals.__members__.get(name)
    return int(name.rpartition(" ")[2]) if known is None else known.value


@dataclass
class Identity:
    """Who a captured process is: a pid alone may be given out twice.

    Args:
        serial: see the head of this module; unique within a run.
        role: main, a worker of a torch DataLoader, or another process of multiprocessing.
        rank: of a distributed job, else 0.
        loader: the loader's name, and which `worker` of it, in which `epoch` (how many iterators came before).
        name: multiprocessing's name of the process.
        parent_pid: of the process that started it.
        start_method: fork, forkserver, spawn; exec for a program started anew.
    """

    serial: str
    role: Role = "main"
    rank: int = 0
    loader: str | None = None
    worker: int | None = None
    epoch: int | None = None
    pid: int | None = None
    name: str | None = None
    parent_pid: int | None = None
    start_method: str | None = None

    def label(self) -> str:
        """Return a name for people and files: main, train_loader-worker-0-epoch-1, worker-pid-71, ForkPoolWorker-1."""
        if self.role == "worker" and self.worker is None:
            label = f"worker-{self.name}"  # seen from outside
        elif self.role == "worker":
            label = f"{self.loader or 'loader'}-worker-{self.worker}-epoch-{self.epoch}"
        else:
            number = self.serial.partition(".")[2]
            label = "main" if self.role == "main" else "-".join(filter(None, (self.name or "process", number)))
        return f"rank-{self.rank}-{label}" if self.serial.startswith("rank") else label


@dataclass
class State:
    """How far a captured process came.

    Args:
        final: whether this is the dump of its end; without it the process was killed, and the segment is partial.
        reason: what the dump was made for: running, exit, SIGTERM, os._exit, ...
        exception: one line about the exception that ended it, or that a worker sent to the main process.
        limits_bytes: limits of its memory at that moment, by name: RLIMIT_DATA.
        wall_s: seconds captured so far; cpu_s: user + system CPU seconds of the process in them.
        phases_s: seconds since the beginning at which a phase ended, by name (BOUNDARIES).
        frozen_s: seconds that freezing it there took, which belong to no phase.
        uss_bytes, pss_bytes: of its own smaps_rollup at the dump of its end; rss_bytes: at its last dump.
        first_uss_bytes: in a worker of the first pass over a loader, after its first batch.
        full_collections: how often Python's garbage collector went through all objects, which copies inherited ones.
        collected_uss_bytes: in a worker, what the first of those added to its USS.
        warnings: what could not be captured, one line each.
    """

    identity: Identity
    engine: str
    final: bool = False
    reason: str = "running"
    exception: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    phases_s: dict[str, float] = field(default_factory=dict)
    frozen_s: dict[str, float] = field(default_factory=dict)
    uss_bytes: int | None = None
    pss_bytes: int | None = None
    rss_bytes: int | None = None
    first_uss_bytes: int | None = None
    full_collections: int | None = None
    collected_uss_bytes: int | None = None
    limits_bytes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class Stacks:
    """Sampled stacks, folded: equal stacks are one sample whose weight is their time.

    Args:
        interval_s: time between samples.
        frames: (name, file, line of definition) of each distinct function.
        samples: indices into frames, outermost first.
        weights_s: seconds per sample.
        base: in a file of a running process: the boundary whose samples are to be added.
    """

    interval_s: float
    frames: list[tuple[str, str, int]]
    samples: list[list[int]]
    weights_s: list[float]
    base: str | None = None


@dataclass
class Segment:
    """A process of a run: announced, and perhaps with what it delivered.

    `data` and `boundaries` are the files of statistics or stacks that exist: up to the last dump, and by phase.
    `threads` are the statistics of its other threads: by phase, and "whole".
    `exit_code` is known where the parent lived to see it; negative is the signal that killed the process.
    """

    identity: Identity
    state: State | None
    data: Path | None
    boundaries: dict[str, Path]
    pipeline: Path | None
    exit_code: int | None = None
    threads: dict[str, Path] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether the process delivered the dump of its end."""
        return self.state is not None and self.state.final


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file through a temporary name; without fsync: it is done twice a second, and power cuts are rare."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}")  # a signal may begin a second one
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_document(path: Path, document: Any) -> None:
    """Write a dataclass as JSON, through a temporary name."""
    write_atomically(path, json.dumps(dataclasses.asdict(document)).encode())


def announce(folder: Path, identity: Identity) -> None:
    """Write who is about to start."""
    write_document(folder / f"{identity.serial}{ANNOUNCED}", identity)


def read_statistics(path: Path) -> Any:
    """Read a file of statistics, without checking them.

    Raises:
        OSError, EOFError, ValueError, TypeError: it is cut off or damaged, or the boundary that it names is.
    """
    document = marshal.loads(path.read_bytes())
    if not isinstance(document, tuple):
        return document
    entries = Entries()
    if document[0] is not None:
        entries.put(marshal.loads(_boundary(path, document[0]).read_bytes()))
    entries.put(document)
    return entries.table()


def read_stacks(path: Path) -> Stacks:
    """Read a file of stacks."""
    stacks = Stacks(**json.loads(path.read_text()))
    stacks.frames = [(name, file, line) for name, file, line in stacks.frames]
    if stacks.base is None:
        return stacks
    before = read_stacks(_boundary(path, stacks.base))
    known = len(before.frames)
    return Stacks(
        stacks.interval_s,
        before.frames + stacks.frames,
        before.samples + [[known + index for index in sample] for sample in stacks.samples],
        before.weights_s + stacks.weights_s,
    )


def _boundary(path: Path, name: str) -> Path:
    """Return the file of a boundary of the process that a file is of."""
    ending = STACKS if path.name.endswith(STACKS) else PROFILE
    return path.with_name(f"{path.name.removesuffix(ending)}.{name}{ending}")


def read_segments(folder: Path) -> list[Segment]:
    """Return the segments of a folder: main first, then by serial."""
    serials = {path.name.removesuffix(ANNOUNCED) for path in folder.glob(f"*{ANNOUNCED}")}
    return [_segment(folder, serial) for serial in sorted(serials, key=_order)]


def _order(serial: str) -> tuple[str, list[int]]:
    first, *rest = serial.split(".")
    return first, [int(part) for part in rest]


def _segment(folder: Path, serial: str) -> Segment:
    identity = Identity(**json.loads((folder / f"{serial}{ANNOUNCED}").read_text()))
    state_file = folder / f"{serial}.json"
    state = None
    if state_file.exists():
        document = json.loads(state_file.read_text())
        identity = Identity(**document.pop("identity"))
        state = State(identity=identity, **document)
        _catch_up(state, folder / f"{serial}{PULSE}")
    boundaries = {name: path for name in BOUNDARIES if (path := _data(folder, f"{serial}.{name}")) is not None}
    pipeline = folder / f"{serial}{PIPELINE}"
    code = folder / f"{serial}{EXIT_CODE}"
    stems = {"whole": serial, **{name: f"{serial}.{name}" for name in BOUNDARIES}}
    threads = {name: path for name, stem in stems.items() if (path := folder / f"{stem}{THREADS}").exists()}
    return Segment(
        identity,
        state,
        _data(folder, serial),
        boundaries,
        pipeline if pipeline.exists() else None,
        int(code.read_text()) if code.exists() else None,
        threads,
    )


def _catch_up(state: State, pulse: Path) -> None:
    """Put into a state of a running process what its pulse knows better."""
    content = b"" if state.final or not pulse.exists() else pulse.read_bytes()
    if len(content) < PULSE_FIELDS.size:
        return
    wall_s, cpu_s, rss_bytes = PULSE_FIELDS.unpack_from(content)
    if wall_s > state.wall_s:
        state.wall_s, state.cpu_s, state.rss_bytes = wall_s, cpu_s, int(rss_bytes) or None


def _data(folder: Path, stem: str) -> Path | None:
    paths = (folder / f"{stem}{ending}" for ending in (PROFILE, STACKS))
    return next((path for path in paths if path.exists()), None)

"""The files of counters: mapped into memory and shared, so that what was counted survives SIGKILL without a dump.

A process that iterates DataLoaders has a file of slots, one per loader; a worker has a file with one ring of its last
batches. All numbers are native doubles, all times seconds of time.monotonic(), which processes of one machine share.
"""

import errno
import json
import math
import mmap
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 2
_HEAD = struct.Struct("=8sII")  # magic, version, bytes of metadata
_LOADER, _WORKER = b"BHLOADER", b"BHWORKER"
DOUBLE = 8

# One batch as a worker left it. What the main thread of the worker knows is written before the batch is queued; the
# last three by the queue's thread, before the batch is sent.
ROW_FIELDS = (
    "index",
    "idle_s",
    "fetch_start",
    "fetch_end",
    "collate_s",
    "samples",
    "cpu_s",
    "stalled_s",
)
PICKLE_FIELDS = ("pickle_start", "pickle_end", "message_bytes")
ROW = struct.Struct(f"={len(ROW_FIELDS) + len(PICKLE_FIELDS)}d")
PICKLED = struct.Struct(f"={len(PICKLE_FIELDS)}d")
PICKLED_OFFSET = len(ROW_FIELDS) * DOUBLE
# A prime: the batches a worker holds are num_workers apart, and must not share a row.
RING_ROWS = 67
TOTAL_FIELDS = ("batches", "samples", "idle_s", "fetch_s", "collate_s", "cpu_s", "pickle_s", "message_bytes")
TOTALS = struct.Struct(f"={len(TOTAL_FIELDS)}d")
# When the last fetch began and ended, or the worker was ready for its first; it goes on if it ended before it began.
FETCHING = struct.Struct("=2d")
_FETCHING_OFFSET, _TOTALS_OFFSET, _ROWS_OFFSET = 32, 64, 64 + TOTALS.size
# How many items the last fetch asked for, and the first of them: what a worker that was killed was busy with.
MAX_ITEMS = 64
_ITEMS_OFFSET = _ROWS_OFFSET + RING_ROWS * ROW.size
RING_BYTES = _ITEMS_OFFSET + (1 + MAX_ITEMS) * DOUBLE

# One batch of a loader's loop, from the request for it to the next request; seconds, samples, bytes.
BATCH_FIELDS = (
    "steady", "samples", "request_s", "loader_wait_s", "transport_wait_s", "unknown_wait_s", "receive_s", "own_s",
    "step_s", "elsewhere_s", "copy_host_s", "fetch_s", "collate_s", "pickle_s", "idle_s", "dispatch_s", "stalled_s",
    "worker_cpu_s", "message_bytes", "pin_s", "pin_receive_s", "behind_s", "matched", "receive_idle_s",
    "held_up_s",
)  # fmt: skip
BATCH = struct.Struct(f"={len(BATCH_FIELDS)}d")
COUNTER_FIELDS = (
    "batches", "samples", "iterators", "firsts", "optimizer_steps", "tensor_bytes", "tensors", "copies_pinned",
    "copies_pageable", "copied_bytes", "copy_device_s", "copies_unread", "first_optimizer_steps", "warm_batches",
    "stride", "rows", "block_batches", "blocks",
)  # fmt: skip
COUNTERS = struct.Struct(f"={len(COUNTER_FIELDS)}d")
MAX_BLOCKS = 64
BLOCKS = struct.Struct(f"={MAX_BLOCKS}d")
SAMPLE_ROWS = 512
MAX_SLOTS = 16
_META_OFFSET, _META_BYTES = 64, 1984
_COUNTERS_OFFSET = 2048
_WARM_OFFSET = _COUNTERS_OFFSET + COUNTERS.size
_STEADY_OFFSET = _WARM_OFFSET + BATCH.size
_BLOCKS_OFFSET = _STEADY_OFFSET + BATCH.size
_SAMPLES_OFFSET = 4096
SLOT_BYTES = 26 * 4096
assert _BLOCKS_OFFSET + BLOCKS.size <= _SAMPLES_OFFSET
assert _SAMPLES_OFFSET + SAMPLE_ROWS * BATCH.size <= SLOT_BYTES


def mapped(path: Path, offset: int, size: int) -> mmap.mmap:
    """Map part of a file, which is made and grown as needed: parent and worker may come in either order."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        if os.fstat(handle).st_size < offset + size:
            _reserve(handle, offset + size)
        return mmap.mmap(handle, size, offset=offset)
    finally:
        os.close(handle)


def _reserve(handle: int, size: int) -> None:
    """Grow a file; where its blocks can be reserved, a full disk is an error now and no SIGBUS of the target later."""
    try:
        os.posix_fallocate(handle, 0, size)
    except AttributeError:
        os.ftruncate(handle, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        os.ftruncate(handle, size)


class Ring:
    """The last batches of a worker; it writes, the process that started it reads."""

    def __init__(self, path: Path) -> None:
        self._map = mapped(path, 0, RING_BYTES)
        _HEAD.pack_into(self._map, 0, _WORKER, VERSION, 0)

    @staticmethod
    def offset(index: int) -> int:
        """Return where the row of a batch begins."""
        return _ROWS_OFFSET + index % RING_ROWS * ROW.size

    def write(self, offset: int, *values: float) -> None:
        """Write a row, see ROW_FIELDS and PICKLE_FIELDS."""
        ROW.pack_into(self._map, offset, *values)

    def write_pickled(self, offset: int, *values: float) -> None:
        """Write the last columns of a row."""
        PICKLED.pack_into(self._map, offset + PICKLED_OFFSET, *values)

    def write_totals(self, values: Sequence[float]) -> None:
        """Write sums over all batches, see TOTAL_FIELDS."""
        TOTALS.pack_into(self._map, _TOTALS_OFFSET, *values)

    def write_fetching(self, began: float, ended: float) -> None:
        """Write when the last fetch began, and when it ended, or 0."""
        FETCHING.pack_into(self._map, _FETCHING_OFFSET, began, ended)

    def write_items(self, items: Sequence[Any]) -> None:
        """Write which items are about to be fetched; those that are no numbers are forgotten."""
        known = items[:MAX_ITEMS]
        try:
            struct.pack_into(f"={1 + len(known)}d", self._map, _ITEMS_OFFSET, len(items), *known)
        except (struct.error, TypeError, ValueError):
            struct.pack_into("=d", self._map, _ITEMS_OFFSET, 0.0)

    def fetched_within(self, start: float, end: float, batches: Iterable[int]) -> float:
        """Return for how long between two moments the worker fetched: one of `batches`, or what it fetches now."""
        rows = (self.read(index) for index in batches)
        fetches = {row[2]: row[3] for row in rows if row is not None}
        began, ended = FETCHING.unpack_from(self._map, _FETCHING_OFFSET)
        fetches[began] = ended if ended >= began else math.inf
        return sum(max(0.0, min(ended, end) - max(began, start)) for began, ended in fetches.items())

    def read(self, index: int) -> tuple[float, ...] | None:
        """Return the row of a batch; None where another batch has its place."""
        row = ROW.unpack_from(self._map, _ROWS_OFFSET + index % RING_ROWS * ROW.size)
        return row if row[0] == index and row[3] else None

    def totals(self) -> tuple[float, ...]:
        """Return sums over all batches, see TOTAL_FIELDS."""
        return TOTALS.unpack_from(self._map, _TOTALS_OFFSET)


class Slot:
    """What is known about the loop over one loader."""

    def __init__(self, path: Path, number: int) -> None:
        self._map = mapped(path, number * SLOT_BYTES, SLOT_BYTES)

    def write_meta(self, meta: dict[str, Any]) -> None:
        """Write what the loader is; what has no room is left out, last keys first."""
        while len(text := json.dumps(meta).encode()) > _META_BYTES:
            meta = dict(list(meta.items())[:-1])
        self._map[_META_OFFSET : _META_OFFSET + len(text)] = text
        _HEAD.pack_into(self._map, 0, _LOADER, VERSION, len(text))

    def write(
        self, counters: Sequence[float], warm: Sequence[float], steady: Sequence[float], blocks: Sequence[float]
    ) -> None:
        """Write all sums."""
        COUNTERS.pack_into(self._map, _COUNTERS_OFFSET, *counters)
        BATCH.pack_into(self._map, _WARM_OFFSET, *warm)
        BATCH.pack_into(self._map, _STEADY_OFFSET, *steady)
        BLOCKS.pack_into(self._map, _BLOCKS_OFFSET, *blocks, *(0.0,) * (MAX_BLOCKS - len(blocks)))

    def write_sample(self, number: int, values: Sequence[float]) -> None:
        """Write one batch among those that are kept."""
        BATCH.pack_into(self._map, _SAMPLES_OFFSET + number * BATCH.size, *values)

    def halve_samples(self) -> None:
        """Keep every other batch."""
        for number in range(SAMPLE_ROWS // 2):
            to, of = (_SAMPLES_OFFSET + row * BATCH.size for row in (number, 2 * number))
            self._map[to : to + BATCH.size] = self._map[of : of + BATCH.size]


@dataclass
class Fetched:
    """How far a worker came.

    Args:
        batches: that it fetched; last_batch: the number of the last one, as torch counts them.
        fetching: whether it was in the middle of a fetch; began_s: when the last one began, by time.monotonic().
        items: of its last fetch, the first MAX_ITEMS of `item_count`; empty where they are no numbers.
    """

    batches: int
    last_batch: int | None
    fetching: bool
    items: list[int]
    item_count: int
    began_s: float


def read_fetched(path: Path) -> Fetched | None:
    """Return how far the worker that wrote a file came; None if no worker did.

    Raises:
        OSError: the file cannot be read.
    """
    content = path.read_bytes()
    if len(content) < RING_BYTES or _HEAD.unpack_from(content)[:2] != (_WORKER, VERSION):
        return None
    rows = (ROW.unpack_from(content, _ROWS_OFFSET + number * ROW.size) for number in range(RING_ROWS))
    began, ended = FETCHING.unpack_from(content, _FETCHING_OFFSET)
    count = int(struct.unpack_from("=d", content, _ITEMS_OFFSET)[0])
    items = struct.unpack_from(f"={min(count, MAX_ITEMS)}d", content, _ITEMS_OFFSET + DOUBLE)
    return Fetched(
        batches=int(TOTALS.unpack_from(content, _TOTALS_OFFSET)[0]),
        last_batch=max((int(row[0]) for row in rows if row[3]), default=None),
        fetching=began > ended,
        items=[int(item) for item in items],
        item_count=count,
        began_s=began,
    )


def read_slots(path: Path) -> list[dict[str, Any]]:
    """Return the loaders of a file: meta, counters, warm, steady, blocks and samples by name of field.

    A worker's file has none. A damaged slot ends the list.

    Raises:
        OSError: the file cannot be read.
        ValueError: it was written by another version.
    """
    content = path.read_bytes()
    slots = []
    for start in range(0, len(content) - SLOT_BYTES + 1, SLOT_BYTES):
        magic, version, size = _HEAD.unpack_from(content, start)
        if magic != _LOADER:
            break
        if version != VERSION:
            raise ValueError(f"{path.name}: counters of version {version}, expected {VERSION}")
        slots.append(_read_slot(content[start : start + SLOT_BYTES], size))
    return slots


def _read_slot(content: bytes, meta_bytes: int) -> dict[str, Any]:
    counters = dict(zip(COUNTER_FIELDS, COUNTERS.unpack_from(content, _COUNTERS_OFFSET), strict=True))

    def batch(offset: int) -> dict[str, float]:
        return dict(zip(BATCH_FIELDS, BATCH.unpack_from(content, offset), strict=True))

    rows = min(int(counters["rows"]), SAMPLE_ROWS)
    return {
        "meta": json.loads(content[_META_OFFSET : _META_OFFSET + meta_bytes]),
        "counters": counters,
        "warm": batch(_WARM_OFFSET),
        "steady": batch(_STEADY_OFFSET),
        "blocks": list(BLOCKS.unpack_from(content, _BLOCKS_OFFSET)[: int(counters["blocks"])]),
        "samples": [batch(_SAMPLES_OFFSET + number * BATCH.size) for number in range(rows)],
    }

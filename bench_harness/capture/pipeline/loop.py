"""What is kept about the loop over one loader: sums, blocks for an interval of its rate, and a sample of batches."""

import operator
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_harness.capture.pipeline.layout import BATCH_FIELDS, COUNTER_FIELDS, MAX_BLOCKS, SAMPLE_ROWS, Slot

_FLUSH_S = 0.002
_NONE: tuple[float, ...] = (0.0,) * len(BATCH_FIELDS)
# The fields that others count, as attributes of a Loop; what it keeps to itself follows them in the file.
_COUNTED = operator.attrgetter(*COUNTER_FIELDS[: COUNTER_FIELDS.index("warm_batches")])


class Loop:
    """The loop over one loader, in a slot of the file of this process.

    Args:
        path: of the file.
        number: of the slot.
        meta: what the loader is.
    """

    def __init__(self, path: Path, number: int, meta: Mapping[str, Any]) -> None:
        self._slot = Slot(path, number)
        self._meta = dict(meta)
        self._slot.write_meta(self._meta)
        self.batches = 0
        self.samples = 0.0
        self.iterators = 0
        self.firsts = 0
        self.optimizer_steps = 0
        self.first_optimizer_steps = 0
        self.tensor_bytes = 0
        self.tensors = 0
        self.copies_pinned = 0
        self.copies_pageable = 0
        self.copied_bytes = 0.0
        self.copy_device_s = 0.0
        self.copies_unread = 0
        self._warm = self._steady = _NONE
        # Added up together: twenty sums at once cost little more than one.
        self._unsummed: tuple[list[Sequence[float]], list[Sequence[float]]] = ([], [])
        self._warm_batches = 0
        self._seen = 0
        self._stride = 1
        self._rows = 0
        self._blocks: list[float] = []
        self._block_batches = 1
        self._block_s = 0.0
        self._in_block = 0
        self._flushed = 0.0

    def describe(self, **meta: Any) -> None:
        """Change what is known about the loader."""
        if any(self._meta.get(key) != value for key, value in meta.items()):
            self._meta |= meta
            self._slot.write_meta(self._meta)

    def add(self, batch: list[float]) -> None:
        """Add one batch, complete with its step, see BATCH_FIELDS."""
        if batch[0]:
            self._unsummed[1].append(batch)
            self._add_to_block(batch[2] + batch[8])
        else:
            self._warm_batches += 1
            self._unsummed[0].append(batch)
        if self._seen % self._stride == 0:
            self._keep(batch)
        self._seen += 1
        now = time.monotonic()
        if now - self._flushed > _FLUSH_S:
            self._flushed = now
            self.flush()

    def _keep(self, batch: list[float]) -> None:
        if self._rows == SAMPLE_ROWS:
            self._slot.halve_samples()
            self._stride *= 2
            self._rows //= 2
            if self._seen % self._stride:
                return
        self._slot.write_sample(self._rows, batch)
        self._rows += 1

    def _add_to_block(self, period_s: float) -> None:
        self._block_s += period_s
        self._in_block += 1
        if self._in_block < self._block_batches:
            return
        self._blocks.append(self._block_s)
        self._block_s, self._in_block = 0.0, 0
        if len(self._blocks) == MAX_BLOCKS:
            self._blocks = [first + second for first, second in zip(self._blocks[::2], self._blocks[1::2], strict=True)]
            self._block_batches *= 2

    def flush(self) -> None:
        """Write the sums."""
        warm, steady = self._unsummed
        self._unsummed = ([], [])
        if warm:
            self._warm = tuple(map(sum, zip(self._warm, *warm, strict=True)))
        if steady:
            self._steady = tuple(map(sum, zip(self._steady, *steady, strict=True)))
        own = (self._warm_batches, self._stride, self._rows, self._block_batches, len(self._blocks))
        counters = (*_COUNTED(self), *own)
        self._slot.write(counters, self._warm, self._steady, self._blocks)


def cpus() -> int:
    """Return how many CPUs this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1

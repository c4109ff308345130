"""Which storages were alive when: the log of a simulated run, and the ledger of its fullest moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# What a storage is kept for; a storage that is several things is the first of them.
KINDS = ("parameters", "buffers", "inputs", "gradients", "optimizer", "saved activations", "temporaries", "workspace")


@dataclass
class Storage:
    """One storage; `born` and `died` are ticks of the census's clock, `died` is None while it lives."""

    size_bytes: int
    module: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    born: int
    kind: str = "temporaries"
    died: int | None = None

    def alive_at(self, tick: int) -> bool:
        """Tell whether it lived at this tick."""
        return self.born <= tick and (self.died is None or self.died > tick)

    def claim(self, kind: str, module: str | None = None) -> None:
        """Say what it is kept for; a claim that KINDS names earlier stands."""
        if KINDS.index(kind) < KINDS.index(self.kind):
            self.kind = kind
            self.module = self.module if module is None else module


@dataclass(frozen=True)
class Moment:
    """One point of the run: how much was alive, while which operator of which module ran in which phase."""

    tick: int
    live_bytes: int
    workspace_bytes: int
    step: int
    phase: str
    module: str
    op: str

    @property
    def total_bytes(self) -> int:
        """Live storages and what the operator itself holds."""
        return self.live_bytes + self.workspace_bytes


@dataclass
class Census:
    """Counts storages as they come and go; `round_up` is the allocator's rule for one block, bytes to bytes."""

    round_up: Callable[[int], int] = lambda size_bytes: size_bytes
    storages: list[Storage] = field(default_factory=list)
    live_bytes: int = 0
    tick: int = 0
    peak: Moment = Moment(0, 0, 0, 0, "", "", "")
    phase_peaks: dict[str, Moment] = field(default_factory=dict)

    def reset(self) -> None:
        """Forget every moment and every storage."""
        self.storages, self.live_bytes, self.tick = [], 0, 0
        self.peak, self.phase_peaks = Moment(0, 0, 0, 0, "", "", ""), {}

    def birth(self, size_bytes: int, module: str, op: str, shape: Iterable[int], dtype: str) -> Storage:
        """Count a new storage."""
        storage = Storage(self.round_up(size_bytes), module, op, tuple(shape), dtype, self.tick)
        self.storages.append(storage)
        self.live_bytes += storage.size_bytes
        return storage

    def death(self, storage: Storage) -> None:
        """Count a storage that was freed."""
        storage.died = self.tick
        self.live_bytes -= storage.size_bytes

    def after_op(self, op: str, module: str, phase: str, step: int, workspace_bytes: int) -> None:
        """Compare the moment at which an operator had made its results, and still held its workspace, to the peak."""
        moment = Moment(self.tick, self.live_bytes, self.round_up(workspace_bytes), step, phase, module, op)
        if moment.total_bytes > self.peak.total_bytes:
            self.peak = moment
        known = self.phase_peaks.get(phase)
        if known is None or moment.total_bytes > known.total_bytes:
            self.phase_peaks[phase] = moment
        self.tick += 1

    def alive_at(self, moment: Moment) -> list[Storage]:
        """Return what lived at a moment, largest first, the operator's workspace among it."""
        alive = [storage for storage in self.storages if storage.alive_at(moment.tick)]
        if moment.workspace_bytes:
            shape = (moment.workspace_bytes,)
            alive.append(
                Storage(moment.workspace_bytes, moment.module, moment.op, shape, "bytes", moment.tick, "workspace")
            )
        return sorted(alive, key=lambda storage: -storage.size_bytes)


def totals(storages: Iterable[Storage], key: Callable[[Storage], str]) -> dict[str, int]:
    """Return the bytes per `key`, largest first."""
    sums: dict[str, int] = {}
    for storage in storages:
        sums[key(storage)] = sums.get(key(storage), 0) + storage.size_bytes
    return dict(sorted(sums.items(), key=lambda item: -item[1]))

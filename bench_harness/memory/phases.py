"""Which phase a run was in when: before its workers, each pass over a loader or epoch of Lightning, teardown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench_harness.memory.marks import STARTS, Mark
from bench_harness.memory.sampler import Sample

BEFORE, SET_UP, TEARDOWN = "main before its workers", "set-up", "teardown"
_ENDS = {end: start for start, end in STARTS.items() if start != "workers_start"}


@dataclass
class Phase:
    """A part of a run.

    Args:
        name: train_loader pass 0, train epoch 0, validation 0, sanity check, ...
        start_s, end_s: time.monotonic().
        loader, number: whose pass it is; None for a stage of Lightning.
        batches: handed out in it; None where nobody counted.
        start_pss_bytes, end_pss_bytes, peak_pss_bytes: of the tree; None where no look fell into it.
        growth_per_batch_bytes: what the tree grew by per batch.
        processes: how many lived at its last look.
    """

    name: str
    start_s: float
    end_s: float
    loader: str | None = None
    number: int = 0
    batches: int | None = None
    start_pss_bytes: int | None = None
    end_pss_bytes: int | None = None
    peak_pss_bytes: int | None = None
    growth_per_batch_bytes: float | None = None
    processes: int = field(default=0)

    def to_json(self, begin_s: float) -> dict[str, Any]:
        """Return the phase with times since the beginning of the run."""
        row = asdict(self) | {"start_s": round(self.start_s - begin_s, 3), "end_s": round(self.end_s - begin_s, 3)}
        if self.growth_per_batch_bytes is not None:
            row["growth_per_batch_bytes"] = round(self.growth_per_batch_bytes)
        return row


def phases_of(marks: Sequence[Mark], begin_s: float, end_s: float) -> list[Phase]:
    """Return the phases of a process that marked its loaders and stages, by their start.

    Stages of Lightning say more than passes over the loaders in them; without Lightning there are only passes. A pass
    that was left before its loader was exhausted ends with the next pass, or the run.
    """
    staged = any(mark.event == "stage_start" for mark in marks)
    opening = "stage_start" if staged else "pass_start"
    phases: list[Phase] = []
    open_phases: dict[tuple[str, int], Phase] = {}
    begun: dict[tuple[str, int], int | None] = {}  # batches handed out before each
    for mark in marks:
        key = mark.name, mark.number
        if mark.event == opening:
            if not staged:
                _leave(open_phases, begun, mark)
            phase = Phase(_name(mark, staged), mark.time_s, end_s, None if staged else mark.name, mark.number)
            phases.append(phase)
            open_phases[key], begun[key] = phase, mark.batches
        elif _ENDS.get(mark.event) == opening and key in open_phases:
            phase = open_phases.pop(key)
            phase.end_s, phase.batches = mark.time_s, mark.batches
            if staged:
                phase.batches = _difference(mark.batches, begun.pop(key))
                _without_nested(phase, phases)
    return [*_before(marks, begin_s), *phases, *_teardown(phases, open_phases.values(), end_s)]


def _leave(open_phases: dict[tuple[str, int], Phase], begun: dict[tuple[str, int], int | None], mark: Mark) -> None:
    """End the passes over the same loader: this one is a new pass over it."""
    for key in [key for key in open_phases if key[0] == mark.name]:
        phase = open_phases.pop(key)
        phase.end_s, phase.batches = mark.time_s, _difference(mark.batches, begun.pop(key))


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


def _without_nested(phase: Phase, phases: Sequence[Phase]) -> None:
    """Leave out the batches of stages inside of a stage: validation lies within its train epoch."""
    for other in phases:
        if other is not phase and phase.start_s <= other.start_s and other.end_s <= phase.end_s:
            phase.batches = _difference(phase.batches, other.batches)


def _name(mark: Mark, staged: bool) -> str:
    return mark.name if staged else f"{mark.name} pass {mark.number}"


def _before(marks: Sequence[Mark], begin_s: float) -> list[Phase]:
    name = BEFORE if any(mark.workers for mark in marks) else SET_UP
    return [Phase(name, begin_s, marks[0].time_s)] if marks else []


def _teardown(phases: Sequence[Phase], still_open: Iterable[Phase], end_s: float) -> list[Phase]:
    if not phases or any(still_open):
        return []
    return [Phase(TEARDOWN, max(phase.end_s for phase in phases), end_s)]


def add_samples(phases: Iterable[Phase], samples: Sequence[Sample]) -> None:
    """Note in each phase what the looks that fell into it saw."""
    for phase in phases:
        within = [sample for sample in samples if phase.start_s <= sample.time_s <= phase.end_s]
        if not within:
            continue
        # Workers are forked during the first looks of a pass: growth is from when all are there.
        most = max(len(sample.processes) for sample in within)
        first = next(sample for sample in within if len(sample.processes) == most)
        phase.start_pss_bytes, phase.end_pss_bytes = first.pss_bytes, within[-1].pss_bytes
        phase.peak_pss_bytes = max(sample.pss_bytes for sample in within)
        phase.processes = len(within[-1].processes)
        grown = [sample for sample in within if len(sample.processes) == most and sample.time_s >= first.time_s]
        if phase.batches and len(grown) > 1:
            covered = (grown[-1].time_s - first.time_s) / (phase.end_s - phase.start_s)
            phase.growth_per_batch_bytes = (grown[-1].pss_bytes - first.pss_bytes) / (phase.batches * covered)

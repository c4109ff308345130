"""Pools of workers that stay, idle, after their pass: the permanent step that a validation loader makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench_harness.memory.sampler import Sample
from bench_harness.segments import Identity

# A pool that is shut down leaves within this time of its last batch.
_LEAVES_S = 1.0
_PERSISTENT = "persistent_workers=True keeps them"
_LIGHTNING = "Lightning keeps the pools of all its loaders until fit() ends, whatever persistent_workers says"
_REFERENCE = "something still holds the loader's iterator"


@dataclass(frozen=True)
class KeptPool:
    """Workers that lived on after their pass was over.

    Args:
        loader: whose they are.
        workers: how many; step_bytes: what they held (PSS) when the pass was over.
        since_s: when it was over, in seconds since the run began.
        reason: why they stay.
    """

    loader: str
    workers: int
    step_bytes: int
    since_s: float
    reason: str


def kept_pools(
    samples: Sequence[Sample],
    identities: Mapping[int, Identity],
    first_ends_s: Mapping[str, float],
    begin_s: float,
    *,
    next_starts_s: Mapping[str, float],
    persistent: Mapping[str, bool],
    lightning: bool,
) -> list[KeptPool]:
    """Return the pools that outlived the end of their first pass.

    Args:
        samples: of the tree, in order.
        identities: who a pid is.
        first_ends_s: by loader, when its first pass ended (time.monotonic()).
        begin_s: of the run.
        next_starts_s: by loader, when its second pass began: from then on its workers are no idle ones.
        persistent: by loader, its persistent_workers.
        lightning: whether Lightning runs the loops.
    """
    found = []
    for loader, end_s in first_ends_s.items():
        later = next((sample for sample in samples if sample.time_s > end_s + _LEAVES_S), None)
        if later is None or later.time_s >= next_starts_s.get(loader, math.inf):
            continue
        # Those of the first epoch: a second pass may have begun with workers of its own.
        alive = [
            held.pss_bytes
            for pid, held in later.processes.items()
            if (who := identities.get(pid)) is not None and who.loader == loader and who.epoch == 0
        ]
        if alive:
            reason = _PERSISTENT if persistent.get(loader) else _LIGHTNING if lightning else _REFERENCE
            found.append(KeptPool(loader, len(alive), sum(alive), round(end_s - begin_s, 3), reason))
    return found

"""How much memory more workers would need, and how many fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Run:
    """What one run held at its peak.

    Args:
        workers: num_workers of its loaders.
        peak_pss_bytes: of the tree.
        pools_uss_bytes: sum, over the pools of workers that were alive together, of the mean USS of a worker: training
            and validation together, where both are kept.
    """

    workers: int
    peak_pss_bytes: int
    pools_uss_bytes: int


@dataclass(frozen=True)
class Forecast:
    """A straight line: `base_bytes` without workers, and `per_worker_bytes` for each of num_workers."""

    base_bytes: int
    per_worker_bytes: int

    def peak_bytes(self, workers: int) -> int:
        """Return the peak of the tree with so many workers per loader."""
        return forecast(self.base_bytes, self.per_worker_bytes, workers)

    def most_workers(self, limit_bytes: int) -> int | None:
        """Return how many workers per loader fit; None: not even the main process does."""
        if self.base_bytes > limit_bytes:
            return None
        return (limit_bytes - self.base_bytes) // max(1, self.per_worker_bytes)


def forecast(base_pss_bytes: int, uss_growth_bytes: int, workers: int) -> int:
    """Return base PSS + W x USS growth: the pages that workers copied and made are theirs, the rest is shared."""
    return base_pss_bytes + workers * uss_growth_bytes


def fit(runs: Sequence[Run]) -> Forecast | None:
    """Return the forecast that runs support; None without a run that has workers.

    A worker's own pages are taken from the run with most workers, the base from all runs that have some: the main
    process of one without workers copies nothing, but reads everything itself.
    """
    with_workers = [run for run in runs if run.workers > 0]
    if not with_workers:
        return None
    per_worker = max(with_workers, key=lambda run: run.workers).pools_uss_bytes
    base = fmean(run.peak_pss_bytes - run.workers * run.pools_uss_bytes for run in with_workers)
    return Forecast(round(base), per_worker)

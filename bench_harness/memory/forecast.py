"""How much memory more workers would need, and how many fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

SHOWN_WORKERS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Pool:
    """The workers of one loader that a look saw alive together.

    Args:
        loader: whose they are.
        workers: how many there were.
        uss_bytes: mean of what one had for itself then.
        first_uss_bytes: mean of what one had for itself after its first batch; None where that was not looked at.
        batches: of a pass, where the loader's rows are read in order: workers divide them, and none copies them all.
        collected: in which part of them Python's garbage collector went through all objects.
        whole: whether these were all of them; those of a pool that starts or ends are not scaled.
    """

    loader: Hashable
    workers: int
    uss_bytes: float
    first_uss_bytes: float | None = None
    batches: int | None = None
    whole: bool = True
    collected: float = 0.0

    def line(self) -> tuple[float, float]:
        """Return what the pool holds for itself: bytes whatever the number of workers, and bytes per worker.

        Of n batches in order each of W workers reads n/W in every pass. What it holds after the first grows with those,
        and over all of them it grows alike: W x first + (n - W) x growth per batch.
        """
        if not self.whole:
            return self.workers * self.uss_bytes, 0.0
        first, share = self.first_uss_bytes, (self.batches or 0) / self.workers
        if first is None or share <= 1 or self.uss_bytes <= first:
            return 0.0, self.uss_bytes
        per_batch = (self.uss_bytes - first) / (share - 1)
        return (self.batches or 0) * per_batch, max(0.0, first - per_batch)


@dataclass(frozen=True)
class Moment:
    """What one look saw: `pss_bytes` of the tree, and the pools of workers in it."""

    pss_bytes: int
    pools: tuple[Pool, ...] = ()

    def line(self) -> Line:
        """Return what the tree would have held at that moment, by the number of workers."""
        lines = [pool.line() for pool in self.pools]
        shared = self.pss_bytes - sum(pool.workers * pool.uss_bytes for pool in self.pools)
        whole = [pool for pool in self.pools if pool.whole]
        return Line(
            round(shared + sum(base for base, _ in lines)),
            round(sum(each for _, each in lines)),
            collected=sum(pool.collected for pool in whole),
            spared=sum(1 - pool.collected for pool in whole),
        )


@dataclass(frozen=True)
class Line:
    """A straight line: `base_bytes` without workers, and `per_worker_bytes` for each of num_workers.

    Of the workers that one more in num_workers means, the garbage collector ran in `collected`, and not in `spared`.
    """

    base_bytes: int
    per_worker_bytes: int
    collected: float = 0.0
    spared: float = 0.0

    def if_collected(self, *, in_all: bool, copied_bytes: int) -> Line:
        """Return the line if the garbage collector ran in all workers, or in none; it copies `copied_bytes` in each."""
        more = self.spared if in_all else -self.collected
        return replace(self, per_worker_bytes=max(0, self.per_worker_bytes + round(more * copied_bytes)))

    def at(self, workers: int) -> int:
        """Return the bytes with so many workers per loader."""
        return forecast(self.base_bytes, self.per_worker_bytes, workers)


@dataclass(frozen=True)
class Run:
    """What a run held.

    Args:
        workers: num_workers of its loaders, the most of them.
        peak_pss_bytes: of the tree.
        moments: one for each set of pools that were alive together, at the peak of the tree among those.
        collected_bytes: what a full run of the garbage collector copies in a worker; None where it ran in none.
    """

    workers: int
    peak_pss_bytes: int
    moments: tuple[Moment, ...] = ()
    collected_bytes: int | None = None


@dataclass(frozen=True)
class Forecast:
    """The highest of some straight lines, one for each moment that may become the peak of the run.

    `collected_bytes` as of Run.
    """

    lines: tuple[Line, ...]
    collected_bytes: int | None = None

    def if_collected(self, *, in_all: bool) -> Forecast:
        """Return the forecast if the garbage collector ran in all workers, or in none."""
        return Forecast(
            tuple(line.if_collected(in_all=in_all, copied_bytes=self.collected_bytes or 0) for line in self.lines)
        )

    def peak_bytes(self, workers: int) -> int:
        """Return the peak of the tree with so many workers per loader."""
        return self.highest(workers).at(workers)

    def highest(self, workers: int) -> Line:
        """Return the line that decides with so many workers."""
        return max(self.lines, key=lambda line: (line.at(workers), line.per_worker_bytes))

    def most_workers(self, limit_bytes: int) -> int | None:
        """Return how many workers per loader fit; None: not even the run without any does."""
        if self.peak_bytes(0) > limit_bytes:
            return None
        growing = [line for line in self.lines if line.per_worker_bytes > 0] or self.lines
        return min((limit_bytes - line.base_bytes) // max(1, line.per_worker_bytes) for line in growing)


def forecast(base_pss_bytes: int, uss_growth_bytes: int, workers: int) -> int:
    """Return base PSS + W x USS growth: the pages that workers copied and made are theirs, the rest is shared."""
    return base_pss_bytes + workers * uss_growth_bytes


def moments_of(looks: Iterable[Moment]) -> tuple[Moment, ...]:
    """Return the looks that a forecast needs: of those that saw the same pools, the one of the fullest tree."""
    peaks: dict[Hashable, Moment] = {}
    for look in looks:
        pools = frozenset(Counter(pool.loader for pool in look.pools if pool.whole).items())
        if pools not in peaks or look.pss_bytes > peaks[pools].pss_bytes:
            peaks[pools] = look
    return tuple(peaks.values())


def fit(runs: Sequence[Run]) -> Forecast | None:
    """Return the forecast that runs support; None where in none of them workers were seen.

    It is made of the run with most workers. With a single worker per loader the pages that more of them would share
    count as its own, and without any the main process reads everything itself: such runs only say how it held.
    """
    for run in sorted(runs, key=lambda run: run.workers, reverse=True):
        lines = tuple(moment.line() for moment in run.moments)
        if run.workers > 0 and any(line.per_worker_bytes > 0 for line in lines):
            return Forecast(lines, run.collected_bytes)
    return None


def forecast_results(runs: Sequence[Run], limit_bytes: int | None) -> dict[str, Any] | None:
    """Return what a record holds of the forecast of some runs; None where no workers were seen."""
    found = fit(runs)
    if found is None:
        return None
    line = found.highest(SHOWN_WORKERS[-1])
    least, most = found.if_collected(in_all=False), found.if_collected(in_all=True)
    return {
        "runs": [{"workers": run.workers, "peak_pss_bytes": run.peak_pss_bytes} for run in runs],
        "base_bytes": line.base_bytes,
        "per_worker_bytes": line.per_worker_bytes,
        "rows": [
            {
                "workers": count,
                "peak_pss_bytes": found.peak_bytes(count),
                "least_pss_bytes": least.peak_bytes(count),
                "most_pss_bytes": most.peak_bytes(count),
            }
            for count in SHOWN_WORKERS
        ],
        "collected_bytes": found.collected_bytes,
        "limit_bytes": limit_bytes,
        "most_workers": None if limit_bytes is None else found.most_workers(limit_bytes),
        "most_workers_if_collected": None if limit_bytes is None else most.most_workers(limit_bytes),
    }

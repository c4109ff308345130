"""How long does an example take through a DataLoader, with 0, 1 and 2 forked workers?

Seconds per example, so that lower is better, as asv's step detection takes it. CPU seconds count the main process and
its workers: they hold still on a busy machine, where wall seconds do not.
"""

from __future__ import annotations

import resource
import time

from .base import PreparedSuite, subject
from .examples import make_pairs

BATCH_SIZE = 16
MAX_BATCHES = 40
EPOCH_S = 10.0
"""How long an epoch may take one process: commits that are a thousand times slower get fewer batches."""


def cpu_s() -> float:
    """CPU seconds, user and system, of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Loader(PreparedSuite):
    params = ([0, 1, 2],)
    param_names = ("workers",)

    def setup(self, folder: str, workers: int) -> None:
        make_loader, self.iterate = subject("bench_core.loaders", "make_loader", "iterate")
        subject("bench_core.loaders", "limit_threads")(1)
        pairs = make_pairs(folder, size=BATCH_SIZE * MAX_BATCHES)
        start = time.perf_counter()
        pairs[0]
        affordable = EPOCH_S / (time.perf_counter() - start) / BATCH_SIZE
        pairs.size = BATCH_SIZE * max(2, min(MAX_BATCHES, int(affordable)))
        self.loader = make_loader(pairs, BATCH_SIZE, workers, "fork")

    def epoch(self) -> int:
        """Run one epoch; the workers have ended, and been counted, when it returns."""
        return sum(len(x) for x, _ in self.iterate(self.loader))

    def track_wall_s_per_example(self, folder: str, workers: int) -> float:
        start = time.perf_counter()
        n = self.epoch()
        return (time.perf_counter() - start) / n

    def track_cpu_s_per_example(self, folder: str, workers: int) -> float:
        start = cpu_s()
        n = self.epoch()
        return (cpu_s() - start) / n

    track_wall_s_per_example.unit = "seconds"  # type: ignore[attr-defined]
    track_cpu_s_per_example.unit = "seconds"  # type: ignore[attr-defined]

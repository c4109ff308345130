"""One commit of an asv project as a side of a comparison.

Each round runs all benchmarks that are still wanted in one fresh process per side, in an order that is random and the
same on both sides. Benchmarks that do not time calls (track_, mem_, peakmem_) have a process of their own, as asv gives
them: what they measure is often the process.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Collection, Sequence
from typing import Any

from bench_harness.optional import require
from bench_harness.verdict.asv_process import Run, Starter, run_jobs
from bench_harness.verdict.asv_suite import TIMED, Benchmark, Listing
from bench_harness.verdict.sides import Key, Taken

_EMPTY: Listing = Listing()


class Caches:
    """The folders that setup_cache made on one side: once per comparison, as asv makes them once per commit."""

    def __init__(self, environment: Any, root: str) -> None:
        self._spawner = require("asv.runner", "asv").Spawner(environment, root)
        self._made: dict[str, tuple[str | None, str | None]] = {}

    def folder(self, benchmark: Benchmark) -> tuple[str | None, str | None]:
        """Return (folder, None) or (None, why there is none)."""
        key = benchmark.cache
        if key is None:
            return None, None
        if key not in self._made:
            made, said = self._spawner.create_setup_cache(benchmark.name, benchmark.cache_timeout_s, "{}")
            lines = [line.strip() for line in (said or "").splitlines() if line.strip()]
            told = [line for line in lines if not line.startswith("asv: setup_cache failed")]
            self._made[key] = made, None if made else f"setup_cache failed: {(told or lines or ['?'])[-1]}"
        return self._made[key]

    def close(self) -> None:
        """Remove the folders."""
        for folder, _ in self._made.values():
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


class AsvSide:
    """One commit, in its environment; see `verdict.sides.Side`.

    Args:
        label: what the user called the commit.
        plans: by title, how often to call; found out once by whichever side comes first, and the same on both.
        own: the benchmarks here.
        other: those of the other side.
    """

    def __init__(
        self, label: str, start: Starter, root: str, caches: Caches, plans: dict[str, list[int]], own: Listing
    ) -> None:
        self.label = label
        self.own, self.other = own, _EMPTY
        self.calibration_s = 0.0
        self._start, self._root, self._caches, self._plans = start, root, caches, plans

    def measure(self, wanted: Collection[Key] | None, seed: int, timeout_s: float | None) -> Taken:
        """Measure what is wanted; see `verdict.sides.Side`.

        Where no side has found out yet how often to call a benchmark, a process before that one does, whose time
        counts as start-up.
        """
        began = time.perf_counter()
        taken = Taken()
        titles = None if wanted is None else {key.title for key in wanted}
        self._note_absent(titles, taken)
        chosen = [each for title, each in sorted(self.own.benchmarks.items()) if titles is None or title in titles]
        random.Random(seed).shuffle(chosen)
        ready = self._with_caches(chosen, taken)
        self._calibrate(ready, timeout_s, taken)
        timed = [each for each in ready if each.kind in TIMED and each.title in self._plans and not _told(each, taken)]
        apart = [[each] for each in ready if each.kind not in TIMED]
        for group in [timed, *apart] if timed else apart:
            run = self._run(group, timeout_s, planned=True)
            taken.body_s += run.body_s
            self._take(group, run, taken)
        taken.startup_s = time.perf_counter() - began - taken.body_s
        return taken

    def _note_absent(self, titles: Collection[str] | None, taken: Taken) -> None:
        for title, benchmark in self.other.benchmarks.items():
            if title not in self.own.benchmarks and (titles is None or title in titles):
                failed, why = self.own.absence(benchmark.name)
                (taken.failures if failed else taken.skipped)[title] = why

    def _with_caches(self, chosen: Sequence[Benchmark], taken: Taken) -> list[Benchmark]:
        ready = []
        for benchmark in chosen:
            _, why = self._caches.folder(benchmark)
            if why is None:
                ready.append(benchmark)
            else:
                taken.failures[benchmark.title] = why
        return ready

    def _calibrate(self, ready: Sequence[Benchmark], timeout_s: float | None, taken: Taken) -> None:
        unknown = [each for each in ready if each.kind in TIMED and each.title not in self._plans]
        if unknown:
            began = time.perf_counter()
            self._take(unknown, self._run(unknown, timeout_s, planned=False), taken)
            self.calibration_s += time.perf_counter() - began

    def _run(self, group: Sequence[Benchmark], timeout_s: float | None, planned: bool) -> Run:
        jobs = [
            {
                "job": number,
                "name": each.name,
                "index": each.index,
                "kind": each.kind,
                "folder": self._caches.folder(each)[0],
                "cache": each.cache is not None,
                "plan": self._plans.get(each.title) if planned else None,
                "timeout_s": min(each.timeout_s, timeout_s or each.timeout_s),
            }
            for number, each in enumerate(group)
        ]
        return run_jobs(self._start, self._root, jobs)

    def _take(self, group: Sequence[Benchmark], run: Run, taken: Taken) -> None:
        for number, benchmark in enumerate(group):
            event = run.by_job.get(number, {"event": "failed", "why": run.trouble})
            if event["event"] == "done":
                values = event["values"]
                taken.values.update({key: float(values[_field(key, values)]) for key in benchmark.keys})
            elif event["event"] == "planned":
                self._plans[benchmark.title] = event["plan"]
            elif event["event"] == "skipped":
                taken.skipped[benchmark.title] = event["why"]
            else:
                taken.failures[benchmark.title] = str(event["why"])


def _field(key: Key, values: dict[str, float]) -> str:
    return key.metric if key.metric in values else "value"


def _told(benchmark: Benchmark, taken: Taken) -> bool:
    return benchmark.title in taken.failures or benchmark.title in taken.skipped

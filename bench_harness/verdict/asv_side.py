"""One commit of an asv project as a side of a comparison.

Each round runs all benchmarks that are still wanted in one fresh process per side, in an order that is random and the
same on both sides. Benchmarks that do not time calls (track_, mem_, peakmem_) have a process of their own, as asv gives
them: what they measure is often the process. So has each metric of the others that is counted or watched (asv_ways).
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Collection, Sequence
from typing import Any

from bench_harness.errors import CouldNotMeasureError
from bench_harness.optional import require
from bench_harness.verdict import asv_ways
from bench_harness.verdict.asv_process import TIMED_OUT, Run, Starter, run_jobs
from bench_harness.verdict.asv_suite import TIMED, Benchmark, Listing
from bench_harness.verdict.metrics import CLOCKS
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

    several_at_once = False  # caches and hangs are found out once, by one process

    def __init__(
        self, label: str, start: Starter, root: str, caches: Caches, plans: dict[str, list[int]], own: Listing
    ) -> None:
        self.label = label
        self.own, self.other = own, _EMPTY
        self.preparing_s = 0.0
        self._start, self._root, self._caches, self._plans = start, root, caches, plans
        self._hangs: dict[str, str] = {}

    def prepare(self, timeout_s: float | None) -> None:
        """Make the caches, and find out how often to call the benchmarks of which no side has found it out yet."""
        began = time.perf_counter()
        ready = self._with_caches(list(self.own.benchmarks.values()), Taken())
        unknown = [each for each in ready if each.kind in TIMED and each.title not in self._plans]
        if unknown:
            taken = Taken()
            self._plan(unknown, timeout_s, taken)
            # Others that failed are tried again in the rounds; one that hangs would cost each round its timeout.
            self._hangs = {title: why for title, why in taken.failures.items() if why.startswith(TIMED_OUT)}
        self.preparing_s += time.perf_counter() - began

    def measure(self, wanted: Collection[Key] | None, seed: int, timeout_s: float | None) -> Taken:
        """Measure what is wanted; see `verdict.sides.Side`."""
        began = time.perf_counter()
        taken = Taken()
        titles = set(self.own.benchmarks) | set(self.other.benchmarks)
        titles = titles if wanted is None else titles & {key.title for key in wanted}
        self._note_absent(titles, taken)
        chosen = [self.own.benchmarks[title] for title in sorted(titles & set(self.own.benchmarks))]
        random.Random(seed).shuffle(chosen)
        ready = self._with_caches(chosen, taken)
        asked = {key for each in ready for key in each.keys if wanted is None or key in wanted}
        timed = [each for each in ready if each.kind in TIMED and _metrics(each, asked) & set(CLOCKS)]
        apart = [[each] for each in ready if each.kind not in TIMED]
        for group in [timed, *apart] if timed else apart:
            run = self._run(group, timeout_s)
            taken.body_s += run.body_s
            self._take(group, run, taken)
        for benchmark in ready:
            for metric in asv_ways.WAYS:
                if metric in _metrics(benchmark, asked) and benchmark.title not in taken.failures | taken.skipped:
                    self._count(benchmark, metric, timeout_s, taken)
        taken.startup_s = time.perf_counter() - began - taken.body_s
        return taken

    def _note_absent(self, titles: Collection[str], taken: Taken) -> None:
        for title in titles:
            if title not in self.own.benchmarks:
                failed, why = self.own.absence(self.other.benchmarks[title].name)
                (taken.failures if failed else taken.skipped)[title] = why

    def _with_caches(self, chosen: Sequence[Benchmark], taken: Taken) -> list[Benchmark]:
        """Return those that can run; the others have failed."""
        ready = []
        for benchmark in chosen:
            _, why = self._caches.folder(benchmark)
            why = why or self._hangs.get(benchmark.title)
            if why is None:
                ready.append(benchmark)
            else:
                taken.failures[benchmark.title] = why
        return ready

    def _count(self, benchmark: Benchmark, metric: str, timeout_s: float | None, taken: Taken) -> None:
        """Take a metric that needs processes of its own; without it the benchmark has failed."""
        if benchmark.title not in self._plans:  # it failed while that was found out, and may do better now
            self._plan([benchmark], timeout_s, taken)
        if benchmark.title not in self._plans:
            return
        try:
            run, value = asv_ways.measure(self._start, self._root, metric, self._job(0, benchmark, timeout_s))
        except CouldNotMeasureError as error:
            taken.failures[benchmark.title] = f"{metric}: {error}"
            return
        taken.body_s += run.body_s
        if value is None:
            self._take([benchmark], run, taken)
        else:
            taken.values.update({key: value for key in benchmark.keys if key.metric == metric})

    def _plan(self, unknown: Sequence[Benchmark], timeout_s: float | None, taken: Taken) -> None:
        """Find out how often to call benchmarks."""
        self._take(unknown, self._run(unknown, timeout_s, plan_only=True), taken)

    def _run(self, group: Sequence[Benchmark], timeout_s: float | None, plan_only: bool = False) -> Run:
        jobs = [{**self._job(number, each, timeout_s), "plan_only": plan_only} for number, each in enumerate(group)]
        return run_jobs(self._start, self._root, jobs)

    def _job(self, number: int, benchmark: Benchmark, timeout_s: float | None) -> dict[str, Any]:
        return {
            "job": number,
            "name": benchmark.name,
            "index": benchmark.index,
            "kind": benchmark.kind,
            "folder": self._caches.folder(benchmark)[0],
            "cache": benchmark.cache is not None,
            "plan": self._plans.get(benchmark.title),
            "plan_only": False,
            "timeout_s": min(benchmark.timeout_s, timeout_s or benchmark.timeout_s),
        }

    def _take(self, group: Sequence[Benchmark], run: Run, taken: Taken) -> None:
        for number, benchmark in enumerate(group):
            event = run.by_job.get(number, {"event": "failed", "why": run.trouble})
            if "plan" in event:
                self._plans.setdefault(benchmark.title, event["plan"])
            if event["event"] == "done":
                values = event["values"]
                keys = [key for key in benchmark.keys if key.metric not in asv_ways.WAYS]
                taken.values.update({key: float(values[_field(key, values)]) for key in keys})
            elif event["event"] == "skipped":
                taken.skipped[benchmark.title] = event["why"]
            elif event["event"] == "failed":
                taken.failures[benchmark.title] = str(event["why"])


def _metrics(benchmark: Benchmark, asked: Collection[Key]) -> set[str]:
    return {key.metric for key in benchmark.keys if key in asked}


def _field(key: Key, values: dict[str, float]) -> str:
    return key.metric if key.metric in values else "value"

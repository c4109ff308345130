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
from bench_harness.verdict.asv_process import TIMED_OUT, Run, Starter, run_jobs
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
            run, taken = self._run(unknown, timeout_s, plan_only=True), Taken()
            self._take(unknown, run, taken)
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
        timed = [each for each in ready if each.kind in TIMED]
        apart = [[each] for each in ready if each.kind not in TIMED]
        for group in [timed, *apart] if timed else apart:
            run = self._run(group, timeout_s)
            taken.body_s += run.body_s
            self._take(group, run, taken)
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

    def _run(self, group: Sequence[Benchmark], timeout_s: float | None, plan_only: bool = False) -> Run:
        jobs = [
            {
                "job": number,
                "name": each.name,
                "index": each.index,
                "kind": each.kind,
                "folder": self._caches.folder(each)[0],
                "cache": each.cache is not None,
                "plan": self._plans.get(each.title),
                "plan_only": plan_only,
                "timeout_s": min(each.timeout_s, timeout_s or each.timeout_s),
            }
            for number, each in enumerate(group)
        ]
        return run_jobs(self._start, self._root, jobs)

    def _take(self, group: Sequence[Benchmark], run: Run, taken: Taken) -> None:
        for number, benchmark in enumerate(group):
            event = run.by_job.get(number, {"event": "failed", "why": run.trouble})
            if "plan" in event:
                self._plans.setdefault(benchmark.title, event["plan"])
            if event["event"] == "done":
                values = event["values"]
                taken.values.update({key: float(values[_field(key, values)]) for key in benchmark.keys})
            elif event["event"] == "skipped":
                taken.skipped[benchmark.title] = event["why"]
            elif event["event"] == "failed":
                taken.failures[benchmark.title] = str(event["why"])


def _field(key: Key, values: dict[str, float]) -> str:
    return key.metric if key.metric in values else "value"

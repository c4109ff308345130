"""What benchmarks a side has: asv's own discovery and selection, by title instead of asv's positions.

The suite is the working tree's on both sides, but its lists of parameters and its imports may depend on the commit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench_harness.errors import UsageError
from bench_harness.history.asv_results import param_label
from bench_harness.optional import require
from bench_harness.verdict.asv_process import Run
from bench_harness.verdict.metrics import CLOCKS, UNITS
from bench_harness.verdict.sides import Key

TIMED = ("time", "timeraw")
_METRICS = {"mem": ("size_bytes", "bytes"), "peakmem": ("peak_rss_bytes", "bytes")}
_VALUE = "value"
# What can be asked for; of a text in an interpreter of its own nothing is counted.
METRICS = (*UNITS, _VALUE, *(name for name, _ in _METRICS.values()))
_OF_TEXTS = (*CLOCKS, "peak_pss_bytes")


@dataclass(frozen=True)
class Benchmark:
    """One benchmark with one combination of its parameters, on one side.

    Args:
        keys: what it measures; its title is theirs.
        kind: time, timeraw, track, mem or peakmem, or what a plugin of asv_runner calls it.
        index: of the combination in asv's order on this side; None: without parameters.
        cache: the key of its setup_cache; None: it has none.
    """

    keys: tuple[Key, ...]
    kind: str
    index: int | None
    timeout_s: float
    cache: str | None
    cache_timeout_s: float

    @property
    def name(self) -> str:
        """As asv has it, without parameters."""
        return self.keys[0].benchmark

    @property
    def title(self) -> str:
        """The name with the parameters."""
        return self.keys[0].title


@dataclass(frozen=True)
class Listing:
    """The selected benchmarks of one side by title, and why others are not there.

    Args:
        names: of all benchmarks, those that were not selected too.
        broken: by module of the suite, why it cannot be imported.
        trouble: why the suite cannot be listed at all; None: it can.
    """

    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    broken: dict[str, str] = field(default_factory=dict)
    trouble: str | None = None

    def absence(self, name: str) -> tuple[bool, str]:
        """Return (whether it is a failure, why) benchmark `name` of the other side is not here."""
        if self.trouble is not None:
            return True, self.trouble
        for module, why in self.broken.items():
            if not module or name.startswith(f"{module}."):
                return True, f"its module cannot be imported: {why}"
        return False, "not in the suite on this side"


def check_regex(regex: str | None) -> None:
    """Raise UsageError where --bench is no regular expression: before anything is built for it."""
    try:
        re.compile(regex or "")
    except re.error as error:
        raise UsageError(f"--bench {regex!r} is no regular expression: {error}") from error


def listing(run: Run, conf: Any, regex: str | None, metrics: Collection[str] = ()) -> Listing:
    """Select from what a side listed, as asv's --bench does: by names with parameters, as name(1, 'fast').

    Args:
        metrics: of METRICS, those to measure; benchmarks that have none of them are left out. None named: the clocks,
            and what tracks and memory benchmarks return.
    """
    broken = {event["module"]: event["why"] for event in run.others if event["event"] == "broken"}
    if run.trouble is not None:
        return Listing(trouble=f"the suite cannot be listed: {run.trouble}")
    events = [event for event in run.others if event["event"] == "benchmark"]
    kinds = {event["fields"]["name"]: event["kind"] for event in events}
    chosen = require("asv.benchmarks", "asv").Benchmarks(conf, [event["fields"] for event in events], regex)
    found = {}
    for name, fields in chosen.items():
        for benchmark in _combinations(fields, kinds[name], chosen.benchmark_selection[name], conf, metrics):
            found[benchmark.title] = benchmark
    return Listing(found, tuple(kinds), broken)


def _combinations(
    fields: dict[str, Any], kind: str, chosen: list[int] | None, conf: Any, metrics: Collection[str]
) -> Iterator[Benchmark]:
    measured = _metrics(kind, fields.get("unit") or "", metrics)
    if not measured:
        return
    timeout_s = float(fields.get("timeout") or conf.default_benchmark_timeout)
    cache_timeout_s = float(fields.get("setup_cache_timeout") or timeout_s)
    cache = fields.get("setup_cache_key")
    combinations = list(itertools.product(*fields["params"])) if fields["params"] else [()]
    for index in range(len(combinations)) if chosen is None else chosen:
        params = tuple(zip(fields["param_names"], map(param_label, combinations[index]), strict=True))
        keys = tuple(Key(fields["name"], params, *metric) for metric in measured)
        yield Benchmark(keys, kind, index if params else None, timeout_s, cache, cache_timeout_s)


def _metrics(kind: str, unit: str, asked: Collection[str]) -> list[tuple[str, str, str]]:
    if kind in TIMED:
        able = _OF_TEXTS if kind == "timeraw" else tuple(UNITS)
        return [(name, UNITS[name], "lower") for name in able if name in (asked or CLOCKS)]
    name, own_unit = _METRICS.get(kind, (_VALUE, unit))
    return [(name, own_unit, "lower")] if not asked or name in asked else []

"""Series: the values of one benchmark and parameter combination, on one machine in one environment, over commits.

A series ends where its values stop being comparable: a new version of the benchmark, another environment, machine or
set of parameters. The next one says why it began.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench_harness.history.asv_results import AsvResults, number, param_label, param_names
from bench_harness.history.commits import CommitLine

Params = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Point:
    """What was measured at one commit.

    Args:
        commit: the full hash.
        position: of the commit in its line, counted over measured and unmeasured commits.
        value: asv's value (of times, the median of all samples); None with the reason in `why`.
        samples: as recorded, in the order of the processes that took them; empty where asv did not keep them.
        started_ms: when it was measured, in milliseconds since 1970; 0 where unknown.
    """

    commit: str
    position: int
    value: float | None
    samples: tuple[float, ...] = ()
    why: str | None = None
    started_ms: float = 0.0


@dataclass(frozen=True)
class Series:
    """Comparable values in git order.

    Args:
        rounds: processes that asv starts per commit, by the benchmark's own attribute; None where unknown.
        began: why it does not continue an earlier series, None for the first one.
        line: all commits, measured or not, that `Point.position` counts.
    """

    benchmark: str
    params: Params
    machine: str
    environment: str
    version: str | None
    unit: str | None
    points: tuple[Point, ...]
    rounds: int | None = None
    began: str | None = None
    line: tuple[str, ...] = field(default=(), repr=False)

    @property
    def measured(self) -> tuple[Point, ...]:
        """The points that have a value."""
        return tuple(point for point in self.points if point.value is not None)

    def between(self, first: Point, last: Point) -> tuple[str, ...]:
        """Return the commits after `first` and before `last` in git order."""
        return self.line[first.position + 1 : last.position]


def build_series(results: AsvResults, line: CommitLine) -> list[Series]:
    """Return every series of `results` whose commits are on `line`, by benchmark, parameters and first commit."""
    grouped: dict[tuple[str, Params, str, str], list[tuple[str | None, Point]]] = {}
    for commit in results.commits:
        position = line.positions.get(commit.commit)
        if position is not None:
            for file in commit.files:
                for benchmark, params, version, point in _points(results, file, commit.commit, position):
                    grouped.setdefault((benchmark, params, commit.machine, file.env_name), []).append((version, point))
    pieces = [_series(results, key, line, run) for key, found in grouped.items() for run in _runs(found)]
    pieces.sort(key=lambda one: (one.benchmark, one.params, one.points[0].position, one.machine, one.environment))
    return _with_reasons(pieces)


def _points(
    results: AsvResults, file: Any, commit: str, position: int
) -> Iterator[tuple[str, Params, str | None, Point]]:
    for benchmark in sorted(file.get_all_result_keys()):
        axes = file.get_result_params(benchmark) or []
        names = param_names(results.benchmarks.get(benchmark, {}), len(axes))
        values = file.get_result_value(benchmark, axes)
        samples = file.get_result_samples(benchmark, axes)
        version = file.benchmark_version.get(benchmark)
        started_ms = float(file.started_at.get(benchmark) or 0)
        for combination, value, taken in zip(itertools.product(*axes), values, samples, strict=False):
            labels = tuple(zip(names, map(param_label, combination), strict=True))
            one, why = number(value)
            if why != "skipped":  # a commit older than the feature has nothing to say
                point = Point(commit, position, one, _numbers(taken), why, started_ms)
                yield benchmark, labels, None if version is None else str(version), point


def _numbers(samples: Any) -> tuple[float, ...]:
    found = [number(item)[0] for item in samples or ()]
    return tuple(item for item in found if item is not None)


def _runs(found: list[tuple[str | None, Point]]) -> list[list[tuple[str | None, Point]]]:
    """Cut the points of one place at each new version of the benchmark; one that comes back is new again."""
    found = sorted(found, key=lambda item: item[1].position)
    return [list(run) for _, run in itertools.groupby(found, key=lambda item: item[0])]


def _series(
    results: AsvResults,
    key: tuple[str, Params, str, str],
    line: CommitLine,
    run: list[tuple[str | None, Point]],
) -> Series:
    benchmark, params, machine, environment = key
    described = results.benchmarks.get(benchmark, {})
    unit, rounds = described.get("unit"), described.get("rounds")
    return Series(
        benchmark,
        params,
        machine,
        environment,
        version=run[0][0],
        unit=unit if isinstance(unit, str) else None,
        points=tuple(point for _, point in run),
        rounds=rounds if isinstance(rounds, int) and rounds > 0 else None,
        line=line.commits,
    )


def _with_reasons(pieces: list[Series]) -> list[Series]:
    by_benchmark: dict[str, list[Series]] = {}
    for one in pieces:
        by_benchmark.setdefault(one.benchmark, []).append(one)
    return [_with_reason(one, by_benchmark[one.benchmark]) for one in pieces]


def _with_reason(one: Series, others: list[Series]) -> Series:
    """Say what changed since the series that this one takes over from, if one of the benchmark ended before it."""
    start = one.points[0].position
    ended = [other for other in others if other.points[-1].position < start]
    if not ended:
        return one
    same_place = [other for other in ended if _place(other) == _place(one)]
    # The last one of the same place, else the last of the most similar ones.
    fewest = min(len(_changes(other, one)) for other in ended)
    similar = [other for other in ended if len(_changes(other, one)) == fewest]
    last = max(same_place or similar, key=lambda other: other.points[-1].position)
    began = f"{' and '.join(_changes(last, one))} at {one.points[0].commit[:12]}"
    return dataclasses.replace(one, began=began)


def _place(one: Series) -> tuple[Params, str, str]:
    return one.params, one.machine, one.environment


def _changes(before: Series, after: Series) -> list[str]:
    pairs = (
        ("benchmark version", before.version, after.version),
        ("machine", before.machine, after.machine),
        ("environment", before.environment, after.environment),
        ("parameters", _shown(before.params), _shown(after.params)),
    )
    return [f"{what} changed from {_short(old)} to {_short(new)}" for what, old, new in pairs if old != new]


def _short(text: str | None) -> str:
    if text is None:
        return "none"
    # asv's own versions are 64 hex digits.
    return text if len(text) <= 60 else f"{text[:12]}...{text[-20:]}" if not _is_hash(text) else text[:12]


def _is_hash(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _shown(params: Params) -> str:
    return ", ".join(f"{name}={value}" for name, value in params) or "none"

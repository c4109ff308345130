"""asv's results of base and head, side by side: the same machine, environment, benchmark version and parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench_harness.history.asv_results import AsvResults, Commit, Measurement

Params = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Values:
    """What one results file holds of one benchmark: a measurement per combination of parameters."""

    by_params: dict[Params, Measurement]
    version: str | None
    seconds: float
    samples: dict[Params, int]


@dataclass(frozen=True)
class Side:
    """The results of one commit on one machine, by environment."""

    commit: str
    machine: str | None = None
    files: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, commit: str, found: Commit | None) -> "Side":
        """Return the side of a commit; without results it has no files."""
        if found is None:
            return cls(commit)
        return cls(commit, found.machine, {file.env_name: file for file in found.files})

    def values(self, results: AsvResults, environment: str, benchmark: str) -> Values | None:
        """Return what was measured in an environment, None where nothing was."""
        file = self.files.get(environment)
        if file is None or benchmark not in file.get_all_result_keys():
            return None
        return values_of(results, file, benchmark)


def values_of(results: AsvResults, file: Any, benchmark: str) -> Values:
    """Return what a results file holds of a benchmark."""
    measured = results.values(Commit(file.commit_hash, "", "", (file,)), benchmark)
    by_params = {tuple(one.params.items()): one for one in measured}
    axes = file.get_result_params(benchmark) or []
    stats = file.get_result_stats(benchmark, axes)
    samples = file.get_result_samples(benchmark, axes)
    counts = {params: _count(stat, taken) for params, stat, taken in zip(by_params, stats, samples, strict=False)}
    return Values(
        by_params,
        file.benchmark_version.get(benchmark),
        float(file.duration.get(benchmark) or 0.0),
        {params: count for params, count in counts.items() if count},
    )


def _count(stats: Any, samples: Any) -> int:
    if isinstance(samples, list):
        return len(samples)
    repeat = stats.get("repeat") if isinstance(stats, dict) else None
    return repeat if isinstance(repeat, int) else 0


def choose_sides(results: AsvResults, base: str, head: str, here: str, wanted: str | None = None) -> tuple[Side, Side]:
    """Return the sides on one machine: the one wanted, this one, or the one that measured both most recently.

    Only where no machine measured both are they of two machines, which the caller must say aloud.
    """
    at = {commit: {one.machine: one for one in results.commits if one.commit == commit} for commit in (base, head)}
    if wanted is not None:
        return Side.of(base, at[base].get(wanted)), Side.of(head, at[head].get(wanted))
    both = [machine for machine in results.machines() if machine in at[base] and machine in at[head]]
    machine = here if here in both else next(iter(both), None)
    if machine is not None:
        return Side.of(base, at[base][machine]), Side.of(head, at[head][machine])
    only = [at[commit].get(here) or next(iter(at[commit].values()), None) for commit in (base, head)]
    return Side.of(base, only[0]), Side.of(head, only[1])


def environments(base: Side, head: Side) -> list[str]:
    """Return the environments that measured either side; none at all where there are no results."""
    return sorted({*base.files, *head.files})


def benchmarks(base: Side, head: Side, environment: str) -> list[str]:
    """Return the benchmarks with results of either side in an environment."""
    files = [side.files[environment] for side in (base, head) if environment in side.files]
    return sorted({name for file in files for name in file.get_all_result_keys()})


def earlier_values(
    results: AsvResults, side: Side, environment: str, benchmark: str, order: Sequence[str]
) -> Iterator[Values]:
    """Yield what the commits of `order` (oldest first) left on the machine of `side`, of the same benchmark version."""
    here = {one.commit: one for one in results.commits if one.machine == side.machine}
    now = side.values(results, environment, benchmark)
    for commit in order:
        file = (
            next((one for one in here[commit].files if one.env_name == environment), None) if commit in here else None
        )
        if file is not None and benchmark in file.get_all_result_keys():
            values = values_of(results, file, benchmark)
            if now is None or values.version == now.version:
                yield values

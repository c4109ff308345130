"""Findings from asv's results alone, for what no comparison measured side by side."""

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bench_harness.alert import asv_sides
from bench_harness.alert.asv_sides import Params, Side, Values
from bench_harness.alert.confirming import pattern
from bench_harness.alert.findings import Finding, Outcome
from bench_harness.alert.noise import is_time, noise_of
from bench_harness.alert.rules import judge
from bench_harness.config import Config
from bench_harness.history.asv_results import AsvResults, Measurement

METRICS = {"time": "time_s", "timeraw": "time_s", "peakmemory": "peak_rss_bytes", "memory": "size_bytes"}


@dataclass(frozen=True)
class Question:
    """What is asked of asv's results.

    Args:
        order: commits before head, the oldest first: the noise history is read from them.
        wanted: a regular expression for benchmarks; None: all.
        covered: titles of findings that a comparison measured already,
        covered_in: and asv's environments that it did so in, as far as it tells.
    """

    results: AsvResults
    base: Side
    head: Side
    config: Config
    order: Sequence[str]
    wanted: str | None = None
    covered: Collection[str] = ()
    covered_in: Collection[str] = ()


def findings(question: Question) -> Iterator[Finding]:
    """Yield one finding per benchmark, parameters and environment that has a result of either side."""
    names = asv_sides.environments(question.base, question.head)
    for environment in names:
        for benchmark in asv_sides.benchmarks(question.base, question.head, environment):
            if question.wanted is None or re.search(question.wanted, benchmark):
                # Several environments (versions of Python, say) are told apart, a single one needs no name.
                yield from _of_benchmark(question, benchmark, environment, environment if len(names) > 1 else None)


def _of_benchmark(question: Question, benchmark: str, environment: str, shown: str | None) -> Iterator[Finding]:
    results = question.results
    a, b = (side.values(results, environment, benchmark) for side in (question.base, question.head))
    histories: dict[Params, list[float]] | None = None
    for params in _combinations(a, b):
        finding = _new(question, benchmark, params, shown)
        # Where there are several environments, a comparison in one of them says nothing of the others.
        elsewhere = shown is not None and question.covered_in and environment not in question.covered_in
        if finding.title in question.covered and not elsewhere:
            continue
        why = _incomparable(question, benchmark, a, b, params)
        if why is not None:
            finding.outcome, finding.words, finding.rerun = why
        else:
            assert a is not None
            assert b is not None
            histories = histories if histories is not None else _histories(question, environment, benchmark)
            _compare(finding, a, b, params, histories.get(params, []))
        yield finding


def _combinations(a: Values | None, b: Values | None) -> list[Params]:
    return list(dict.fromkeys([*(b.by_params if b else ()), *(a.by_params if a else ())]))


def _new(question: Question, benchmark: str, params: Params, environment: str | None) -> Finding:
    described = question.results.benchmarks.get(benchmark, {})
    metric = METRICS.get(str(described.get("type")), "value")
    unit = described.get("unit")
    return Finding(
        benchmark,
        dict(params),
        metric,
        unit if isinstance(unit, str) else None,
        environment=environment,
        rule=question.config.rule_for(benchmark, metric, [value for _, value in params]),
        machines={"base": question.base.machine, "head": question.head.machine},
        commits={"base": question.base.commit, "head": question.head.commit},
    )


def _histories(question: Question, environment: str, benchmark: str) -> dict[Params, list[float]]:
    series: dict[Params, list[float]] = {}
    earlier = asv_sides.earlier_values(question.results, question.head, environment, benchmark, question.order)
    for values in earlier:
        for params, one in values.by_params.items():
            if one.value is not None:
                series.setdefault(params, []).append(one.value)
    return series


def asv_run(benchmark: str, *commits: str) -> str:
    """Return the command that measures a benchmark at commits."""
    chosen = shlex.quote(pattern([benchmark]))
    return " && ".join(f"asv run --bench {chosen} {commit[:12]}^!" for commit in commits)


def _incomparable(
    question: Question, benchmark: str, a: Values | None, b: Values | None, params: Params
) -> tuple[Outcome, str, str] | None:
    """Return (outcome, words, command) where a side has no result of this benchmark that could be compared."""
    base, head = question.base.commit, question.head.commit
    one_a, one_b = (side.by_params.get(params) if side else None for side in (a, b))
    if one_b is None and benchmark not in question.results.benchmarks and question.results.benchmarks:
        return Outcome.SKIPPED, "no longer in the suite", ""
    if one_b is None and b is not None and b.by_params:  # asv keeps a value, or null, of each that there is
        return Outcome.SKIPPED, "no longer among the parameters", ""
    if one_b is None:
        return Outcome.NOT_MEASURED, f"no result at head {head[:12]}", asv_run(benchmark, head)
    if one_a is None:
        return Outcome.NOT_MEASURED, f"no result at base {base[:12]}", asv_run(benchmark, base)
    if a is not None and b is not None and a.version != b.version:
        words = "the benchmark itself changed: asv's version of it differs between base and head"
        return Outcome.NOT_MEASURED, words, asv_run(benchmark, base, head)
    return None


def _compare(finding: Finding, a: Values, b: Values, params: Params, history: list[float]) -> None:
    one_a, one_b = a.by_params[params], b.by_params[params]
    finding.base, finding.head = one_a.value, one_b.value
    if one_a.value is None or one_b.value is None:
        finding.outcome, finding.words = _without_value(one_a, one_b)
        if finding.outcome is Outcome.NOT_MEASURED:
            finding.rerun = asv_run(finding.name, *finding.commits.values())
        elif finding.outcome is Outcome.FAILED:
            finding.rerun = asv_run(finding.name, finding.commits["head"]).replace("asv run", "asv run --show-stderr")
        return
    finding.noise = noise_of(history, is_time=is_time(finding.unit))
    finding.samples = (a.samples.get(params, 0) + b.samples.get(params, 0)) or None
    finding.seconds = round(a.seconds + b.seconds, 3) or None
    judge(finding)


def _without_value(a: Measurement, b: Measurement) -> tuple[Outcome, str]:
    """Return what two measurements mean of which at least one has no value: null, n/a, or something else."""
    odd = next((one for one in (b, a) if one.why not in (None, "failed", "skipped")), None)
    if odd is not None:
        side = "head" if odd is b else "base"
        return Outcome.NOT_MEASURED, f"{odd.why} at {side}: a benchmark must return one finite number"
    if b.why == "failed":
        at_base = {None: "works at base", "skipped": "is skipped at base", "failed": "fails at base, too"}[a.why]
        failed_before = a.why == "failed"
        return (Outcome.SKIPPED if failed_before else Outcome.FAILED), f"fails at head, {at_base}"
    if b.why == "skipped":
        at_base = {None: "measured at base", "skipped": "and at base", "failed": "fails at base"}[a.why]
        return Outcome.SKIPPED, f"n/a: skipped at head, {at_base}"
    return Outcome.SKIPPED, f"n/a at base ({a.why}), measured at head: nothing to compare with"

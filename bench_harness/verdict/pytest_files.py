"""`bench compare --pytest BASE HEAD`: what pytest-benchmark left by --benchmark-json or --benchmark-autosave.

The rounds of such a file are those of one process, and a fresh process has a level of its own: taken for replicates
they raised false alarms in 10 to 16 of 100 comparisons of equal code. So the file is the replicate. Its value for a
benchmark is the median of its rounds, or another of STATISTICS. How much files differ is estimated from the files
themselves, together with what is known beforehand of processes: a deviation of 2 % (`process_sd`), which counts as
much as `_PRIOR_DEGREES` + 1 files. With one file a side that prior is all there is, and an alarm takes a change of
11 %, more where its rounds scatter; with ten it hardly matters.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_harness.errors import NothingMeasuredError
from bench_harness.statistics.intervals import Center, sd
from bench_harness.verdict.changes import Scale, center_of
from bench_harness.verdict.fixed import Measured, Source
from bench_harness.verdict.judgement import Judgement
from bench_harness.verdict.placing import proven
from bench_harness.verdict.pytest_storage import STATISTICS, Benchmark, Run, read_runs
from bench_harness.verdict.rule import Rule
from bench_harness.verdict.sides import Key

PROCESS_SD = 0.02
_PRIOR_DEGREES = 6
_METRICS = {"process_time": "cpu_s", "thread_time": "cpu_s"}  # by the timer of the benchmark; else wall_s


def read_pytest(base: str, head: str, folder: Path, statistic: str = STATISTICS[0]) -> Source:
    """Read the files of both sides.

    Args:
        base, head: files, folders, patterns or numbers of the storage, separated by commas; see `pytest_storage`.
        folder: where the storage .benchmarks is looked for.
        statistic: of the rounds of a file, one of STATISTICS.

    Raises:
        UsageError: a side cannot be found or is no result of pytest-benchmark, or a file stands on both sides.
        NothingMeasuredError: no benchmark is on both sides.
    """
    a, b = read_runs(base, head, folder, statistic)
    turns = took_turns(a, b)
    source = Source(
        base={"commit": _common(run.commit for run in a), "label": f"pytest-benchmark {base}"},
        head={"commit": _common(run.commit for run in b), "label": f"pytest-benchmark {head}"},
        warnings=[*differences([*a, *b]), *_order_warning(a, b, turns)],
        certificate={
            "source": "pytest-benchmark",
            "files": {"a": [run.name for run in a], "b": [run.name for run in b]},
            "took_turns": turns,
            "statistic": statistic,
        },
    )
    _add_benchmarks(source, a, b, turns)
    if not source.measured:
        raise NothingMeasuredError(f"{base} and {head} have no benchmark in common")
    return source


def judge(measured: Measured, rule: Rule, process_sd: float = PROCESS_SD) -> Judgement:
    """Judge values of processes by Student's t with the moderated variance of Smyth (2004)."""
    center = moderated(measured.a, measured.b, math.hypot(process_sd, measured.own_sd), paired=measured.paired)
    each = "pairs of files" if measured.paired else "files a side"
    judgement = proven(center, Scale(), rule, each=each)
    count = f"{len(measured.a)} and {len(measured.b)} files"
    return replace(judgement, words=f"{judgement.words}; {count}{', paired' if measured.paired else ''}")


def moderated(a: Sequence[float], b: Sequence[float], process_sd: float, *, paired: bool) -> Center:
    """Return the logarithm of b / a with a variance that the prior and the files share by their degrees of freedom."""
    logs_a, logs_b = ([math.log(value) for value in side] for side in (a, b))
    if paired:
        changes = [y - x for x, y in zip(logs_a, logs_b, strict=True)]
        value, n = center_of(changes).value, len(changes)
        squares, degrees, prior, per_n = _squares(changes), n - 1, 2 * process_sd**2, 1 / n
    else:
        value, n = center_of(logs_b).value - center_of(logs_a).value, min(len(a), len(b))
        squares, degrees = _squares(logs_a) + _squares(logs_b), len(a) + len(b) - 2
        prior, per_n = process_sd**2, 1 / len(a) + 1 / len(b)
    variance = (_PRIOR_DEGREES * prior + squares) / (_PRIOR_DEGREES + degrees)
    return Center(value, math.sqrt(variance * per_n), _PRIOR_DEGREES + degrees, n)


def _squares(values: Sequence[float]) -> float:
    return sd(values) ** 2 * (len(values) - 1) if len(values) > 1 else 0.0


def took_turns(a: Sequence[Run], b: Sequence[Run]) -> bool:
    """Tell whether the sides were measured in turns, so that the n-th files of both belong together."""
    order = sorted([(run.moment, "a") for run in a] + [(run.moment, "b") for run in b])
    sides = [side for _, side in order]
    return len(a) == len(b) > 1 and all(
        set(sides[index : index + 2]) == {"a", "b"} for index in range(0, len(sides), 2)
    )


def _order_warning(a: Sequence[Run], b: Sequence[Run], turns: bool) -> list[str]:
    if turns or len(a) == len(b) == 1:
        return []
    return [
        "the files were not written in turns, base, head, base, head: what changed on the machine counts as a change"
    ]


def _add_benchmarks(source: Source, a: Sequence[Run], b: Sequence[Run], turns: bool) -> None:
    names = dict.fromkeys(name for run in (*a, *b) for name in run.benchmarks)
    for name in names:
        there = [[run for run in side if name in run.benchmarks] for side in (a, b)]
        if not all(there):
            where = "base" if there[0] else "head"
            source.warnings.append(f"{name}: only {where} has it; a test that failed leaves no result")
            continue
        missing = len(a) + len(b) - len(there[0]) - len(there[1])
        if missing:
            source.warnings.append(f"{name}: missing in {missing} of {len(a) + len(b)} files")
        of_a, of_b = ([run.benchmarks[name] for run in sorted(side, key=lambda run: run.moment)] for side in there)
        source.measured.append(_measured(source, name, of_a, of_b, paired=turns and not missing))


def _measured(source: Source, full: str, a: list[Benchmark], b: list[Benchmark], *, paired: bool) -> Measured:
    metric = _METRICS.get(a[0].timer, "wall_s")
    key = Key(a[0].name, a[0].params, metric, "s", "lower")
    if any(each.key == key for each in source.measured):  # parameters that look the same in JSON
        key = Key(full, (), metric, "s", "lower")
    own_sd = math.sqrt(sum(each.own_sd**2 for each in (*a, *b)) / (len(a) + len(b)))
    of_a, of_b = (tuple(each.value_s for each in side) for side in (a, b))
    return Measured(key, of_a, of_b, paired, "files", own_sd)


def _common(values: Iterable[Any]) -> Any:
    found = set(values)
    return found.pop() if len(found) == 1 else None


def differences(runs: Sequence[Run]) -> list[str]:
    """Return a warning for whatever else than the code may make the difference."""
    found = []
    for words in runs[0].conditions:
        values = dict.fromkeys(str(run.conditions[words]) for run in runs)
        if len(values) > 1:
            found.append(f"the files differ in {words}: {' and '.join(values)}; the code is not all that may differ")
    options = {name: benchmark.options for run in runs for name, benchmark in run.benchmarks.items()}
    for name, expected in options.items():
        others = [run.benchmarks[name].options for run in runs if name in run.benchmarks]
        changed = sorted({option for each in others for option in each if each[option] != expected.get(option)})
        if changed:
            found.append(f"{name}: measured with different options: {', '.join(changed)}")
    return found


def spread(measured: Iterable[Measured]) -> float | None:
    """Return the pooled relative deviation between files of one side, of all benchmarks; None of one file a side."""
    squares, degrees = 0.0, 0
    for each in measured:
        for side in (each.a, each.b):
            logs = [math.log(value) for value in side]
            squares, degrees = squares + _squares(logs), degrees + len(logs) - 1
    return math.sqrt(squares / degrees) if degrees else None

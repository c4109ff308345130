"""The tables of the change log: a new one wherever values stop being comparable."""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bench_harness.changelog.commit_texts import CommitText
from bench_harness.changelog.expectations import Expectation, expectations
from bench_harness.changelog.rows import Block, Question, block_of, title_of
from bench_harness.history.series import Series


@dataclass
class Table:
    """Series that are read together: one benchmark, machine, environment and version; a block per parameter set."""

    blocks: list[Block] = field(default_factory=list)

    @property
    def first(self) -> Series:
        """The series that stands for all in what they share."""
        return self.blocks[0].series


def chosen(series: Iterable[Series], pattern: str | None, machine: str | None) -> list[Series]:
    """Return the series of a machine whose title a regular expression finds something in; None stands for all."""
    return [
        one
        for one in series
        if (machine is None or one.machine == machine) and (pattern is None or re.search(pattern, title_of(one)))
    ]


def build_tables(series: Iterable[Series], question: Question) -> list[Table]:
    """Return the tables in the order of benchmarks, then of commits."""
    shown = [one for one in series if any(question.shows(point.commit) for point in one.points)]
    ordered = sorted(shown, key=lambda one: (*_table_key(one), one.params))
    groups = itertools.groupby(ordered, key=_table_key)
    return [Table([block_of(one, question) for one in of_table]) for _, of_table in groups]


def _table_key(one: Series) -> tuple[str, str, str, int, str, str]:
    # A series that took over from another stands in its own table, after that of the other.
    start = one.points[0].position if one.began else -1
    return one.benchmark, one.machine, one.environment, start, one.version or "", one.began or ""


def announced(
    texts: Mapping[str, CommitText], series: Iterable[Series]
) -> tuple[dict[str, list[Expectation]], list[str]]:
    """Return what commits announce, by commit, and a line for each trailer that cannot be checked."""
    known = {(one.benchmark, title_of(one)) for one in series}
    found: dict[str, list[Expectation]] = {}
    warnings = []
    for text in texts.values():
        found[text.commit], problems = expectations(text)
        warnings += problems
        warnings += [
            f"commit {text.commit[:12]}: 'Perf-Expect: {one.text}' names no benchmark with results; it is not checked"
            for one in found[text.commit]
            if not any(one.names(*names) for names in known)
        ]
    return found, warnings

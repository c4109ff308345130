"""The rows of one series: each measured commit against the one before it, and what commits announced of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench_harness.changelog.commit_texts import CommitText
from bench_harness.changelog.estimates import Estimate, estimate
from bench_harness.changelog.expectations import Expectation
from bench_harness.changelog.ratios import MARGIN, UP, Comparison, compare, compare_in_one_job, has_enough
from bench_harness.config import Config
from bench_harness.history.anchors import AnchoredSteps, Anchors, anchored_steps, chain
from bench_harness.history.series import Point, Series
from bench_harness.history.steps import StepRule

# As rules name the metric of an asv benchmark.
_METRICS = {"seconds": "time_s", "bytes": "size_bytes"}
_NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Checked:
    """An expectation beside the ratio it was held against."""

    expectation: Expectation
    met: bool


@dataclass(frozen=True)
class Row:
    """A commit in a series; `estimate` is None, with the reason in `why`, where it has no value."""

    commit: CommitText
    estimate: Estimate | None = None
    why: str | None = None
    comparison: Comparison | None = None
    previous: str | None = None
    checked: tuple[Checked, ...] = ()


@dataclass(frozen=True)
class Block:
    """The rows of one series, and its steps."""

    series: Series
    margin: float
    better: str
    rows: tuple[Row, ...]
    steps: AnchoredSteps

    @property
    def title(self) -> str:
        """The benchmark as asv writes it: name(parameter, ...)."""
        return title_of(self.series)

    def is_worse(self, row: Row) -> bool:
        """Tell whether a row is worse than the one before, and no commit announced as much."""
        comparison = row.comparison
        if comparison is None or comparison.direction is None:
            return False
        worse = (comparison.direction == UP) == (self.better == "lower")
        return worse and not any(one.met and one.expectation.is_of_worse(self.better) for one in row.checked)


@dataclass(frozen=True)
class Question:
    """What the log is to show, and how it judges.

    Args:
        texts: of the commits on the line.
        expected: what the commits announce.
        config: rules give the margin and the better direction per benchmark.
        anchors: ratios of commits that were compared in one job.
        rounds: processes that asv started per commit, where not the benchmark's own number (asv run -a rounds=5).
        gaps: whether commits without results have rows.
        shown: commits that have rows, None for all; those before them are compared with nevertheless.
    """

    texts: Mapping[str, CommitText]
    expected: Mapping[str, Sequence[Expectation]]
    config: Config
    anchors: Anchors = field(default_factory=Anchors)
    rounds: int | None = None
    gaps: bool = False
    shown: frozenset[str] | None = None

    def shows(self, commit: str) -> bool:
        """Tell whether a commit has rows."""
        return self.shown is None or commit in self.shown


def title_of(series: Series) -> str:
    """Return the benchmark as asv writes it: name(parameter, ...)."""
    return series.benchmark + (f"({', '.join(value for _, value in series.params)})" if series.params else "")


def block_of(series: Series, question: Question) -> Block:
    """Return the rows and steps of a series."""
    metric = _METRICS.get(series.unit or "", "value")
    rule = question.config.rule_for(series.benchmark, metric, [value for _, value in series.params])
    margin = MARGIN if rule.effect is None else rule.effect
    better = rule.better or "lower"
    rows = tuple(row for row in _Rows(series, question, margin, better).rows() if question.shows(row.commit.commit))
    found = anchored_steps(series, question.anchors.of(series), StepRule(minimum=min(margin, StepRule.minimum)))
    steps = AnchoredSteps(
        tuple(step for step in found.steps if question.shows(step.first_bad)),
        tuple((step, over) for step, over in found.refuted if question.shows(step.first_bad)),
    )
    return Block(series, margin, better, rows, steps)


class _Rows:
    def __init__(self, series: Series, question: Question, margin: float, better: str) -> None:
        self.series, self.question, self.margin, self.better = series, question, margin, better
        self.anchors = question.anchors.of(series)
        self.last: tuple[Point, Estimate] | None = None
        self.last_with_enough: tuple[Point, Estimate] | None = None
        # Benchmarks without rounds take one number per commit, whatever -a rounds=N was.
        self.rounds = question.rounds if series.rounds and question.rounds else series.rounds

    def rows(self) -> Iterator[Row]:
        covered = self.series.points[0].position
        for point in self.series.points:
            yield from self._gap(covered, point.position)
            covered = point.position + 1
            yield self._row(point)
        yield from self._gap(covered, None)

    def _gap(self, start: int, end: int | None) -> Iterator[Row]:
        if self.question.gaps:
            yield from (Row(self._text(commit), why=_NOT_MEASURED) for commit in self.series.line[start:end])

    def _row(self, point: Point) -> Row:
        text, found = self._text(point.commit), estimate(point, self.rounds)
        if found is None:
            return Row(text, why=point.why)
        compared = self._compared(point, found)
        # What a commit announced is held against the first row that has it, whatever a later one is compared with.
        news = (*(self.series.between(self.last[0], point) if self.last else ()), point.commit)
        self.last = (point, found)
        self.last_with_enough = self.last if has_enough(found) else self.last_with_enough
        if compared is None:
            return Row(text, found)
        before, comparison = compared
        checked = tuple(self._checked(comparison, news))
        return Row(text, found, None, comparison, before.commit, checked)

    def _compared(self, point: Point, found: Estimate) -> tuple[Point, Comparison] | None:
        """Return the row before, and the comparison with it; one of both commits in one job comes first."""
        if self.last is None:
            return None
        over = chain(self.anchors, self.last[0].commit, point.commit)
        if over is not None:
            return self.last[0], compare_in_one_job(over, self.series.unit, self.margin)
        before, earlier = (self.last_with_enough if has_enough(found) else None) or self.last
        return before, compare(earlier, found, self.series.unit, self.margin)

    def _checked(self, comparison: Comparison, commits: Iterable[str]) -> Iterator[Checked]:
        if comparison.ratio is not None:
            for one in (one for commit in commits for one in self.question.expected.get(commit, ())):
                if one.names(self.series.benchmark, title_of(self.series)):
                    yield Checked(one, one.is_met(comparison.ratio, self.better))

    def _text(self, commit: str) -> CommitText:
        return self.question.texts.get(commit) or CommitText(commit, "", "", "subject")

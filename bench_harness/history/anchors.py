"""Ratios of two commits measured side by side in one job (`bench compare`), which no drift of the machine is in.

Where there are such, they decide what a series that asv measured commit by commit, hours apart, can only suggest: they
confirm a step and say its size, add one that drift had hidden, and unmask one that the machine made.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.errors import RecordError
from bench_harness.history.series import Params, Point, Series
from bench_harness.history.steps import Step, StepRule, steps_of
from bench_harness.record import FILE_NAME, Record
from bench_harness.statistics.student import t_quantile, t_tail

CHANGED = ("regression", "improvement")
# What asv's number is, in compare's words, by unit: its times are wall times.
METRICS = {"seconds": ("wall_s", "value"), "bytes": ("peak_rss_bytes", "size_bytes", "value")}
NEAR = 2  # measured commits by which noise may misplace a step of the series


@dataclass(frozen=True)
class Anchor:
    """head over base, measured in one job: log ratio, its standard error, and whether a change was confirmed."""

    base: str
    head: str
    log_ratio: float
    error: float
    changed: bool = False

    def reversed(self) -> "Anchor":
        """Return base over head."""
        return Anchor(self.head, self.base, -self.log_ratio, self.error, self.changed)


@dataclass(frozen=True)
class Chain:
    """Successive anchors from one commit to another; errors add up as of independent jobs."""

    links: tuple[Anchor, ...]

    @property
    def ratio(self) -> float:
        """The last commit over the first one."""
        return math.exp(self._log_ratio)

    @property
    def _log_ratio(self) -> float:
        return math.fsum(link.log_ratio for link in self.links)

    @property
    def _error(self) -> float:
        return math.hypot(*(link.error for link in self.links))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the ratio, by the normal distribution."""
        reach = t_quantile((1 + confidence) / 2, math.inf) * self._error
        return math.exp(self._log_ratio - reach), math.exp(self._log_ratio + reach)

    def p_value(self, ratio: float) -> float:
        """Return the one-sided p value of the true ratio not lying beyond `ratio`, on the side where it was found."""
        distance = abs(self._log_ratio - math.log(ratio))
        return t_tail(distance / self._error, math.inf) if self._error else 0.0


@dataclass(frozen=True)
class Anchors:
    """All anchors, by (benchmark, params, metric)."""

    found: Mapping[tuple[str, Params, str], Sequence[Anchor]] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "Anchors":
        """Read every record of `bench compare` below `root` that compared two commits; the others are no anchors."""
        found: dict[tuple[str, Params, str], list[Anchor]] = {}
        for path in sorted(root.glob(f"*/*/{FILE_NAME}")):
            try:
                record = Record.read(path)
            except RecordError:
                continue  # its own command complains about it
            if record.command == "compare":
                for key, anchor in _anchors(record.results):
                    found.setdefault(key, []).append(anchor)
        return cls(found)

    def of(self, series: Series) -> Sequence[Anchor]:
        """Return the anchors of a series; the same ratio may hold on any machine."""
        keys = ((series.benchmark, series.params, metric) for metric in METRICS.get(series.unit or "", ("value",)))
        return next((self.found[key] for key in keys if key in self.found), ())


def _anchors(results: Mapping[str, Any]) -> Iterable[tuple[tuple[str, Params, str], Anchor]]:
    base, head = ((results.get(side) or {}).get("commit") for side in ("base", "head"))
    if not (base and head) or base == head:
        return
    for row in results.get("benchmarks") or ():
        low, high = row.get("ci") or (None, None)
        # Of zeros and negative values compare gives 1 + (b - a) / |a|, which may be negative and is no ratio.
        ratio = row.get("ratio")
        if ratio and low and high and min(ratio, low) > 0:
            params = tuple((str(name), str(value)) for name, value in row.get("params", {}).items())
            # The interval is Student's, of a number of rounds that is never small; the normal quantile makes it wider.
            error = (math.log(high) - math.log(low)) / 2 / t_quantile((1 + row["confidence"]) / 2, math.inf)
            changed = bool(row.get("verdict") in CHANGED and row.get("confirmed"))
            yield (row["name"], params, row["metric"]), Anchor(base, head, math.log(ratio), error, changed)


def chain(anchors: Sequence[Anchor], first: str, last: str) -> Chain | None:
    """Return the chain of fewest links from one commit to another, None where they are not connected."""
    outgoing: dict[str, list[Anchor]] = {}
    for anchor in itertools.chain.from_iterable((one, one.reversed()) for one in anchors):
        outgoing.setdefault(anchor.base, []).append(anchor)
    reached: dict[str, tuple[Anchor, ...]] = {first: ()}
    waiting = deque([first])
    while waiting and last not in reached:
        commit = waiting.popleft()
        for anchor in sorted(outgoing.get(commit, ()), key=lambda one: one.error):
            if anchor.head not in reached:
                reached[anchor.head] = (*reached[commit], anchor)
                waiting.append(anchor.head)
    return Chain(reached[last]) if reached.get(last) else None


@dataclass(frozen=True)
class AnchoredSteps:
    """The steps of a series in git order, and those that were the machine's: each with the chain that says so."""

    steps: tuple[Step, ...]
    refuted: tuple[tuple[Step, Chain], ...] = ()


def anchored_steps(series: Series, anchors: Sequence[Anchor], rule: StepRule | None = None) -> AnchoredSteps:
    """Return the steps of a series, corrected by anchors.

    A confirmed change of `bench compare` is a step, and stands for one that the series shows within 2 measured commits
    of it. Any other step of the series is dropped if a chain over these commits, or each of its links, holds their
    ratio within the rule's minimum (90 % interval: two one-sided tests at 5 %), else it stays as the series has it.
    """
    rule = rule or StepRule()
    jumps = [_jump(series, anchor, rule) for anchor in _forward(series, anchors) if anchor.changed]
    kept, refuted = [], []
    for step in steps_of(series, rule):
        first, last = _around(series, step)
        if any(_within(series, jump, first, last) and (jump.ratio > 1) == (step.ratio > 1) for jump in jumps):
            continue
        over = _chain_over(series, step, anchors, first, last)
        if over is not None and _is_nothing(over, rule):
            refuted.append((step, over))
        else:
            kept.append(step)
    places = {commit: index for index, commit in enumerate(series.line)}
    return AnchoredSteps(tuple(sorted([*jumps, *kept], key=lambda one: places[one.first_bad])), tuple(refuted))


def _forward(series: Series, anchors: Iterable[Anchor]) -> list[Anchor]:
    """Return the anchors between commits of the line, from the earlier to the later one; the last of each pair."""
    places = {commit: index for index, commit in enumerate(series.line)}
    pairs = {}
    for one in anchors:
        if one.base in places and one.head in places:
            forward = one if places[one.base] < places[one.head] else one.reversed()
            pairs[forward.base, forward.head] = forward
    return list(pairs.values())


def _jump(series: Series, anchor: Anchor, rule: StepRule) -> Step:
    one = Chain((anchor,))
    low, high = one.interval(rule.confidence)
    start, end = (series.line.index(commit) for commit in (anchor.base, anchor.head))
    before = [point.value for point in series.measured if point.position <= start and point.value]
    after = [point.value for point in series.measured if point.position >= end and point.value]
    level = before[-1] if before else after[0] / one.ratio if after else 1.0
    return Step(
        last_good=anchor.base,
        first_bad=anchor.head,
        commits_between=series.line[start + 1 : end],
        ratio=one.ratio,
        low=low,
        high=high,
        p_value=2 * one.p_value(1.0),
        before=level,
        after=level * one.ratio,
        count_before=len(before),
        count_after=len(after),
        same_job=True,
    )


def _around(series: Series, step: Step) -> tuple[Point, Point]:
    """Return the measured commits up to which noise may have moved a step."""
    index = next(index for index, point in enumerate(series.measured) if point.commit == step.first_bad)
    last = min(len(series.measured) - 1, index + NEAR)
    return series.measured[max(0, index - 1 - NEAR)], series.measured[last]


def _chain_over(series: Series, step: Step, anchors: Sequence[Anchor], first: Point, last: Point) -> Chain | None:
    """Return the chain from before a step to after it, the widest one within `first` to `last`."""
    known = {commit for one in anchors for commit in (one.base, one.head)}
    good, bad = (series.line.index(commit) for commit in (step.last_good, step.first_bad))
    before = [commit for commit in series.line[first.position : good + 1] if commit in known]
    after = [commit for commit in series.line[bad : last.position + 1] if commit in known]
    pairs = itertools.product(before, reversed(after))
    return next((over for pair in pairs if (over := chain(anchors, *pair)) is not None), None)


def _within(series: Series, jump: Step, first: Point, last: Point) -> bool:
    return first.position <= series.line.index(jump.last_good) and series.line.index(jump.first_bad) <= last.position


def _is_nothing(over: Chain, rule: StepRule) -> bool:
    """Tell whether a chain leaves no room for a step: as a whole, or in none of the links that it would lie in."""

    def fits(part: Chain) -> bool:
        low, high = part.interval(0.90)
        return 1 / (1 + rule.minimum) <= low and high <= 1 + rule.minimum

    return fits(over) or all(fits(Chain((link,))) for link in over.links)

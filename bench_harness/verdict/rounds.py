"""The driver of a comparison: rounds of one fresh process per side, until every number is decided or time is up.

Inside a round the order of the sides is random, so that what changes slowly on the machine falls on both; CPU time is
taken of both at once (`verdict.abreast`). A number that is decided drops out; one that raised an alarm is measured on
until it is confirmed or not, beside those that are still screened. The budget includes confirming: screening ends while
there is time left for it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from bench_harness.verdict import abreast
from bench_harness.verdict.outcomes import Outcome, Stage
from bench_harness.verdict.rule import Rule
from bench_harness.verdict.sequential import LOOKS, Sequential, settle
from bench_harness.verdict.sides import Key, Side, Taken

# A benchmark that failed is tried once more: one that fails every time is a result, one that fails now and then is not.
_TRIES = 2  # in a row
_RECENT_ROUNDS = 3
_CHEAP = 0.1  # of the budget
# Where CPU time is taken abreast, a second gate costs rounds of its own: as many as will show what it is there for.
_SECOND_GATE_EVERY = 3
# An alarm takes thirteen rounds at least, five of screening and eight of confirming, and most take twice as many.
_ROUNDS_ENOUGH = 26
# Four processes of what may be a training run: more would want memory that nobody has asked about.
_MOST_AT_ONCE = 2
SIDES = ("a", "b")


@dataclass(frozen=True)
class Limits:
    """When to stop.

    Args:
        budget_s: wall seconds of measuring, of confirming too.
        seed: decides the order inside each round and what the sides get as seeds.
        timeout_s: for one benchmark of one side in one round; None: as long as the whole budget.
        rounds_max: of screening; None: as many as the budget allows.
        abreast: whether to take CPU time of both sides at once, on one core.
    """

    budget_s: float = 60.0
    seed: int = 0
    timeout_s: float | None = None
    rounds_max: int | None = None
    abreast: bool = False


@dataclass
class Progress:
    """How far a comparison is, for whoever waits."""

    rounds: int
    screening: int
    confirming: int
    done: int
    elapsed_s: float
    budget_s: float


@dataclass
class Comparison:
    """Everything that was measured, and what it says.

    Args:
        outcomes: one per number that both sides gave.
        failures: by benchmark, as `Key.title` names it, and side, "a" or "b", why it has no verdict.
        skipped: the same for benchmarks that a side left out on purpose.
        unmatched: numbers that one side alone gave, with that side.
        orders: "ab" or "ba" for each round.
        left_out: times of the first round, in which files are read for the first time and compiled; none where that
            round took more than a tenth of the budget.
        body_s, startup_s: of all processes, as `Taken` has them.
        wall_s: from the first round to the last.
        completed: False where it was interrupted.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    unmatched: dict[Key, str] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)
    left_out: dict[Key, tuple[float, float]] = field(default_factory=dict)
    body_s: float = 0.0
    startup_s: float = 0.0
    wall_s: float = 0.0
    completed: bool = False
    warnings: list[str] = field(default_factory=list)


def compare(
    a: Side,
    b: Side,
    rule_for: Callable[[Key], Rule],
    limits: Limits,
    progress: Callable[[Progress], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Comparison:
    """Measure base `a` and head `b` in rounds and judge every number that both give.

    Args:
        rule_for: what counts as a change of a number.
        progress: called after each round.
        clock: seconds; tests of the driver give their own.
    """
    driver = _Driver({"a": a, "b": b}, rule_for, limits, progress, clock)
    driver.run()
    return driver.comparison


class _Driver:
    def __init__(
        self,
        sides: dict[str, Side],
        rule_for: Callable[[Key], Rule],
        limits: Limits,
        progress: Callable[[Progress], None],
        clock: Callable[[], float],
    ) -> None:
        self.comparison = Comparison()
        self._sides, self._rule_for, self._limits, self._progress, self._clock = (
            sides,
            rule_for,
            limits,
            progress,
            clock,
        )
        self._random = random.Random(limits.seed)
        self._outcomes: dict[Key, Outcome] = {}
        self._tried: dict[str, dict[str, str]] = {}  # by benchmark and side: what went wrong, the last time
        self._in_a_row: dict[tuple[str, str], int] = {}  # by benchmark and side: failures since it last gave a number
        self._failing: dict[str, set[str]] = {}  # by benchmark: the sides on which it failed _TRIES times in a row
        self._lost: dict[str, set[int]] = {}  # by benchmark: the rounds in which it failed
        self._costs_s: list[float] = []
        self._latest_at_once = 1
        self._begin_s = clock()

    def run(self) -> None:
        """Measure until all is decided, time is up, or the user has had enough."""
        try:
            while self._goes_on():
                self._round()
                self._progress(self._state())
            self.comparison.completed = True
        except KeyboardInterrupt:
            self.comparison.warnings.append("interrupted: the verdicts are those of the rounds until then")
        self._finish()

    def _goes_on(self) -> bool:
        if not self._costs_s:
            return True
        in_time = self._too_few_to_judge() or self._time_for(1 + self._confirming_rounds())
        if self._out_of_rounds() or self._only_second_gates() or not in_time:
            for outcome in self._at(Stage.SCREENING):
                outcome.end_screening()
        more = self._at(Stage.SCREENING) or self._at(Stage.CONFIRMING) or self._unexplained()
        return bool(more) and self._time_for(1)

    def _at(self, stage: Stage) -> list[Outcome]:
        return [each for each in self._outcomes.values() if each.stage is stage and not self._failed(each.key.title)]

    def _only_second_gates(self) -> bool:
        """Tell whether all that a run is held up for has left screening."""
        holding_up = [each for each in self._outcomes.values() if each.rule.must_decide]
        return bool(holding_up) and not any(each.stage is Stage.SCREENING for each in holding_up)

    def _too_few_to_judge(self) -> bool:
        """Tell whether screening is short of its first look: time kept to confirm what nobody saw would be lost."""
        holding_up = [each for each in self._at(Stage.SCREENING) if each.rule.must_decide]
        return any(len(each.screening) < LOOKS[0] for each in holding_up)

    def _out_of_rounds(self) -> bool:
        most = self._limits.rounds_max
        return most is not None and len(self.comparison.orders) >= most

    def _confirming_rounds(self) -> int:
        """Return the rounds to keep time for, should all that is still screened raise an alarm."""
        return max((each.rounds_to_keep_time_for() for each in self._at(Stage.SCREENING)), default=0)

    def _time_for(self, rounds: int) -> bool:
        recent = self._costs_s[-_RECENT_ROUNDS:]
        rounds = max(rounds, self._latest_at_once)
        return self._elapsed_s() + rounds * sum(recent) / len(recent) <= self._limits.budget_s

    def _elapsed_s(self) -> float:
        return self._clock() - self._begin_s

    def _unexplained(self) -> bool:
        """Tell whether a benchmark has failed in its first rounds, and not yet often enough."""
        titles = {key.title for key in self._outcomes}
        return any(title not in titles and not self._failed(title) for title in self._tried)

    def _round(self) -> None:
        """Measure a round, or as many as are measured at once."""
        begin_s = self._clock()
        parts = self._parts(self._wanted())
        rounds = self._at_once(parts)
        draws = [
            abreast.Draw("".join(self._random.sample(SIDES, 2)), self._random.randrange(2**31)) for _ in range(rounds)
        ]
        measured = [(both, keys, self._measured(both, keys, draws)) for both, keys in parts]
        for number, draw in enumerate(draws):
            for both, keys, taken in measured:
                self._note_failures(taken[number])
                if keys is None:
                    self._meet(taken[number]["a"], taken[number]["b"])
                self._add(taken[number]["a"], taken[number]["b"], both)
            self.comparison.orders.append(draw.order)
        self._costs_s += [(self._clock() - begin_s) / rounds] * rounds
        self._latest_at_once = rounds

    def _at_once(self, parts: list[tuple[bool, Collection[Key] | None]]) -> int:
        """Return how many rounds are measured at once: two where one by one the budget has too few of them."""
        alone = [both for both, _ in parts] == [True]
        able = alone and all(side.several_at_once for side in self._sides.values())
        if not able or self._limits.budget_s >= _ROUNDS_ENOUGH * self._costs_s[0]:
            return 1
        most = self._limits.rounds_max
        left = _MOST_AT_ONCE if most is None else max(1, most - len(self.comparison.orders))
        return min(abreast.cores(), _MOST_AT_ONCE, left)

    def _parts(self, wanted: set[Key] | None) -> list[tuple[bool, Collection[Key] | None]]:
        """Return what is measured in a round: whether of both sides at once, and which numbers."""
        if wanted is None or not self._limits.abreast:
            return [(False, wanted)]
        both = {key for key in wanted if abreast.is_for(key)}
        others = wanted - both
        if both and ((len(self.comparison.orders) + 1) % _SECOND_GATE_EVERY or not self._second_gate_fits()):
            others = {key for key in others if self._outcomes[key].rule.must_decide}
        return [(at_once, keys) for at_once, keys in ((True, both), (False, others)) if keys]

    def _second_gate_fits(self) -> bool:
        """Tell whether the budget has rounds enough for its first look: fewer would be time lost to the first gate."""
        return self._limits.budget_s >= _SECOND_GATE_EVERY * LOOKS[0] * self._costs_s[0]

    def _measured(
        self, both: bool, keys: Collection[Key] | None, draws: Sequence[abreast.Draw]
    ) -> list[dict[str, Taken]]:
        timeout_s = self._limits.timeout_s or self._limits.budget_s
        if both and keys is not None:
            measured = abreast.measure(self._sides, draws, keys, timeout_s, self._random)
            times = [abreast.seconds(taken.values()) for taken in measured]
        else:
            measured = [
                {name: self._sides[name].measure(keys, draw.seed, timeout_s) for name in draw.order} for draw in draws
            ]
            each = [one for taken in measured for one in taken.values()]
            times = [(one.body_s, one.startup_s) for one in each]
        self.comparison.body_s += sum(body_s for body_s, _ in times)
        self.comparison.startup_s += sum(startup_s for _, startup_s in times)
        return measured

    def _wanted(self) -> set[Key] | None:
        if not self._costs_s or self._unexplained():
            return None
        return {each.key for each in (*self._at(Stage.SCREENING), *self._at(Stage.CONFIRMING))}

    def _note_failures(self, taken: dict[str, Taken]) -> None:
        for name, one in taken.items():
            for title, reason in one.skipped.items():
                self.comparison.skipped.setdefault(title, {})[name] = reason
            for title in {key.title for key in one.values} - set(one.failures):
                self._in_a_row[title, name] = 0
            for title, reason in one.failures.items():
                self._note_failure(title, name, reason)

    def _note_failure(self, title: str, name: str, reason: str) -> None:
        self._tried.setdefault(title, {})[name] = reason
        self._lost.setdefault(title, set()).add(len(self.comparison.orders))
        self._in_a_row[title, name] = self._in_a_row.get((title, name), 0) + 1
        if self._in_a_row[title, name] >= _TRIES:
            self._failing.setdefault(title, set()).add(name)

    def _failed(self, title: str) -> bool:
        return title in self._failing

    def _meet(self, a: Taken, b: Taken) -> None:
        """Begin with the numbers that both sides gave for the first time."""
        both = [key for key in a.values if key in b.values]
        for key in both:
            if key not in self._outcomes:
                rule = self._rule_for(key)
                at_once = self._limits.abreast and abreast.is_for(key)
                self._outcomes[key] = Outcome(key, rule, Sequential(rule, family=len(both)), abreast=at_once)
        for name, one, other in (("a", a, b), ("b", b, a)):
            for key in one.values:
                if key not in other.values and key.title not in other.failures | other.skipped:
                    self.comparison.unmatched[key] = name

    def _add(self, a: Taken, b: Taken, both: bool) -> None:
        warms_up = not self._costs_s and self._elapsed_s() <= _CHEAP * self._limits.budget_s
        for key, outcome in self._outcomes.items():
            if key not in a.values or key not in b.values or key.title in a.failures | b.failures:
                continue
            if outcome.abreast and not both:  # it is there to get to know the sides
                self.comparison.left_out.setdefault(key, (a.values[key], b.values[key]))
            elif warms_up and key.unit == "s":
                self.comparison.left_out[key] = a.values[key], b.values[key]
            else:
                outcome.add(a.values[key], b.values[key])

    def _state(self) -> Progress:
        screening, confirming = len(self._at(Stage.SCREENING)), len(self._at(Stage.CONFIRMING))
        done = len(self._outcomes) - screening - confirming
        rounds = len(self.comparison.orders)
        return Progress(rounds, screening, confirming, done, self._elapsed_s(), self._limits.budget_s)

    def _finish(self) -> None:
        self.comparison.wall_s = self._elapsed_s()
        met = {key.title for key in self._outcomes}
        for title, by_side in self._tried.items():
            if self._failed(title) or title not in met:
                sides = self._failing.get(title, set(by_side))
                self.comparison.failures[title] = {name: why for name, why in by_side.items() if name in sides}
            else:
                said = "; ".join(f"{name}: {why}" for name, why in sorted(by_side.items()))
                self.comparison.warnings.append(f"{title} failed in {_left_out(len(self._lost[title]))} ({said})")
        outcomes = [each for each in self._outcomes.values() if each.key.title not in self.comparison.failures]
        for outcome in outcomes:
            outcome.end()
        self.comparison.outcomes = outcomes
        self._settle()

    def _settle(self) -> None:
        """Correct the confirmed alarms for the number of alarms that fresh rounds were to confirm."""
        asked = [each for each in self.comparison.outcomes if each.alarm is not None]
        settled = settle([each.judgement for each in asked if each.judgement is not None])
        for outcome, judgement in zip(asked, settled, strict=True):
            outcome.judgement = judgement


def _left_out(rounds: int) -> str:
    return "one round, which is left out" if rounds == 1 else f"{rounds} rounds, which are left out"

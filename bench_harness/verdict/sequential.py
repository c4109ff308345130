"""Rounds until decided: looks at a growing number of them, and fresh rounds for every alarm.

How the numbers here were chosen, and what they make of noise of several kinds: docs/make/verdict_rule.py.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from bench_harness.statistics.intervals import Center
from bench_harness.statistics.multiplicity import holm
from bench_harness.statistics.student import t_quantile
from bench_harness.verdict.changes import Pairs, Scale, center_of
from bench_harness.verdict.judgement import Judgement, Levels
from bench_harness.verdict.placing import confirmed, exactly, screened, too_few, without_base
from bench_harness.verdict.rule import Rule, Verdict

# Rounds at which a screening looks; each is about 1.4 times the one before.
LOOKS = (5, 7, 10, 14, 20, 28, 40, 56, 78, 110, 154, 216, 302)
EXACT_ROUNDS = 2  # a value that does not vary has shown so
# Later looks hold the rounds of earlier ones: all of them together err as often as so many that share none.
_INDEPENDENT_LOOKS = 7.5
# An alarm is confirmed by fresh rounds; if they leave it undecided, by twice and by four times as many.
_STAGES = (1, 2, 4)
_FEWEST_TO_CONFIRM = 8
_MOST_TO_CONFIRM = 300
_MISSED = 0.1  # how often the first stage may miss what the screening saw


class Sequential:
    """One metric of one benchmark on its way to a verdict. It keeps no values: each look gets all rounds so far.

    Args:
        rule: what counts as a change.
        family: comparisons made together; the more, the more rounds an alarm takes to survive Holm's method.
    """

    def __init__(self, rule: Rule, family: int = 1) -> None:
        self.rule = rule
        self.family = max(1, family)
        self._looks_taken = 0
        self._latest: tuple[int, Judgement] | None = None
        self._screened: tuple[Center, Scale] | None = None
        self._confirmations: list[tuple[int, Judgement]] = []

    def next_look(self) -> int | None:
        """Return how many rounds in all the next look wants; None once no more looks are to be had."""
        if self._latest is None:
            return EXACT_ROUNDS
        if self._looks_taken >= len(LOOKS):
            return None
        seen = self._latest[0]
        return next((rounds for rounds in LOOKS if rounds > seen), None)

    def look(self, a: Sequence[float], b: Sequence[float]) -> Judgement:
        """Judge all rounds of the screening so far; `undecided` means go on.

        Args:
            a, b: one value per round and side; a round without a finite value on both sides is left out.

        Raises:
            ValueError: a and b differ in length.
        """
        if self._latest is not None and self._latest[0] == len(a) == len(b):
            return self._latest[1]
        pairs = Pairs.of(a, b)
        judgement = _noted(self._judged(pairs), pairs)
        self._latest = (len(a), judgement)
        return judgement

    def _judged(self, pairs: Pairs) -> Judgement:
        self._screened = None
        if pairs.constant(LOOKS[0]):
            return exactly(pairs, self.rule)
        if len(pairs) < LOOKS[0] or self._looks_taken >= len(LOOKS):
            return too_few(pairs, self.rule, LOOKS[0])
        self._looks_taken += 1
        changes = pairs.changes()
        if changes is None:
            return without_base(len(pairs), self.rule)
        self._screened = center_of(changes[0]), changes[1]
        levels = Levels(_per_look(self.rule.screening_error), _per_look(self.rule.alarm_error))
        return screened(*self._screened, self.rule, levels)

    def rounds_to_confirm(self) -> int:
        """Return how many fresh rounds in all are to confirm the alarm of the latest look, or show that it was none.

        After fresh rounds that left it undecided it is twice as many, once more, and then no more than were given.
        """
        if self._confirmations and len(self._confirmations) >= len(_STAGES):
            return self._confirmations[-1][0]
        if self._screened is None and not self._confirmations:
            return EXACT_ROUNDS
        if self._screened is None:  # what did not vary does so now
            return _FEWEST_TO_CONFIRM * _STAGES[len(self._confirmations) - 1]
        first = _first_stage(*self._screened, self.rule, self.family)
        return first * _STAGES[len(self._confirmations)]

    def rounds_to_keep(self) -> int:
        """Return about how many fresh rounds it would take to confirm an alarm of the next look; 0: none is near.

        No more than there are of the screening: what would take most of the time may as well go on being screened.
        """
        if self._screened is None:
            return _FEWEST_TO_CONFIRM
        center, scale = self._screened
        margin = scale.margins(self.rule)[1]
        if abs(center.value) + center.standard_error < margin:
            return 0
        reach = t_quantile(1 - _per_look(self.rule.alarm_error), center.degrees) * center.standard_error
        nearest_alarm = replace(center, value=max(abs(center.value), margin + reach))
        return min(_first_stage(nearest_alarm, scale, self.rule, self.family), max(center.n, _FEWEST_TO_CONFIRM))

    def confirm(self, a: Sequence[float], b: Sequence[float]) -> Judgement:
        """Judge the fresh rounds alone; what they say is the verdict, unless they say `undecided` and more are wanted.

        Raises:
            ValueError: a and b differ in length, or there was no alarm to confirm.
        """
        if self._latest is None or not self._latest[1].verdict.alarm:
            raise ValueError("there is no alarm to confirm")
        if self._confirmations and (self._confirmations[-1][0] == len(a) or len(self._confirmations) >= len(_STAGES)):
            return self._confirmations[-1][1]
        pairs = Pairs.of(a, b)
        judgement = _noted(confirmed(pairs, self.rule, self._latest[1].verdict, stages=len(_STAGES)), pairs)
        self._confirmations.append((len(a), judgement))
        return judgement


def settle(judgements: Sequence[Judgement], rule: Rule | None = None) -> list[Judgement]:
    """Return the judgements of one comparison with Holm's method applied to its alarms.

    Args:
        judgements: of everything that was asked for an alarm by values of its own, whether it gave one or not: all
            numbers of a file; of rounds, those whose screening raised an alarm that fresh rounds were to confirm. The
            ones that gave none count: the more were asked, the sooner one of them says yes by chance.
        rule: whose confirming_error the alarms of the comparison must keep together (default: that of `Rule()`).
    """
    allowed = (rule or Rule()).confirming_error
    settled = list(judgements)
    adjusted = holm([each.p_value if each.verdict.alarm else 1.0 for each in judgements])
    for index, (judgement, p) in enumerate(zip(judgements, adjusted, strict=True)):
        if judgement.verdict.alarm and p > allowed:
            words = f"{judgement.words}; not enough among {len(judgements)} tests (Holm: p = {p:.2g})"
            settled[index] = replace(judgement, verdict=Verdict.UNDECIDED, confirmed=False, words=words)
    return settled


def _per_look(error: float) -> float:
    return float(1 - (1 - error) ** (1 / _INDEPENDENT_LOOKS))


def _first_stage(center: Center, scale: Scale, rule: Rule, family: int) -> int:
    """Return the rounds that miss a change as large as the one seen in `_MISSED` of the cases."""
    seen, beyond = abs(center.value), abs(center.value) - scale.margins(rule)[1]
    per_round = center.standard_error * math.sqrt(center.n)
    error = rule.confirming_error / len(_STAGES) / family

    def enough(rounds: int) -> bool:
        reach = per_round / math.sqrt(rounds)
        missed = t_quantile(1 - _MISSED, rounds - 1)
        return seen >= (t_quantile(1 - error, rounds - 1) + missed) * reach and beyond >= missed * reach

    low, high = _FEWEST_TO_CONFIRM - 1, _MOST_TO_CONFIRM
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _noted(judgement: Judgement, pairs: Pairs) -> Judgement:
    if not pairs.left_out:
        return judgement
    return replace(judgement, words=f"{judgement.words}; {pairs.left_out} rounds without a number left out")

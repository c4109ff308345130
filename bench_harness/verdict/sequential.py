"""Rounds until decided: looks at a growing number of them, and fresh rounds for every alarm.

The chance of an error is spread evenly over all looks there can be (Bonferroni): looking again never adds to it,
whatever noise does from one look to the next.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from bench_harness.statistics.intervals import Center, mean_center
from bench_harness.statistics.multiplicity import holm
from bench_harness.statistics.student import t_quantile
from bench_harness.verdict.changes import Pairs, Scale
from bench_harness.verdict.judgement import (
    Judgement,
    direction,
    interval_words,
    measured,
    number,
    place,
    rounds_needed,
    span_words,
    without_ratio,
)
from bench_harness.verdict.rule import Rule, Verdict

# Rounds at which a screening looks; each is about 1.4 times the one before.
LOOKS = (5, 7, 10, 14, 20, 28, 40, 56, 78, 110, 154, 216, 302)
EXACT_ROUNDS = 2  # a value that does not vary has shown so
_FEWEST_TO_CONFIRM = 6
_MOST_TO_CONFIRM = 300
_MISSED = 0.02  # how often the fresh rounds may miss what the screening saw


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
        confidence = 1 - 2 * self.rule.screening_error
        if len(pairs) < LOOKS[0] or self._looks_taken >= len(LOOKS):
            return too_few(pairs, confidence, LOOKS[0])
        self._looks_taken += 1
        changes = pairs.changes()
        if changes is None:
            return without_ratio(NO_BASE, len(pairs), confidence)
        center, scale = mean_center(changes[0]), changes[1]
        self._screened = center, scale
        return screened(center, scale, self.rule, 1 - 2 * self.rule.screening_error / len(LOOKS), confidence)

    def rounds_to_confirm(self) -> int:
        """Return how many fresh rounds confirm the alarm of the latest look, or say that it was none.

        So many that a change as large as the one seen is missed in 2 of 100 cases.
        """
        if self._screened is None:
            return EXACT_ROUNDS
        center, scale = self._screened
        per_round = center.standard_error * math.sqrt(center.n)
        beyond = abs(center.value) - scale.margins(self.rule)[1]
        error = self.rule.confirming_error / self.family
        for rounds in range(_FEWEST_TO_CONFIRM, _MOST_TO_CONFIRM):
            missed = t_quantile(1 - _MISSED, rounds - 1)
            reach = per_round / math.sqrt(rounds)
            if abs(center.value) >= (t_quantile(1 - error, rounds - 1) + missed) * reach and beyond >= missed * reach:
                return rounds
        return _MOST_TO_CONFIRM

    def confirm(self, a: Sequence[float], b: Sequence[float]) -> Judgement:
        """Judge the fresh rounds alone; what they say is the verdict.

        Raises:
            ValueError: a and b differ in length, or there was no alarm to confirm.
        """
        if self._latest is None or not self._latest[1].verdict.alarm:
            raise ValueError("there is no alarm to confirm")
        pairs = Pairs.of(a, b)
        return _noted(confirmed(pairs, self.rule, self._latest[1].verdict), pairs)


NO_BASE = "no relative change can be given: the base cannot be told from 0"


def too_few(pairs: Pairs, confidence: float, wanted: int) -> Judgement:
    """Return the judgement of fewer rounds than any look takes: numbers, but no verdict."""
    changes = pairs.changes() if len(pairs) > 0 else None
    words = f"{len(pairs)} rounds, a verdict takes {wanted}"
    if changes is None:
        return without_ratio(words, len(pairs), confidence)
    judgement = measured(mean_center(changes[0]), changes[1], confidence=confidence, shown=confidence)
    return replace(judgement, words=words, rounds_needed=wanted)


def screened(center: Center, scale: Scale, rule: Rule, confidence: float, shown: float) -> Judgement:
    """Judge by where the interval of `confidence` lies; it is shown as one of `shown`, which holds over all looks."""
    judgement = measured(center, scale, confidence=confidence, shown=shown)
    verdict = place(center, confidence, scale, rule)
    if verdict is Verdict.FINE:
        words = f"no relevant difference within +-{rule.percent} ({span_words(judgement)})"
        return replace(judgement, verdict=verdict, words=words)
    if verdict.alarm:
        words = f"{_WORD[verdict]} by more than {rule.percent} ({interval_words(judgement)})"
        return replace(judgement, verdict=verdict, words=words)
    needed = rounds_needed(center, confidence, scale, rule)
    return replace(judgement, words=_undecided(judgement, rule, needed), rounds_needed=needed)


def confirmed(pairs: Pairs, rule: Rule, alarm: Verdict) -> Judgement:
    """Judge fresh rounds after an alarm: they must see a change of the same direction, and one beyond the effect."""
    if pairs.constant(_FEWEST_TO_CONFIRM):
        judgement = exactly(pairs, rule)
        return replace(judgement, confirmed=judgement.verdict is alarm)
    loose, strict = 1 - 2 * rule.screening_error, 1 - 2 * rule.confirming_error
    if len(pairs) < 3:
        return too_few(pairs, loose, 3)
    changes = pairs.changes()
    if changes is None:
        return without_ratio(NO_BASE, len(pairs), loose)
    center, scale = mean_center(changes[0]), changes[1]
    judgement = measured(center, scale, confidence=strict, shown=strict)
    beyond = abs(center.value) > scale.margins(rule)[1]
    if beyond and direction(rule, larger=center.value > 0) is alarm and judgement.p_value <= rule.confirming_error:
        words = f"{_WORD[alarm]}: {interval_words(judgement)}, in {center.n} fresh rounds"
        return replace(judgement, verdict=alarm, words=words, confirmed=True)
    calm = screened(center, scale, rule, loose, loose)
    verdict = calm.verdict if calm.verdict is Verdict.FINE else Verdict.UNDECIDED
    return replace(calm, verdict=verdict, words=f"an alarm that fresh rounds did not confirm: {calm.words}")


def exactly(pairs: Pairs, rule: Rule) -> Judgement:
    """Judge two values that do not vary: nothing is left to chance."""
    a, b = pairs.a[0], pairs.b[0]
    confidence = 1 - 2 * rule.screening_error
    numbers: tuple[float | None, str]
    if a == b:
        numbers, verdict = (1.0, f"exactly {_value(a)} on both sides"), Verdict.FINE
    elif a == 0:
        numbers, verdict = (None, f"exactly 0 before and {_value(b)} after"), direction(rule, larger=b > a)
    else:
        ratio = b / a if a > 0 and b > 0 else 1 + (b - a) / abs(a)
        low, high = 1 / (1 + rule.effect), 1 + rule.effect
        verdict = Verdict.FINE if low <= ratio <= high else direction(rule, larger=b > a)
        within = f", within +-{rule.percent}" if verdict is Verdict.FINE else f", {_WORD[verdict]}"
        numbers = (ratio, f"exactly {_value(a)} before and {_value(b)} after: ratio {number(ratio)}{within}")
    ratio_or_none, words = numbers
    p_value = 1.0 if a == b else 0.0
    return Judgement(verdict, ratio_or_none, ratio_or_none, ratio_or_none, confidence, len(pairs), p_value, words)


def settle(judgements: Sequence[Judgement], rule: Rule | None = None) -> list[Judgement]:
    """Return the judgements of one comparison with Holm's method applied to its confirmed alarms.

    Args:
        judgements: of all its benchmarks and metrics, in any order.
        rule: whose confirming_error the alarms of the comparison must keep together (default: that of `Rule()`).
    """
    allowed = (rule or Rule()).confirming_error
    alarms = [index for index, judgement in enumerate(judgements) if judgement.confirmed and judgement.verdict.alarm]
    settled = list(judgements)
    for index, p in zip(alarms, holm([judgements[index].p_value for index in alarms]), strict=True):
        if p > allowed:
            words = f"{judgements[index].words}; not enough among {len(alarms)} alarms (Holm: p = {p:.2g})"
            settled[index] = replace(judgements[index], verdict=Verdict.UNDECIDED, confirmed=False, words=words)
    return settled


_WORD = {Verdict.REGRESSION: "worse", Verdict.IMPROVEMENT: "better"}


def _undecided(judgement: Judgement, rule: Rule, needed: int | None) -> str:
    low, high = judgement.ci_low or 0.0, judgement.ci_high or 0.0
    seen = "undecided"
    if low > 1 or high < 1:
        seen = f"{_WORD[direction(rule, larger=low > 1)]}, but whether by more than {rule.percent} is undecided"
    rest = f"about {needed} rounds would decide" if needed else "the change is too close to the effect to be decided"
    return f"{seen} ({interval_words(judgement)}); {rest}"


def _noted(judgement: Judgement, pairs: Pairs) -> Judgement:
    if not pairs.left_out:
        return judgement
    return replace(judgement, words=f"{judgement.words}; {pairs.left_out} rounds without a number left out")


def _value(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.6g}"

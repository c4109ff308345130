"""From estimates to judgements: where an interval lies, what fresh rounds say of an alarm, values that do not vary."""

from dataclasses import replace

from bench_harness.statistics.intervals import Center
from bench_harness.verdict.changes import Pairs, Scale, center_of
from bench_harness.verdict.judgement import (
    Judgement,
    Levels,
    direction,
    interval_words,
    measured,
    number,
    span_words,
    without_ratio,
)
from bench_harness.verdict.rule import Rule, Verdict

WORD = {Verdict.REGRESSION: "worse", Verdict.IMPROVEMENT: "better"}
_FEWEST = 3  # rounds, or values per side, that have an interval worth reading


def screened(center: Center, scale: Scale, rule: Rule, levels: Levels, each: str = "rounds") -> Judgement:
    """Judge by where the interval lies; the one shown holds over all looks that `levels` is a part of."""
    judgement = measured(center, scale, confidence=1 - 2 * levels.fine, shown=loose(rule))
    verdict = levels.place(center, scale, rule)
    if verdict is Verdict.FINE:
        words = f"no relevant difference within +-{rule.percent} ({span_words(judgement)})"
        return replace(judgement, verdict=verdict, words=words)
    if verdict.alarm:
        words = f"seems {WORD[verdict]} by more than {rule.percent} ({interval_words(judgement)})"
        return replace(judgement, verdict=verdict, words=words)
    needed = levels.rounds_needed(center, scale, rule)
    return replace(judgement, words=undecided_words(judgement, rule, needed, each), rounds_needed=needed)


def confirmed(pairs: Pairs, rule: Rule, alarm: Verdict, stages: int) -> Judgement:
    """Judge fresh rounds after an alarm, in one of so many stages that may each do so."""
    if pairs.constant(_FEWEST):
        judgement = exactly(pairs, rule)
        return replace(judgement, confirmed=judgement.verdict is alarm)
    changes = pairs.changes()
    if len(pairs) < _FEWEST:
        judgement = too_few(pairs, rule, _FEWEST)
    elif changes is None:
        judgement = without_base(len(pairs), rule)
    else:
        judgement = proven(center_of(changes[0]), changes[1], rule, stages)
    if judgement.verdict is alarm:
        words = f"{judgement.words}, in {judgement.rounds} fresh rounds"
        return replace(judgement, words=words, confirmed=True)
    # A change as large in the other direction is no answer to this alarm either.
    verdict = Verdict.UNDECIDED if judgement.verdict.alarm else judgement.verdict
    return replace(judgement, verdict=verdict, words=f"an alarm that fresh rounds did not confirm: {judgement.words}")


def proven(center: Center, scale: Scale, rule: Rule, stages: int = 1, each: str = "rounds") -> Judgement:
    """Judge values that nobody chose for what they show.

    An alarm takes a difference that no change shows with a chance of `confirming_error` at most, over all stages, and
    an estimate beyond the effect.

    Args:
        each: what a value is one of, in words.
    """
    strict = 1 - 2 * rule.confirming_error
    judgement = measured(center, scale, confidence=1 - 2 * rule.confirming_error / stages, shown=strict)
    p_value = min(1.0, stages * judgement.p_value)
    if p_value <= rule.confirming_error and abs(center.value) > scale.margins(rule)[1]:
        verdict = direction(rule, larger=center.value > 0)
        words = f"{WORD[verdict]}: {interval_words(judgement)}"
        return replace(judgement, verdict=verdict, words=words, p_value=p_value)
    found = screened(center, scale, rule, Levels(rule.screening_error / stages, rule.confirming_error / stages), each)
    return replace(found, p_value=p_value)


def exactly(pairs: Pairs, rule: Rule) -> Judgement:
    """Judge two values that do not vary: nothing is left to chance."""
    a, b = pairs.a[0], pairs.b[0]
    ratio: float | None
    if a == b:
        ratio, verdict, words = 1.0, Verdict.FINE, f"exactly {_value(a)} on both sides"
    elif a == 0:
        ratio, verdict = None, direction(rule, larger=b > a)
        words = f"exactly 0 before and {_value(b)} after: {WORD[verdict]}"
    else:
        ratio = b / a if a > 0 and b > 0 else 1 + (b - a) / abs(a)
        low, high = 1 / (1 + rule.effect), 1 + rule.effect
        verdict = Verdict.FINE if low <= ratio <= high else direction(rule, larger=b > a)
        end = f"within +-{rule.percent}" if verdict is Verdict.FINE else WORD[verdict]
        words = f"exactly {_value(a)} before and {_value(b)} after: ratio {number(ratio)}, {end}"
    return Judgement(verdict, ratio, ratio, ratio, loose(rule), len(pairs), 1.0 if a == b else 0.0, words)


def too_few(pairs: Pairs, rule: Rule, wanted: int, each: str = "rounds") -> Judgement:
    """Return the judgement of fewer rounds than any look takes: numbers, but no verdict."""
    changes = pairs.changes() if len(pairs) else None
    words = f"{len(pairs)} {each}, a verdict takes {wanted}"
    if changes is None:
        return without_ratio(words, len(pairs), loose(rule))
    judgement = measured(center_of(changes[0]), changes[1], confidence=loose(rule), shown=loose(rule))
    return replace(judgement, words=words, rounds_needed=wanted)


def without_base(rounds: int, rule: Rule) -> Judgement:
    """Return the judgement of a base that is nothing, give or take its noise."""
    return without_ratio("no relative change can be given: the base cannot be told from 0", rounds, loose(rule))


def loose(rule: Rule) -> float:
    """Return the confidence of the interval that must lie between the margins."""
    return 1 - 2 * rule.screening_error


def undecided_words(judgement: Judgement, rule: Rule, needed: int | None, each: str) -> str:
    """Return what is known, and what it would take."""
    low, high = judgement.ci_low or 0.0, judgement.ci_high or 0.0
    seen = "undecided"
    if low > 1 or high < 1:
        seen = f"{WORD[direction(rule, larger=low > 1)]}, but whether by more than {rule.percent} is undecided"
    rest = f"about {needed} {each} would decide" if needed else f"more than 10,000 {each} would be needed"
    return f"{seen} ({interval_words(judgement)}); {rest}"


def _value(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.6g}"

"""Values that were measured elsewhere: as many as there are, no more to be had, and no fresh ones to confirm an alarm.

They are judged as fresh rounds are: an alarm takes a difference that no change at all shows in 0.5 of 100 cases in that
direction, over all numbers of a comparison together (Holm), and an estimate beyond the effect; `fine` takes a 90 %
interval between the margins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench_harness.statistics.intervals import Center, difference
from bench_harness.verdict.changes import Pairs, Scale, base_size, center_of, is_number
from bench_harness.verdict.judgement import Judgement
from bench_harness.verdict.placing import exactly, proven, too_few, without_base
from bench_harness.verdict.rule import Rule
from bench_harness.verdict.sides import Key

_FEWEST = 3


@dataclass(frozen=True)
class Measured:
    """The values of one number, all of them finite and at most 1e100.

    Args:
        paired: whether a[i] and b[i] belong together: the same seed, or the same round.
        each: what a value is one of, in words.
        own_sd: relative error of a value by itself, where it is a middle of many; 0: unknown.
    """

    key: Key
    a: tuple[float, ...]
    b: tuple[float, ...]
    paired: bool
    each: str = "rounds"
    own_sd: float = 0.0


@dataclass
class Source:
    """What files hold.

    Args:
        measured: numbers that both sides have.
        failures: by number and side, "a" or "b": why it has no verdict.
        base, head: as a record holds them: commit and label.
        certificate: what is known of the conditions, for results.certificate.
    """

    measured: list[Measured] = field(default_factory=list)
    failures: dict[Key, dict[str, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    base: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    certificate: dict[str, Any] = field(default_factory=dict)


def judge(measured: Measured, rule: Rule) -> Judgement:
    """Judge the values of one number."""
    shorter = min(len(measured.a), len(measured.b))
    pairs = Pairs(measured.a[:shorter], measured.b[:shorter], 0)
    if shorter < _FEWEST:
        each = measured.each if measured.paired else f"{measured.each} a side"
        return too_few(pairs, rule, _FEWEST, each)
    if len(set(measured.a)) == len(set(measured.b)) == 1:
        return exactly(pairs, rule)
    if measured.paired:
        changes = pairs.changes()
        found = changes and (center_of(changes[0]), changes[1])
    else:
        found = unpaired(measured.a, measured.b)
    if not found:
        return without_base(shorter, rule)
    judgement = proven(*found, rule, each=measured.each if measured.paired else f"{measured.each} a side")
    how = "paired" if measured.paired else "not paired"
    return replace(judgement, words=f"{judgement.words}; {shorter} {measured.each}, {how}")


def unpaired(a: Sequence[float], b: Sequence[float]) -> tuple[Center, Scale] | None:
    """Return the change between two independent samples, by Yuen's and Welch's t; None where the base is nothing."""
    if all(value > 0 for value in (*a, *b)):
        return difference(
            center_of([math.log(value) for value in a]), center_of([math.log(value) for value in b])
        ), Scale()
    unit = base_size(a)
    if unit is None or not all(is_number(value / unit) for value in (*a, *b)):
        return None
    return difference(center_of([value / unit for value in a]), center_of([value / unit for value in b])), Scale(unit)

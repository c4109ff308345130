"""Comprehensions: functions of their own before Python 3.12, part of the enclosing one since.

To compare captures of both kinds, those of the older one are folded: the own time of a comprehension is added to the
function around it, whose cumulative time holds it already; its calls are dropped. A generator expression is a function
in every version.

Around it is, by name, the function that a row names in `within` (statistics with callers tell it exactly), else the
nearest function of the same file that begins at or above its line, else the module. The latter is a guess: behind a
nested function it names that one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench_harness.profiles.statistics import Cost, Function, Profile

NAMES = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
MODULE = "<module>"


@dataclass(frozen=True)
class Row:
    """What a function took in the processes of one role.

    Args:
        process: main, workers, processes, or all where it is not known.
        steady: without set-up and first batch; None where phases are not known.
        within: of a comprehension, the name of the function around it, if known.
    """

    process: str
    file: str
    line: int
    name: str
    whole: Cost
    steady: Cost | None = None
    within: str | None = None

    @property
    def is_comprehension(self) -> bool:
        """Whether Python 3.12 would have no such function."""
        return self.name in NAMES


def enclosing_names(profile: Profile) -> dict[Function, str]:
    """Return for each comprehension of a profile the name of the function around it: it alone calls it."""
    return {function: name for function in profile if function[2] in NAMES if (name := _caller(profile, function, 0))}


def _caller(profile: Profile, function: Function, depth: int) -> str | None:
    entry = profile.get(function)
    if entry is None or not entry.callers or depth > len(NAMES) + 5:
        return None
    caller = max(entry.callers, key=lambda each: (entry.callers[each], each))
    if caller[0] != function[0]:
        return None
    return _caller(profile, caller, depth + 1) if caller[2] in NAMES else caller[2]


def fold(rows: Sequence[Row]) -> tuple[list[Row], int]:
    """Return the rows with comprehensions folded, and how many had no function around them among the rows."""
    whole = {index: row for index, row in enumerate(rows) if not row.is_comprehension}
    alone: list[Row] = []
    around: dict[tuple[str, str], list[int]] = {}
    for index, row in whole.items():
        around.setdefault((row.process, row.file), []).append(index)
    for row in rows:
        if row.is_comprehension:
            outer = _enclosing(row, around.get((row.process, row.file), ()), rows)
            if outer is None:
                alone.append(row)
            else:
                whole[outer] = _with_own(whole[outer], row)
    return [*whole.values(), *alone], len(alone)


def _enclosing(row: Row, candidates: Iterable[int], rows: Sequence[Row]) -> int | None:
    """Return which of the rows of its process and file is around a comprehension."""
    above = [index for index in candidates if rows[index].line <= row.line]
    if row.within is not None:
        fitting = [index for index in above if rows[index].name == row.within]
    else:
        fitting = [index for index in above if not rows[index].name.startswith("<")]
        fitting = fitting or [index for index in above if rows[index].name == MODULE]
    return max(fitting, key=lambda index: rows[index].line, default=None)


def _with_own(row: Row, inner: Row) -> Row:
    return replace(row, whole=_plus(row.whole, inner.whole), steady=_plus_known(row.steady, inner.steady))


def _plus_known(cost: Cost | None, inner: Cost | None) -> Cost | None:
    return _plus(cost, inner) if cost is not None and inner is not None else cost


def _plus(cost: Cost, inner: Cost) -> Cost:
    return Cost(cost.calls, cost.own_s + inner.own_s, max(cost.total_s, cost.own_s + inner.own_s))

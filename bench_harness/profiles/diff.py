"""How two captures differ, function by function, per steady step: rows for a record and for texts.

A function is known by file and name (function_keys); what has one key is one row: own times and calls are summed, of
the cumulative times the largest stays, since one such function may call the other. Where a side counted no steady
steps, whole runs are compared, and `per` says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench_harness.profiles.comprehensions import Row
from bench_harness.profiles.diff_sides import Side
from bench_harness.profiles.function_keys import matched_paths, normal_name
from bench_harness.profiles.merged import share
from bench_harness.profiles.statistics import Cost

MAX_ROWS = 2000
WHOLE_RUN = "run"
INLINED_SINCE = (3, 12)
Key = tuple[str, str]  # path and name


@dataclass(frozen=True)
class Scale:
    """What times and calls are divided by: the steady steps (or batches) of each side; 1 for whole runs."""

    per: str
    a: int
    b: int


def scale_of(a: Side, b: Side) -> Scale:
    """Return the unit that both sides counted."""
    for per, name in (("steady step", "steady_steps"), ("steady batch", "steady_batches")):
        count_a, count_b = a.count(name), b.count(name)
        if count_a and count_b:
            return Scale(per, count_a, count_b)
    return Scale(WHOLE_RUN, 1, 1)


def difference(a: Side, b: Side) -> tuple[dict[str, Any], list[str]]:
    """Return the rows for a record, and what a reader should know of how they were matched."""
    notes: list[str] = []
    if a.record is None or b.record is None:
        a, b = a.collapsed(), b.collapsed()
    a, b = _comparable_comprehensions(a, b, notes)
    scale = scale_of(a, b)
    paths = matched_paths((row.file for row in a.rows), (row.file for row in b.rows))
    roles = [_Role(name, a, b, scale, paths) for name in _roles(a, b)]
    functions = [row for role in roles for row in role.functions()]
    functions.sort(key=_by_delta)
    kept, rest = functions[:MAX_ROWS], functions[MAX_ROWS:]
    return {
        "per": scale.per,
        "processes": [role.totals() for role in roles],
        "functions": kept,
        "functions_left_out": {"rows": len(rest), "delta_s": sum(row["delta_s"] for row in rest)},
        "waiting": [row for role in roles for row in role.waiting()],
        "matched": {
            "a_functions": sum(len(role.a) for role in roles),
            "b_functions": sum(len(role.b) for role in roles),
            "both": sum(len(role.a.keys() & role.b.keys()) for role in roles),
            "merged": len(a.rows) + len(b.rows) - sum(len(role.a) + len(role.b) for role in roles),
        },
    }, notes


def _by_delta(row: Mapping[str, Any]) -> tuple[float, str, str, str]:
    return -abs(row["delta_s"]), row["process"], row["file"], row["name"]


def _roles(a: Side, b: Side) -> list[str]:
    names = [row.process for side in (a, b) for row in side.rows]
    names += [process for side in (a, b) for process, _ in side.waiting]
    return sorted(set(names), key=lambda name: (name != "main", name != "workers", name))


def _comparable_comprehensions(a: Side, b: Side, notes: list[str]) -> tuple[Side, Side]:
    has_a, has_b = (any(row.is_comprehension for row in side.rows) for side in (a, b))
    versions = (a.python, b.python)
    if None in versions:
        needed = has_a != has_b  # as far as can be told: one side has none at all
    else:
        needed = len({version is not None and version >= INLINED_SINCE for version in versions}) > 1
    if not needed or not (has_a or has_b):
        return a, b
    (a, alone_a), (b, alone_b) = a.folded(), b.folded()
    notes.append(
        "comprehensions are functions of their own before Python 3.12 only: they are counted to the function around them"
        + (f"; for {alone_a + alone_b} none was found" if alone_a + alone_b else "")
    )
    return a, b


class _Role:
    """The processes of one role on both sides; costs and seconds are of the whole phase, rows are per step."""

    def __init__(
        self, name: str, a: Side, b: Side, scale: Scale, paths: tuple[Mapping[str, str], Mapping[str, str]]
    ) -> None:
        self.name = name
        rows = [[row for row in side.rows if row.process == name] for side in (a, b)]
        # Processes without batches (those of a pool) have no steady state: all of their time is compared.
        is_steady = scale.per != WHOLE_RUN and any(_is_known(row.steady) for side in rows for row in side)
        self.scale = scale if is_steady else Scale(WHOLE_RUN, 1, 1)
        self.a, self.b = (_costs(side, names, is_steady) for side, names in zip(rows, paths, strict=True))
        self._waiting = [_waiting(side, name, is_steady) for side in (a, b)]
        self._hidden = (a.left_out, b.left_out)
        self._captured = [
            max(side.captured_s(name, is_steady), sum(_own(cost) for cost in costs.values()) + sum(waiting.values()))
            for side, costs, waiting in zip((a, b), (self.a, self.b), self._waiting, strict=True)
        ]

    def totals(self) -> dict[str, Any]:
        """Return the time captured in these processes, and how much of it they waited."""
        waited_a, waited_b = (sum(waiting.values()) for waiting in self._waiting)
        scaled = self._pair("captured_s", *self._captured)
        return {
            "process": self.name,
            "per": self.scale.per,
            "a_steps": self.scale.a,
            "b_steps": self.scale.b,
            **scaled,
            "delta_s": scaled["b_captured_s"] - scaled["a_captured_s"],
            **self._pair("waiting_s", waited_a, waited_b),
        }

    def functions(self) -> Iterable[dict[str, Any]]:
        """Yield a row per function that did anything in the phase that is compared."""
        for key in self.a.keys() | self.b.keys():
            cost_a, cost_b = self.a.get(key), self.b.get(key)
            if _is_known(cost_a) or _is_known(cost_b):
                yield {"process": self.name, "file": key[0], "name": key[1], **self._row(cost_a, cost_b)}

    def _row(self, cost_a: Cost | None, cost_b: Cost | None) -> dict[str, Any]:
        total_a, total_b = (0.0 if cost is None else cost.total_s for cost in (cost_a, cost_b))
        return {
            "a_calls": _calls(cost_a, cost_b, self.scale.a),
            "b_calls": _calls(cost_b, cost_a, self.scale.b),
            **self._times("tottime_s", _own(cost_a), _own(cost_b)),
            **self._pair("cumtime_s", total_a, total_b),
            "change": self._change(cost_a, cost_b),
        }

    def waiting(self) -> Iterable[dict[str, Any]]:
        """Yield a row per kind of waiting."""
        for kind in sorted(self._waiting[0].keys() | self._waiting[1].keys()):
            seconds = (waiting.get(kind, 0.0) for waiting in self._waiting)
            yield {"process": self.name, "kind": kind, **self._times("s", *seconds)}

    def _times(self, unit: str, a_s: float, b_s: float) -> dict[str, float]:
        scaled = self._pair(unit, a_s, b_s)
        share_a, share_b = share(a_s, self._captured[0]), share(b_s, self._captured[1])
        shares = {"a_share": share_a, "b_share": share_b, "share_delta": share_b - share_a}
        return {**scaled, "delta_s": scaled[f"b_{unit}"] - scaled[f"a_{unit}"], **shares}

    def _pair(self, unit: str, a_s: float, b_s: float) -> dict[str, float]:
        return {f"a_{unit}": a_s / self.scale.a, f"b_{unit}": b_s / self.scale.b}

    def _change(self, cost_a: Cost | None, cost_b: Cost | None) -> str | None:
        """Return new or gone, with a question mark where the other side leaves small functions out of its record."""
        if cost_a is None:
            return "new?" if self._hidden[0] else "new"
        if cost_b is None:
            return "gone?" if self._hidden[1] else "gone"
        return None


def _is_known(cost: Cost | None) -> bool:
    return cost is not None and bool(cost.calls or cost.own_s)


def _costs(rows: Iterable[Row], paths: Mapping[str, str], is_steady: bool) -> dict[Key, Cost]:
    """Return what each function took; one that only ran before the steady state took nothing in it."""
    table: dict[Key, Cost] = {}
    for row in rows:
        key = paths[row.file], normal_name(row.name)
        cost = row.steady or Cost(0, 0.0, 0.0) if is_steady else row.whole
        table[key] = _merged(table[key], cost) if key in table else cost
    return table


def _merged(one: Cost, other: Cost) -> Cost:
    calls = None if one.calls is None or other.calls is None else one.calls + other.calls
    return Cost(calls, one.own_s + other.own_s, max(one.total_s, other.total_s))


def _waiting(side: Side, process: str, is_steady: bool) -> dict[str, float]:
    of_process = {kind: seconds for (name, kind), seconds in side.waiting.items() if name == process}
    return {kind: (steady or 0.0) if is_steady else whole for kind, (whole, steady) in of_process.items()}


def _own(cost: Cost | None) -> float:
    return 0.0 if cost is None else cost.own_s


def _calls(cost: Cost | None, other: Cost | None, steps: int) -> float | None:
    """Return calls per step; of a function that a side does not have: none, unless the engine counts no calls."""
    if cost is None:
        return None if other is None or other.calls is None else 0.0
    return None if cost.calls is None else cost.calls / steps

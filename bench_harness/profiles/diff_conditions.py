"""Whether two captures may be compared: what forbids it, and what a reader has to know."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.profiles.diff import WHOLE_RUN, scale_of
from bench_harness.profiles.diff_sides import Side

LEAST_STEADY_BATCHES = 5
COUNTING_ENGINES = ("cprofile", "monitoring")
_MAX_SHOWN = 60


def refusals(a: Side, b: Side) -> list[str]:
    """Return why the two must not be compared, each with what to do; empty if they may be."""
    return [*_engines(a, b), *_workloads(a, b), *_steady(a, b)]


def _engines(a: Side, b: Side) -> Iterable[str]:
    engines = [side.engine for side in (a, b)]
    if None in engines:  # a bare .prof: of cProfile, or of something that writes what it writes
        if any(engine not in (None, *COUNTING_ENGINES) for engine in engines):
            yield f"engine differs: a .prof counts calls, {engines[0] or engines[1]} samples; profile with cprofile"
    elif engines[0] != engines[1]:
        yield f"engine differs: {engines[0]} and {engines[1]}; profile both with one --engine"


def _workloads(a: Side, b: Side) -> Iterable[str]:
    if a.record is None or b.record is None:
        return
    values_a, values_b = _workload(a), _workload(b)
    for name in sorted(values_a.keys() | values_b.keys()):
        value_a, value_b = values_a.get(name), values_b.get(name)
        if value_a != value_b:
            yield f"workload differs: {name} is {_shown(value_a)} and {_shown(value_b)}; profile the same command twice"


def _workload(side: Side) -> dict[str, Any]:
    """Return what was run; where it was run is no part of it, nor in which folder a script lies."""
    workload = side.results.get("workload")
    values = dict(workload) if isinstance(workload, dict) else {}
    values = {name: value for name, value in values.items() if not name.startswith("cwd")}
    return {"target": _unrooted(side.results.get("target")), **{name: _unrooted(each) for name, each in values.items()}}


def _unrooted(value: Any) -> Any:
    if isinstance(value, list):
        return [_unrooted(item) for item in value]
    return os.path.basename(value) if isinstance(value, str) and os.path.isabs(value) else value  # noqa: PTH119


def _shown(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + '...'}'"


def _steady(a: Side, b: Side) -> Iterable[str]:
    if a.record is None or b.record is None or scale_of(a, b).per != WHOLE_RUN:
        return
    without = [name for name, side in (("A", a), ("B", b)) if not _has_steady(side)]
    if len(without) == 2 and not (a.count("batches") or b.count("batches")):
        return  # no pipeline of data at all: that of whole runs is the only comparison there is
    if without:
        verb = "have" if len(without) == 2 else "has"
        yield f"{' and '.join(without)} {verb} no steady batches; profile more of them"
    else:
        yield "one side counted steps, the other batches"


def _has_steady(side: Side) -> bool:
    return bool(side.count("steady_steps") or side.count("steady_batches"))


def warnings(a: Side, b: Side) -> list[str]:
    """Return what makes a difference doubtful, one line each."""
    found = [line for name, side in (("A", a), ("B", b)) for line in _of_side(name, side)]
    return [*found, *_whole_runs(a, b), *_counts(a, b), *_environments(a, b)]


def _of_side(name: str, side: Side) -> Iterable[str]:
    record = side.record
    if record is None:
        yield (
            f"{name} is a bare .prof: engine, workload, steps, machine, versions and completeness are unknown, and "
            "set-up is in it"
        )
        return
    if not record.completed:
        yield f"{name} did not complete"
    workers = record.workers or {}
    expected, delivered = workers.get("expected"), workers.get("delivered")
    if isinstance(expected, int) and isinstance(delivered, int) and delivered < expected:
        yield f"{name}: {expected - delivered} of {expected} workers delivered no final dump; their time is not whole"
    if _part(side, "git").get("dirty"):
        yield f"{name} was measured with uncommitted changes"
    batches = side.count("steady_batches") or side.count("steady_steps")
    if batches and batches < LEAST_STEADY_BATCHES:
        yield f"{name} has {batches} steady batches only, under {LEAST_STEADY_BATCHES}; profile more of them"


def _whole_runs(a: Side, b: Side) -> Iterable[str]:
    if scale_of(a, b).per == WHOLE_RUN and a.record is not None and b.record is not None:
        yield "whole runs are compared, imports and set-up included: there are no steady steps on both sides"


def _counts(a: Side, b: Side) -> Iterable[str]:
    scale = scale_of(a, b)
    if scale.a != scale.b:
        yield f"steps differ: {scale.a:,} and {scale.b:,} {scale.per}s; times are per {scale.per}"


def _environments(a: Side, b: Side) -> Iterable[str]:
    if a.record is None or b.record is None:
        return
    for what, value_a, value_b in _compared(a, b):
        if value_a != value_b:
            yield f"{what} differs: {value_a} and {value_b}"
    for what, name in (("packages differ", "packages"), ("environment variables differ", "variables")):
        parts = list(_differences(_part(a, name), _part(b, name)))
        if parts:
            yield f"{what}: {', '.join(parts)}"


def _compared(a: Side, b: Side) -> Iterable[tuple[str, Any, Any]]:
    yield "machine", _machine(a), _machine(b)
    for what, part, name in (
        ("processor", "cpu", "model"),
        ("Python", "python", "version"),
        ("Python implementation", "python", "implementation"),
        ("start method", "multiprocessing", "start_method"),
    ):
        yield what, _part(a, part).get(name), _part(b, part).get(name)


def _machine(side: Side) -> str:
    # The folders of runs with uncommitted changes may be marked by their label; the machine is the same.
    return str((side.record.environment if side.record else {}).get("machine")).removesuffix("-dirty")


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterable[str]:
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            yield f"{name} {a.get(name, 'absent')} and {b.get(name, 'absent')}"


def _part(side: Side, name: str) -> Mapping[str, Any]:
    part = side.record.environment.get(name) if side.record else None
    return part if isinstance(part, dict) else {}

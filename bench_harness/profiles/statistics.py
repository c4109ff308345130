"""Statistics of functions: as cProfile writes them, and as sampled stacks say them.

Both are cumulative: what a process did between two dumps is the difference of the two.
"""

import json
import marshal
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench_harness.errors import RecordError
from bench_harness.segments import PROFILE, Stacks, read_stacks, read_statistics

Function = tuple[str, int, str]  # file, line of definition, name, as pstats has them
Times = tuple[float, float, float, float]
_NOTHING: Times = (0, 0, 0.0, 0.0)
# "<built-in method __new__ of type object at 0x9d7c00>": the same function lies elsewhere in a spawned process.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Entry:
    """One function of a profile.

    Args:
        times: primitive calls, calls, own seconds, cumulative seconds.
        callers: calls, primitive calls, own and cumulative seconds of this function when called from there.
    """

    times: Times
    callers: dict[Function, Times]


Profile = dict[Function, Entry]
Folded = dict[tuple[Function, ...], float]  # seconds of each stack, outermost function first
Measured = TypeVar("Measured", Profile, Folded)


@dataclass(frozen=True)
class Cost:
    """What one function took: `calls` is None where an engine only samples."""

    calls: int | None
    own_s: float
    total_s: float

    def __add__(self, other: "Cost") -> "Cost":
        calls = None if self.calls is None or other.calls is None else self.calls + other.calls
        return Cost(calls, self.own_s + other.own_s, self.total_s + other.total_s)


def load(path: Path) -> Profile | Folded:
    """Read what an engine wrote: a profile or stacks.

    Raises:
        RecordError: the file is cut off or damaged; names it.
    """
    return load_profile(path) if path.name.endswith(PROFILE) else fold(load_stacks(path))


def load_profile(path: Path) -> Profile:
    """Read statistics as pstats does, without the addresses in names.

    Raises:
        RecordError: the file is cut off or damaged, as a process leaves it that is killed while it writes; names it.
    """
    try:
        return _profile(read_statistics(path))
    except (OSError, EOFError, ValueError, TypeError, MemoryError, RecursionError, LookupError) as error:
        raise RecordError(f"{path}: damaged statistics ({error or type(error).__name__}); left out") from error


def load_stacks(path: Path) -> Stacks:
    """Read sampled stacks.

    Raises:
        RecordError: the file is cut off or damaged; names it.
    """
    try:
        stacks = read_stacks(path)
        known = range(len(stacks.frames))
        if len(stacks.samples) != len(stacks.weights_s) or not all(i in known for s in stacks.samples for i in s):
            raise ValueError("samples, weights and frames do not fit together")
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path}: damaged stacks ({error or type(error).__name__}); left out") from error
    return stacks


def fold(stacks: Stacks) -> Folded:
    """Return the seconds of each distinct stack."""
    functions = [(file, line, name) for name, file, line in stacks.frames]
    folded: Folded = {}
    for sample, weight in zip(stacks.samples, stacks.weights_s, strict=True):
        stack = tuple(functions[index] for index in sample)
        folded[stack] = folded.get(stack, 0.0) + weight
    return folded


def costs(profile: Profile) -> dict[Function, Cost]:
    """Return what each function took."""
    return {function: Cost(int(t[1]), t[2], t[3]) for function, entry in profile.items() for t in [entry.times]}


def stack_costs(folded: Folded) -> dict[Function, Cost]:
    """Return what each function took: own time where it is innermost, its whole time once per stack that holds it."""
    table: dict[Function, Cost] = {}
    for stack, weight in folded.items():
        for function in set(stack):
            own = weight if function == stack[-1] else 0.0
            table[function] = table.get(function, Cost(None, 0.0, 0.0)) + Cost(None, own, weight)
    return table


def add(parts: Iterable[Measured]) -> Measured:
    """Return the sum over processes."""
    total: Any = {}
    for part in parts:
        for key, value in part.items():
            total[key] = _sum(total[key], value) if key in total else value
    return total  # type: ignore[no-any-return]


def subtract(later: Measured, earlier: Measured) -> Measured:
    """Return what happened between two dumps of one process; never negative.

    A call that was open at the earlier dump counts as later with its whole time: cProfile books a call when it ends.
    """
    changed: Any = {}
    for key, value in later.items():
        rest = _difference(value, earlier[key]) if key in earlier else value
        if rest is not None:
            changed[key] = rest
    return changed  # type: ignore[no-any-return]


def size(measured: Profile | Folded) -> float:
    """Return how much a dump holds: calls of a profile, seconds of stacks; it only grows in a process."""
    return sum(value.times[1] if isinstance(value, Entry) else value for value in measured.values())


def profile_bytes(profile: Profile) -> bytes:
    """Return statistics as pstats reads them from a file."""
    # One object for equal keys and names: marshal writes an object once, and equal ones again and again.
    shared: dict[Function, Function] = {}

    def only(key: Function) -> Function:
        if key not in shared:
            shared[key] = (sys.intern(key[0]), key[1], sys.intern(key[2]))
        return shared[key]

    document = {
        only(function): (*_counted(each.times), {only(caller): _counted(times) for caller, times in each.callers.items()})
        for function, each in profile.items()
    }
    return marshal.dumps(document)


def _counted(times: Times) -> tuple[int, int, float, float]:
    return int(times[0]), int(times[1]), times[2], times[3]


def _profile(document: Any) -> Profile:
    if not isinstance(document, dict):
        raise ValueError("no statistics")
    profile: Profile = {}
    for function, (cc, nc, tt, ct, callers) in document.items():
        named = [(_function(caller), _times(times)) for caller, times in callers.items()]
        entry = Entry(_times((cc, nc, tt, ct)), {})
        for caller, times in named:
            entry.callers[caller] = _plus(entry.callers.get(caller, _NOTHING), times)
        key = _function(function)
        profile[key] = _sum(profile[key], entry) if key in profile else entry
    return profile


def _function(key: Any) -> Function:
    file, line, name = key
    return str(file), int(line), _ADDRESS.sub("", str(name))


def _times(values: Any) -> Times:
    # The pure Python `profile` module writes a bare count of calls for a caller.
    first, second, own, cumulative = (values, values, 0.0, 0.0) if isinstance(values, int) else values
    return int(first), int(second), float(own), float(cumulative)


def _plus(one: Times, other: Times) -> Times:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def _minus(later: Times, earlier: Times) -> Times:
    first, second, own, cumulative = (max(0, a - b) for a, b in zip(later, earlier, strict=True))
    return first, second, own, cumulative


def _sum(one: Any, other: Any) -> Any:
    if not isinstance(one, Entry):
        return one + other
    callers = dict(one.callers)
    for caller, times in other.callers.items():
        callers[caller] = _plus(callers.get(caller, _NOTHING), times)
    return Entry(_plus(one.times, other.times), callers)


def _difference(later: Any, earlier: Any) -> Any:
    """Return the difference of two values, None if nothing is left."""
    if not isinstance(later, Entry):
        return later - earlier if later - earlier > 1e-9 else None  # else rounding: the same stack at both dumps
    callers = {caller: _minus(times, earlier.callers.get(caller, _NOTHING)) for caller, times in later.callers.items()}
    left = Entry(_minus(later.times, earlier.times), {key: times for key, times in callers.items() if any(times)})
    return left if any(left.times) else None

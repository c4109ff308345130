"""cProfile's entries in a file, as a running process writes them: quickly, and without much litter.

A main process that has imported torch has called 15,000 functions. As the table that pstats reads they would be a
hundred thousand new containers, which make Python search the whole memory of the target for garbage. Here they are
three flat rows, and the table is made by whoever reads the file.

    codes   a list: identity, file, line, name       of each function
    counts  native doubles: calls, recursive calls, own seconds, cumulative seconds       of each function
    edges   native doubles: identity of the caller and of the function, and the same four counts of its calls from there

Where bench_harness._call_entries was compiled, it reads them out of the profiler itself; Profiler.getstats, which takes
ten times as long, stands in for it.
"""

import _lsprof
import array
import cProfile
import functools
import marshal
import sys
from collections.abc import Iterable, Mapping
from typing import Any

Key = tuple[str, int, str]  # file, line, name, as pstats has them
# One row of pstats: (primitive calls, calls, own s, cumulative s, {caller: the same four}).
Table = dict[Key, tuple[int, int, float, float, dict[Key, tuple[int, int, float, float]]]]
_Counts = tuple[int, int, float, float]  # calls, recursive ones among them, own s, cumulative s


# Codes, counts and edges, see above, of the functions that returned since a moment; and the calls of every function up
# to now, by its identity, for a later reading: None where they were not to be kept.
Reading = tuple[list[Any], bytes, bytes, dict[int, int] | None]


def to_bytes(reading: Reading, base: str | None = None) -> bytes:
    """Return a file, which may be upon another one, called `base`."""
    return marshal.dumps((base, *reading[:3]))


def read(profile: cProfile.Profile, before: Mapping[int, int] | None = None, *, keep: bool = False) -> Reading:
    """Return what a profiler has counted, uninterrupted by the thread that it follows.

    Args:
        profile: without a timer of its own.
        before: calls of an earlier reading: only the functions that returned since are read.
        keep: whether to keep the calls.
    """
    module = compiled()
    if module is None:
        return _read(profile, before, keep)
    reading: Reading = module.read(profile, _lsprof.Profiler, before, keep)
    return reading


def _read(profile: cProfile.Profile, before: Mapping[int, int] | None, keep: bool) -> Reading:
    codes: list[Any] = []
    counts: list[float] = []
    edges: list[float] = []
    entries: list[Any] = profile.getstats()
    for code, calls, recursive, total_s, own_s, callees in entries:
        own = id(code)
        if before is not None and before.get(own) == calls:
            continue
        if isinstance(code, str):  # a function in C
            codes += own, "~", 0, code
        else:
            codes += own, code.co_filename, code.co_firstlineno, code.co_name
        counts += calls, recursive, own_s, total_s
        for called, calls, recursive, total_s, own_s in callees or ():
            edges += own, id(called), calls, recursive, own_s, total_s
    kept = {id(entry[0]): entry[1] for entry in entries} if keep else None
    return codes, array.array("d", counts).tobytes(), array.array("d", edges).tobytes(), kept


@functools.cache
def compiled() -> Any:
    """Return bench_harness._call_entries; None where it was not built, or does not read what getstats says here.

    To be asked first where nothing is profiled: it tries on a profiler of its own.
    """
    try:
        from bench_harness import _call_entries

        if sys.getprofile() is not None:
            return None
        profile = cProfile.Profile()
        profile.runcall(sorted, [3, 1, 2], key=lambda number: abs(number))
        ours = _call_entries.read(profile, _lsprof.Profiler, None, True)
        return _call_entries if ours == _read(profile, None, keep=True) else None
    except (ImportError, TypeError, ValueError):  # not built; another layout; another profiler at work
        return None


class Entries:
    """What is in such a file, or in several upon each other."""

    def __init__(self) -> None:
        self._keys: dict[int, Key] = {}
        self._counts: dict[int, _Counts] = {}
        self._edges: dict[tuple[int, int], _Counts] = {}

    def put(self, document: Any) -> None:
        """Add an unmarshalled file; what it has of a function or an edge takes the place of what there was.

        Raises:
            ValueError, TypeError: it is no such file.
        """
        _, codes, counts, edges = document
        for own, file, line, name in _groups(codes, 4):
            self._keys[own] = file, line, name
        for own, (calls, recursive, own_s, total_s) in zip(codes[::4], _groups(_numbers(counts), 4), strict=True):
            self._counts[own] = int(calls), int(recursive), own_s, total_s
        for caller, called, calls, recursive, own_s, total_s in _groups(_numbers(edges), 6):
            self._edges[int(caller), int(called)] = int(calls), int(recursive), own_s, total_s

    def table(self) -> Table:
        """Return the statistics as pstats has them.

        Functions of one name and line, as two lambdas may be, are added up; pstats' own keep the last one.
        """
        table: Table = {}
        for own, (calls, recursive, own_s, total_s) in self._counts.items():
            row = table.get(self._keys[own], (0, 0, 0.0, 0.0, {}))
            primitive = calls - recursive
            table[self._keys[own]] = row[0] + primitive, row[1] + calls, row[2] + own_s, row[3] + total_s, row[4]
        for (caller, called), (calls, recursive, own_s, total_s) in self._edges.items():
            if called in self._keys:  # else the call is still open
                callers, key = table[self._keys[called]][4], self._keys[caller]
                before = callers.get(key, (0, 0, 0.0, 0.0))
                callers[key] = before[0] + calls, before[1] + calls - recursive, before[2] + own_s, before[3] + total_s
        return table


def _numbers(content: bytes) -> "array.array[float]":
    numbers = array.array("d")
    numbers.frombytes(content)
    return numbers


def _groups(values: Iterable[Any], size: int) -> Iterable[tuple[Any, ...]]:
    return zip(*(iter(values),) * size, strict=True)


def table_of(profile: cProfile.Profile) -> Table:
    """Return what a profiler has counted as pstats has it."""
    known = Entries()
    known.put((None, *read(profile)[:3]))
    return known.table()

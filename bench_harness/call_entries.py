"""cProfile's entries in a file, as a running process writes them: quickly, and without much litter.

A main process that has imported torch has called 15,000 functions. As the table that pstats reads they would be a
hundred thousand new containers, which make Python search the whole memory of the target for garbage. Here they are
three flat lists, and the table is made by whoever reads the file.

    codes   identity, file, line, name       of each function
    counts  calls, recursive calls, own seconds, cumulative seconds       of each function
    edges   identity of the caller and of the function, and the same four counts of its calls from there
"""

import marshal
from collections.abc import Iterable
from typing import Any

Key = tuple[str, int, str]  # file, line, name, as pstats has them
# One row of pstats: (primitive calls, calls, own s, cumulative s, {caller: the same four}).
Table = dict[Key, tuple[int, int, float, float, dict[Key, tuple[int, int, float, float]]]]
_Counts = tuple[int, int, float, float]  # calls, recursive ones among them, own s, cumulative s


def to_bytes(entries: Iterable[Any], base: str | None = None) -> bytes:
    """Return entries of `_lsprof.Profiler.getstats` as a file, which may be upon another one, called `base`."""
    return marshal.dumps((base, *_lists(entries)))


def _lists(entries: Iterable[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    codes: list[Any] = []
    counts: list[Any] = []
    edges: list[Any] = []
    for code, calls, recursive, total_s, own_s, callees in entries:
        own = id(code)
        if isinstance(code, str):  # a function in C
            codes += own, "~", 0, code
        else:
            codes += own, code.co_filename, code.co_firstlineno, code.co_name
        counts += calls, recursive, own_s, total_s
        for called, calls, recursive, total_s, own_s in callees or ():
            edges += own, id(called), calls, recursive, own_s, total_s
    return codes, counts, edges


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
        self._counts.update(zip(codes[::4], _groups(counts, 4), strict=True))
        for caller, called, *times in _groups(edges, 6):
            self._edges[caller, called] = tuple(times)

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


def _groups(values: list[Any], size: int) -> Iterable[tuple[Any, ...]]:
    return zip(*(iter(values),) * size, strict=True)


def table_of(entries: Iterable[Any]) -> Table:
    """Return entries of `_lsprof.Profiler.getstats` as pstats has them."""
    known = Entries()
    known.put((None, *_lists(entries)))
    return known.table()

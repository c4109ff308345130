"""Open handles that a data set holds: what forked workers must not share with the process that opened them."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any

# Looked at: enough for what a data set is made of, and soon done where it holds a million records.
_MAX_OBJECTS, _MAX_DEPTH, _MAX_ITEMS = 20_000, 8, 50
_FILES = ("_io.FileIO", "_io.BufferedReader", "_io.BufferedRandom", "_io.BufferedWriter", "_io.TextIOWrapper")
_HANDLES = {
    "sqlite3.Connection": "SQLite connection",
    "h5py._hl.files.File": "HDF5 file",
    "lmdb.Environment": "LMDB environment",
    "zipfile.ZipFile": "ZIP archive",
    "tarfile.TarFile": "tar archive",
    "socket.socket": "socket",
    "duckdb.duckdb.DuckDBPyConnection": "DuckDB connection",
    "_duckdb.DuckDBPyConnection": "DuckDB connection",
    "psycopg.Connection": "PostgreSQL connection",
    "psycopg2.extensions.connection": "PostgreSQL connection",
    **dict.fromkeys(_FILES, "open file"),
}
_LEAVES = (str, bytes, bytearray, int, float, complex, bool, type(None), type, ModuleType, range)
_Path = tuple[Any, ...]


@dataclass(frozen=True)
class Handle:
    """An open handle: where it is reached from, such as dataset.store._connection or train.CONNECTION; what it is."""

    path: str
    kind: str


def find_handles(root: Any, name: str = "dataset") -> list[tuple[Handle, Any]]:
    """Return the open handles that can be reached from an object, each with the handle itself.

    No code of the object runs: neither properties nor __getattr__. Of a long list the first items are looked at; of the
    variables of modules, those that are handles themselves and that a method of what is reached names.
    """
    found: list[tuple[Handle, Any]] = []
    seen = {id(root)}
    queue: deque[tuple[str, Any, int]] = deque([(name, root, 0)])
    while queue:
        path, value, depth = queue.popleft()
        kind = _kind(value)
        if kind is not None:
            if not _is_closed(value):
                found.append((Handle(path, kind), value))
            continue
        for path_of_global, child in _globals_of(type(value), seen):
            queue.append((path_of_global, child, depth))
        if depth == _MAX_DEPTH:
            continue
        for step, child in _children(value):
            if len(seen) >= _MAX_OBJECTS:
                return found
            if not issubclass(type(child), _LEAVES) and id(child) not in seen:
                seen.add(id(child))
                queue.append((f"{path}{step}", child, depth + 1))
    return found


def _kind(value: Any) -> str | None:
    names = (f"{each.__module__}.{each.__qualname__}" for each in type(value).__mro__)
    return next((_HANDLES[name] for name in names if name in _HANDLES), None)


def _is_closed(value: Any) -> bool:
    try:
        return getattr(value, "closed", False) is True or getattr(value, "fp", value) is None
    except Exception:
        return False


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    # type(), as isinstance() asks an object what it stands for, and so runs a proxy's code.
    if issubclass(type(value), Mapping) and type(value).__module__ in ("builtins", "collections"):
        yield from ((f"[{key!r:.40}]", child) for key, child in _first(value.items()))
    elif issubclass(type(value), (list, tuple, set, frozenset, deque)):
        yield from ((f"[{number}]", child) for number, child in enumerate(_first(value)))
    for holder in getattr(type(value), "__mro__", ()):
        for slot, descriptor in list(vars(holder).items()):
            if isinstance(descriptor, MemberDescriptorType) and not slot.startswith("__"):
                yield from _slot(value, slot, descriptor)
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return
    if isinstance(attributes, dict):
        yield from ((f".{name}", child) for name, child in _first(attributes.items(), 10 * _MAX_ITEMS))


def _globals_of(kind: type, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the handles among the variables of modules that the methods of a class name, each once."""
    for holder in kind.__mro__:
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        for method in list(vars(holder).values()):
            if type(method) is not FunctionType:
                continue
            for name in method.__code__.co_names:
                child = method.__globals__.get(name)
                if id(child) not in seen and _kind(child) is not None:
                    seen.add(id(child))
                    yield f"{method.__module__}.{name}", child


def _slot(value: Any, name: str, descriptor: MemberDescriptorType) -> Iterator[tuple[str, Any]]:
    try:
        yield f".{name}", descriptor.__get__(value)
    except (AttributeError, TypeError):
        return


def _first(items: Iterable[Any], count: int = _MAX_ITEMS) -> list[Any]:
    try:
        return list(itertools.islice(items, count))
    except RuntimeError:  # another thread changes it
        return []

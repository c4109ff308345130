"""Where CPython keeps what belongs to an object and lies in a block of its own; the same in C is in _census.c.

No attribute of the object is looked up: a class of the user may answer with code of its own.
"""

import ctypes
import sys
from typing import Any

# Addresses of fields, in words from the object's own: see the structures in Include/cpython of CPython 3.10 to 3.13.
_SIZE, _LIST_ITEMS, _LIST_ROOM, _DICT_USED, _DICT_KEYS, _DICT_VALUES = 2, 3, 4, 2, 4, 5
_SET_MASK, _SET_TABLE, _SET_SMALL_TABLE, _BYTEARRAY_ROOM, _BYTEARRAY_BYTES = 4, 5, 8, 3, 4
_WORD = 8
_HAS_GC, _MANAGED_WEAKREF, _MANAGED_DICT, _INLINE_VALUES, _HEAP_TYPE = 1 << 14, 1 << 3, 1 << 4, 1 << 2, 1 << 9

# Reading a class through type's own descriptors leaves the user's metaclass out.
_flags_of = type.__dict__["__flags__"].__get__
_size_of = type.__dict__["__basicsize__"].__get__
_item_size_of = type.__dict__["__itemsize__"].__get__

IS_KNOWN = (
    sys.implementation.name == "cpython"
    and (3, 10) <= sys.version_info[:2] <= (3, 13)
    and sys.maxsize > 1 << 32
    and getattr(sys, "_is_gil_enabled", lambda: True)()
)


def _word(address: int) -> int:
    return ctypes.c_size_t.from_address(address).value


def is_collected(value: Any, kind: type) -> bool:
    """Tell whether an object has the garbage collector's header before it."""
    flags = _flags_of(kind)
    if issubclass(kind, type):  # classes written in C have none
        return bool(_flags_of(value) & _HEAP_TYPE)
    return bool(flags & _HAS_GC)


def header_bytes(value: Any, kind: type) -> int:
    """Return how much of an object's block lies before its address."""
    if not is_collected(value, kind):
        return 0
    managed = {(3, 10): 0, (3, 11): _MANAGED_DICT}.get(sys.version_info[:2], _MANAGED_DICT | _MANAGED_WEAKREF)
    return 4 * _WORD if _flags_of(kind) & managed else 2 * _WORD


def object_bytes(value: Any, kind: type) -> int:
    """Return the size of an object from its address on, without what lies in blocks of its own."""
    if kind is str:
        return str.__sizeof__(value)
    if issubclass(kind, str):
        return int(_size_of(kind))
    if issubclass(kind, int):
        return int.__sizeof__(value)
    size, item_size = int(_size_of(kind)), int(_item_size_of(kind))
    if item_size:
        size += abs(ctypes.c_ssize_t.from_address(id(value) + _SIZE * _WORD).value) * item_size
    if sys.version_info >= (3, 13) and _flags_of(kind) & _INLINE_VALUES:
        size += ctypes.c_ubyte.from_address(id(value) + int(_size_of(kind))).value * (_WORD + 1) + _WORD
    return size


def own_blocks(value: Any, kind: type) -> tuple[tuple[int, int], ...]:
    """Return (address, size) of the blocks of an object apart from its own."""
    block = _block(id(value), value, kind)
    return (block,) if block[0] and block[1] > 0 else ()


def _block(address: int, value: Any, kind: type) -> tuple[int, int]:
    if issubclass(kind, list):
        return _word(address + _LIST_ITEMS * _WORD), _word(address + _LIST_ROOM * _WORD) * _WORD
    if issubclass(kind, dict):
        return _dict_block(address, value)
    if issubclass(kind, (set, frozenset)):
        table = _word(address + _SET_TABLE * _WORD)
        is_small = table == address + _SET_SMALL_TABLE * _WORD
        return (0, 0) if is_small else (table, (_word(address + _SET_MASK * _WORD) + 1) * 2 * _WORD)
    if issubclass(kind, bytearray):
        return _word(address + _BYTEARRAY_BYTES * _WORD), _word(address + _BYTEARRAY_ROOM * _WORD)
    return _values_block(address, value, kind)


def _dict_block(address: int, value: Any) -> tuple[int, int]:
    values = _word(address + _DICT_VALUES * _WORD)
    if values:  # the keys are those of its class
        return values, _word(address + _DICT_USED * _WORD) * _WORD
    return _word(address + _DICT_KEYS * _WORD), dict.__sizeof__(value) - int(_size_of(dict))


def _values_block(address: int, value: Any, kind: type) -> tuple[int, int]:
    """The attributes of an instance that has no dict yet; 3.10 has none such, and in 3.13 they lie in the object."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 12) or not _flags_of(kind) & _MANAGED_DICT:
        return 0, 0
    if sys.version_info >= (3, 12):
        tagged = _word(address - 3 * _WORD)
        values = tagged + 1 if tagged & 1 else 0
    else:
        values = _word(address - 4 * _WORD)
    if not values:
        return 0, 0
    prefix = ctypes.c_ubyte.from_address(values - 1).value  # what lies before them: its length tells their number
    return values - prefix, prefix + (prefix - 2) * _WORD

"""The walk in Python: the same rules as in bench_harness/_census.c, at a hundredth of its speed.

So it looks at a sample: of a container with more than `whole` elements, at every k-th, which stands for k; k grows
with the number of objects seen. What a row says then is an estimate.
"""

import ctypes
import gc
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain, islice
from types import ModuleType
from typing import Any

from bench_harness.memory.attribution import layouts
from bench_harness.memory.attribution.census_file import PAGE_BYTES, RECORD

WHOLE = 20_000
_ENOUGH = 400_000  # objects, after which containers with fewer elements are sampled as well
_SMALL_BYTES = 512
_SAMPLED = (list, tuple, set, frozenset)
_MOST = 1 << 18  # of what one object may stand for
_LIMIT = (1 << 32) - 1  # of a field of a record


class PythonWalker:
    """See bench_harness.memory.attribution.walking.Walker.

    Args:
        payloads: functions by type.
        whole: up to how many elements of a container are all looked at; None: however many there are.
    """

    def __init__(self, payloads: dict[type, Callable[[Any], Any]], whole: int | None = WHOLE) -> None:
        self._payloads, self._whole = payloads, whole
        self.objects = self.failures = 0
        self.one_in = 1
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # objects made on the way: if freed, another would come to lie where one was seen
        self._barred: set[int] = set()
        self._enter_all = False
        self._waiting: deque[tuple[Any, int, int]] = deque()
        self._labels: dict[tuple[int, type], int] = {}
        self._entries: dict[tuple[int, int], list[int]] = {}  # by page and label: bytes, objects, is_small
        self._ranges: list[tuple[int, ...]] = []
        self._functions: dict[type, Callable[[Any], Any] | None] = {}
        own = [self, self.__dict__, self._seen, self._kept, self._waiting, self._labels, self._entries, self._ranges]
        self._seen.update(map(id, own))  # what grows while it is looked at

    def bar(self, objects: list[Any]) -> None:
        """Have walk() stop at these objects, until open()."""
        self._barred.update(map(id, objects))

    def open(self) -> None:
        """Have walk() enter types, modules and what was barred, from now on."""
        self._barred.clear()
        self._enter_all = True

    def walk(self, owners: list[int], objects: list[Any]) -> None:
        """Claim each object for the owner of the same place, then, breadth first, what they hold."""
        for owner, value in zip(owners, objects, strict=True):
            self._claim(value, owner, 1, is_start=True)
        while self._waiting:
            self._expand(*self._waiting.popleft())

    def records(self) -> bytes:
        """Return the records of a census file, ranges first."""
        entries = sorted((page, 1, label, *entry) for (page, label), entry in self._entries.items())
        return b"".join(
            RECORD.pack(page, *(min(field, _LIMIT) for field in rest)) for page, *rest in self._ranges + entries
        )

    def labels(self) -> list[tuple[int, type]]:
        """Return (owner, type) of each label, in the order in which records count them."""
        return list(self._labels)

    def _claim(self, value: Any, owner: int, weight: int, *, is_start: bool = False) -> None:
        kind = type(value)
        if not (self._enter_all or is_start) and issubclass(kind, (type, ModuleType)):
            return
        address = id(value)
        if address in self._seen or address in self._barred:
            return
        self._seen.add(address)
        self.objects += 1
        label = self._label(owner, kind)
        header = layouts.header_bytes(value, kind)
        self._add_block(address - header, header + layouts.object_bytes(value, kind), label, weight, 1)
        self._add_payloads(layouts.own_blocks(value, kind), label, weight)
        if self._function(kind) is not None or layouts.is_collected(value, kind):
            self._waiting.append((value, owner, weight))

    def _label(self, owner: int, kind: type) -> int:
        return self._labels.setdefault((owner, kind), len(self._labels))

    def _function(self, kind: type) -> Callable[[Any], Any] | None:
        if kind not in self._functions:
            fitting = (function for base, function in self._payloads.items() if issubclass(kind, base))
            self._functions[kind] = next(fitting, None)
        return self._functions[kind]

    def _add_payloads(self, blocks: Iterable[tuple[int, int]], label: int, weight: int) -> None:
        for address, size in blocks:
            if address and size > 0 and address not in self._seen:
                self._seen.add(address)
                self._add_block(address, size, label, weight, 0)

    def _add_block(self, address: int, size: int, label: int, weight: int, objects: int) -> None:
        end = address + (size + 15 & ~15)
        while address < end:
            page, offset = divmod(address, PAGE_BYTES)
            whole_pages = 0 if offset else (end - address) // PAGE_BYTES
            if whole_pages:
                self._ranges.append((page, whole_pages, label, PAGE_BYTES * weight, objects, 0))
                address += whole_pages * PAGE_BYTES
            else:
                stop = min(end, (page + 1) * PAGE_BYTES)
                entry = self._entries.setdefault((page, label), [0, 0, 0])
                entry[0] += (stop - address) * weight
                entry[1] += objects * weight
                entry[2] |= size <= _SMALL_BYTES
                address = stop
            objects = 0

    def _expand(self, value: Any, owner: int, weight: int) -> None:
        kind = type(value)
        function = self._function(kind)
        if function is not None:
            self._add_told_payload(value, function, owner, weight)
        if not layouts.is_collected(value, kind):
            return
        if issubclass(kind, dict):
            self._expand_dict(value, owner, weight)
        if kind is not dict and (self._whole is None or not issubclass(kind, dict)):
            weight, stride = self._sample(len(value), weight) if kind in _SAMPLED else (weight, 1)
            # A slice refers to no more than the sample: each element referred to is a page copied.
            elements = value[::stride] if kind in (list, tuple) else islice(gc.get_referents(value), 0, None, stride)
            self._claim_all(elements, owner, weight)

    def _expand_dict(self, value: dict[Any, Any], owner: int, weight: int) -> None:
        """Keys as well: the garbage collector does not ask for those that are strings."""
        weight, stride = self._sample(dict.__len__(value), weight)
        sample = list(islice(dict.items(value), 0, None, stride))  # it may be one of a module, and change under us
        self._claim_all(chain.from_iterable(sample), owner, weight)

    def _claim_all(self, elements: Iterable[Any], owner: int, weight: int) -> None:
        for element in elements:
            self._claim(element, owner, weight)

    def _sample(self, length: int, weight: int) -> tuple[int, int]:
        """Return (what each element looked at stands for, every how many elements one is looked at)."""
        if self._whole is None:
            return weight, 1
        allowed = max(16, self._whole // (1 + self.objects // _ENOUGH) ** 2)
        stride = -(-length // allowed) if length > allowed else 1
        self.one_in = max(self.one_in, stride)
        # So long a container is one that many objects refer to, and not one of many.
        return min(stride if length > self._whole else weight * stride, _MOST), stride

    def _add_told_payload(self, value: Any, function: Callable[[Any], Any], owner: int, weight: int) -> None:
        try:
            blocks, objects, rows = function(value)
        except MemoryError:
            raise
        except Exception:  # an object that does not say what it holds costs no more than itself
            self.failures += 1
            return
        self._kept.append(objects)
        self._add_payloads(blocks, self._label(owner, type(value)), weight)
        self._claim_all(objects, owner, weight)
        for address, count, step in rows:
            each, stride = self._sample(count, weight)
            places = range(address, address + count * step, step * stride) if step else [address]
            self._claim_all(_pointed_at(places), owner, each)


def _pointed_at(places: Iterable[int]) -> Iterable[Any]:
    for place in places:
        if ctypes.c_size_t.from_address(place).value:
            yield ctypes.py_object.from_address(place).value

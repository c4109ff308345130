"""Pages of this process, from /proc/self/pagemap: which are there, and which no other process shares.

An entry has 64 bits per page; the uppermost eight say what is asked here
(https://docs.kernel.org/admin-guide/mm/pagemap.html):

    63 present, 62 swapped, 61 of a file or shared memory, 58 a guard, 57 write-protected, 56 exclusively mapped

A forked child maps its parent's private pages until one of the two writes: then the writer gets a copy, and each page
is exclusive to whom it is left. Bit 56 is exact and needs no privilege. Soft-dirty bits would be the other way, but
kernels without CONFIG_MEM_SOFT_DIRTY take the request to clear them and never set one: "nothing was copied".

Everything here is quick without NumPy: strided slices, bytes.translate and a regular expression touch 800,000 pages
(3 GB) in some 10 ms.
"""

import ctypes
import mmap
import os
import re
import sys
import warnings
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bench_harness.errors import AttributionError

ENTRY_BYTES = 8
_PRESENT, _SWAPPED, _FILE, _EXCLUSIVE = 1 << 7, 1 << 6, 1 << 5, 1 << 0  # of the uppermost byte
_AT_ONCE = 1 << 20  # entries read by one system call
_MARKED = re.compile(b"\x01+")
_TEST_PAGES, _TEST_WRITTEN = 64, 10

# Runs of pages: [first page number, count, first page number, count, ...], ascending.
Runs = array


def _table(required: int, forbidden: int) -> bytes:
    return bytes(top & required == required and not top & forbidden for top in range(256))


# 1 for those uppermost bytes that are meant, to be looked up by bytes.translate.
_IS_INHERITABLE = bytes(bool(top & (_PRESENT | _SWAPPED)) and not top & _FILE for top in range(256))
_IS_EXCLUSIVE = _table(_PRESENT | _EXCLUSIVE, _FILE)
_IS_UNIQUE = _table(_PRESENT | _EXCLUSIVE, 0)
_IS_SWAPPED = _table(_SWAPPED, _FILE)


@dataclass(frozen=True)
class OwnPages:
    """Pages of this process that no other one maps.

    Args:
        inherited: Runs of the private ones that the parent had before the fork.
        count: all of them, the inherited ones and those of files included: its USS.
        swapped: private pages that are swapped out, of which the kernel does not say who shares them.
    """

    inherited: "Runs[int]"
    count: int
    swapped: int


def page_bytes() -> int:
    """Return the size of a page."""
    return os.sysconf("SC_PAGE_SIZE")


def read_present() -> "Runs[int]":
    """Return the private pages of this process, in memory or swapped out: what a child forked now would inherit.

    Raises:
        AttributionError: the system has no pagemap, or does not let this process read it.
    """
    return _runs((first, flags.translate(_IS_INHERITABLE)) for first, flags in _tops(mappings()))


def read_own(present: "Runs[int]") -> OwnPages:
    """Return the pages that are this process's own by now, see OwnPages.

    Args:
        present: of the parent, before it forked this process.

    Raises:
        AttributionError: the system has no pagemap, or does not let this process read it.
    """
    own: Runs[int] = array("Q")
    count = swapped = 0
    # One look for all: between two, the last to share a page with this process may end, and the page be this one's own.
    for first, flags in _tops(mappings(shared=True)):
        own.extend(_runs([(first, flags.translate(_IS_EXCLUSIVE))]))
        count += flags.translate(_IS_UNIQUE).count(1)
        swapped += flags.translate(_IS_SWAPPED).count(1)
    return OwnPages(_common(own, present), count, swapped)


def count_pages(runs: "Runs[int]") -> int:
    """Return how many pages the runs hold."""
    return sum(runs[1::2])


def mappings(*, shared: bool = False) -> Iterator[tuple[int, int]]:
    """Yield (first page, number of pages) of each mapping of this process that is private (or shared) and readable.

    What is not readable is address space held in reserve, at times by the terabyte.
    """
    size = page_bytes()
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise AttributionError(_unreadable("/proc/self/maps", error)) from None
    for line in lines:
        span, permissions = line.split(maxsplit=2)[:2]
        if permissions[0] == "r" and (shared or permissions[3] == "p") and not line.endswith("[vsyscall]"):
            start, end = (int(address, 16) // size for address in span.split("-"))
            yield start, end - start


def self_test() -> str | None:
    """Return why pages cannot be told apart on this system, None where they can.

    Writes to 10 of 64 pages that a forked child shares with this process: exactly 10 are to be exclusive to the child.
    """
    if not sys.platform.startswith("linux"):
        return f"copy-on-write attribution reads /proc/self/pagemap, which Linux alone has; this is {sys.platform}"
    try:
        count = _exclusive_after_writing()
    except (AttributionError, OSError) as error:
        return str(error)
    if count == _TEST_WRITTEN:
        return None
    return (
        f"unsupported by this kernel: of {_TEST_PAGES} shared pages a forked child wrote {_TEST_WRITTEN}, "
        f"and /proc/self/pagemap shows {count} as its own"
    )


def fork_quietly() -> int:
    """Fork; from Python 3.12 on without the warning about threads, whose locks nobody asks for in our children."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _exclusive_after_writing() -> int:
    """Return how many of the test pages a child has for itself once it wrote to 10 of them.

    Raises:
        AttributionError: pagemap cannot be read; OSError: no memory, or no process to be had.
    """
    size = page_bytes()
    pages = mmap.mmap(-1, _TEST_PAGES * size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(_TEST_PAGES):
        pages[page * size] = 1
    anchor = ctypes.c_char.from_buffer(pages)
    first = ctypes.addressof(anchor) // size
    _count(first)  # where it cannot be read at all, here is where to say so
    child = fork_quietly()
    if child == 0:
        code = 255
        try:
            for page in range(0, _TEST_WRITTEN * 3, 3):
                pages[page * size] = 2
            code = _count(first)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    del anchor
    pages.close()
    return code


def _count(first: int) -> int:
    return sum(flags.translate(_IS_EXCLUSIVE).count(1) for _, flags in _tops([(first, _TEST_PAGES)]))


def _tops(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """Yield (first page, the uppermost byte of the entry of each page) of spans (first page, number of pages)."""
    uppermost = ENTRY_BYTES - 1 if sys.byteorder == "little" else 0
    try:
        descriptor = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise AttributionError(_unreadable("/proc/self/pagemap", error)) from None
    try:
        for first, count in spans:
            for start in range(first, first + count, _AT_ONCE):
                wanted = min(_AT_ONCE, first + count - start)
                entries = _read(descriptor, wanted * ENTRY_BYTES, start * ENTRY_BYTES)
                if entries.count(0) != len(entries):  # a whole block of nothing is common, and quick to tell
                    yield start, entries[uppermost::ENTRY_BYTES]
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        raise AttributionError(_unreadable("/proc/self/pagemap", error)) from None


def _unreadable(path: str, error: OSError) -> str:
    return f"copy-on-write attribution is not possible here: {path}: {error.strerror or error}"


def _common(runs: "Runs[int]", others: "Runs[int]") -> "Runs[int]":
    """Return the runs of those pages that are in both."""
    common: Runs[int] = array("Q")
    passed = 0  # of `others`: those that end before the run begins
    for first, count in zip(runs[::2], runs[1::2], strict=True):
        while passed < len(others) and others[passed] + others[passed + 1] <= first:
            passed += 2
        at = passed
        while at < len(others) and others[at] < first + count:
            start, end = max(first, others[at]), min(first + count, others[at] + others[at + 1])
            common.extend((start, end - start))
            at += 2
    return common


def _runs(marked: Iterable[tuple[int, bytes]]) -> "Runs[int]":
    """Return the runs of pages marked 1, of pairs (first page, a 0 or 1 for each page)."""
    spans = (
        (first + match.start(), match.end() - match.start())
        for first, flags in marked
        for match in _MARKED.finditer(flags)
    )
    return array("Q", chain.from_iterable(spans))

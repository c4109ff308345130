"""Walk the objects of this process and note on which pages they lie: in C, or in Python, which looks at a sample.

A Walker claims objects for owners, which are numbers here; the first to reach an object owns it. Its types are named
at the end, for nothing but built-in code may run until then.
"""

from collections.abc import Callable
from typing import Any, Protocol

from bench_harness.memory.attribution.python_walker import PythonWalker

# (address, size) of blocks, objects it holds that tp_traverse does not visit, (address, count, stride) of rows of
# pointers to such objects.
Payload = tuple[tuple[tuple[int, int], ...], tuple[Any, ...], tuple[tuple[int, int, int], ...]]
Payloads = dict[type, Callable[[Any], Payload]]


class Walker(Protocol):
    """What both walkers can do; see bench_harness/_census.c and python_walker.py."""

    @property
    def objects(self) -> int:
        """How many objects were claimed."""

    @property
    def failures(self) -> int:
        """How many objects did not say what they hold."""

    def bar(self, objects: list[Any], /) -> None:
        """Have walk() stop at these objects, until open()."""

    def open(self) -> None:
        """Have walk() enter types, modules and what was barred, from now on."""

    def walk(self, owners: list[int], objects: list[Any], /) -> None:
        """Claim each object for the owner of the same place, then, breadth first, what they hold."""

    def records(self) -> bytes:
        """Return the records of a census file, see there."""

    def labels(self) -> list[tuple[int, type]]:
        """Return (owner, type) of each label, in the order in which records count them."""


def has_c_walker() -> bool:
    """Tell whether the walker in C was built, for this interpreter."""
    try:
        import bench_harness._census  # noqa: F401
    except ImportError:
        return False
    return True


def make_walker(payloads: Payloads) -> tuple[Walker, str]:
    """Return the walker in C where there is one, else the one in Python; and which of them it is."""
    if has_c_walker():
        from bench_harness import _census

        return _census.Walker(payloads), "C"
    return PythonWalker(payloads), "Python"

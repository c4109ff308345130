"""What to do about objects that workers copy, row by row, each with the reason."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench_harness.memory.attribution.result import BACKGROUND, NOT_COVERED, SMALL_ROWS, Attribution, Row

_WORTH_ADVICE = 0.05  # of all copied bytes
# Any worker copies some megabytes at its start; more of the background is the collector of garbage at work.
_USUAL_BYTES = {BACKGROUND: 20e6, NOT_COVERED: 10e6}
_WORTH_BYTES = 1e6
_COUNTED = "reading an object changes its reference count, and the first change copies the page it lies on"
_NUMBERS = ("int", "float", "bool", "complex")
_ARRAYS = ("numpy.ndarray", "torch.Tensor", "bytearray", "array.array")
_ROWS = ("dict", "tuple", "list", "set", "frozenset")
_BUFFERS = "pandas' categorical where values repeat, else one NumPy or Arrow buffer (bytes and offsets)"


@dataclass(frozen=True)
class Advice:
    """What to do about a row.

    Args:
        owner: of the row.
        type: of the row.
        seen: how much was copied.
        why: why it was.
        remedy: what to do.
    """

    owner: str
    type: str
    seen: str
    why: str
    remedy: str

    def line(self) -> str:
        """Return it in one line."""
        return f"{self.owner} ({self.type}, {self.seen}): {self.why}; {self.remedy}"


def advise(result: Attribution) -> list[Advice]:
    """Return advice about the rows that matter, largest first."""
    rows = [row for row in result.rows if row.share >= _WORTH_ADVICE]
    return [Advice(row.owner, row.type, f"{100 * row.share:.0f} %", *found) for row in rows if (found := _found(row))]


def general_advice(result: Attribution) -> Iterator[str]:
    """Yield what helps whatever the rows, where workers copy named objects at all."""
    if any(row.share >= _WORTH_ADVICE and _is_named(row) for row in result.rows):
        yield "a table too large for memory anyway: SQLite, with a connection that each worker opens for itself"
        yield "work that releases the GIL (reading files, NumPy, C kernels): threads in place of processes copy nothing"


def _is_named(row: Row) -> bool:
    return row.owner not in (BACKGROUND, NOT_COVERED, SMALL_ROWS)


def _found(row: Row) -> tuple[str, str] | None:
    """Return (why, remedy) for a row."""
    if row.copied_bytes < _USUAL_BYTES.get(row.owner, _WORTH_BYTES) or row.owner == SMALL_ROWS:
        return None
    if row.owner == BACKGROUND:
        why = "each full collection of garbage in a worker writes to the header of every container that is alive"
        return why, "call gc.freeze() just before the workers start: what is alive then is left out of collections"
    if row.owner == NOT_COVERED:
        why = "memory of libraries in C, C++ or Rust, or freed before the fork and used again by the workers"
        return why, "load in another process, or let workers open what they need, if it is much"
    return next((text for kinds, text in _ADVICE if _matches(row.type, kinds)), _OTHER)


def _matches(kind: str, kinds: Iterable[str]) -> bool:
    return any(kind == wanted or (wanted.endswith(".") and kind.startswith(wanted)) for wanted in kinds)


_OTHER = (
    _COUNTED,
    "hold the numbers of all rows in arrays, one per field, and make the object when a row is asked for",
)
_ADVICE: tuple[tuple[tuple[str, ...], tuple[str, str]], ...] = (
    (("str", "bytes"), (_COUNTED, f"hold the strings as {_BUFFERS}; pandas: dtype str with pyarrow installed")),
    (_NUMBERS, (_COUNTED, "hold the numbers in one NumPy array, or a torch tensor")),
    (
        _ROWS,
        (_COUNTED, "hold columns, not rows: one array per field, one array of offsets for lists of unequal length"),
    ),
    (
        _ARRAYS,
        (
            "the workers wrote to it, or it is many small arrays, whose own counts lie beside their numbers",
            "one large array that workers only read: numpy.memmap with mode 'r', or tensor.share_memory_()",
        ),
    ),
    (
        ("pandas.", "pyarrow."),
        (_COUNTED, "one frame for all rows, with offsets of the groups, in place of many small ones"),
    ),
)

"""A block between two markers of a text file that people write in: only the block is ours, all else stays as it is."""

from pathlib import Path

from bench_harness.errors import UsageError
from bench_harness.record import write_text

BEGIN, END = "<!-- bench log begin -->", "<!-- bench log end -->"


def rewritten(path: Path, block: str, *, init: bool = False) -> bool:
    """Put `block` between the markers; return whether the file changed. It is replaced as a whole, or not at all.

    Args:
        path: the file; a symbolic link is followed.
        block: lines that end with a newline, without the markers.
        init: append the markers where there are none, and make the file where there is none.

    Raises:
        UsageError: no file, no markers, or not one pair of them in this order; it cannot be read or written.
    """
    path = path.resolve()
    try:
        old = path.read_bytes().decode(errors="surrogateescape") if path.exists() or not init else ""
        new = _replaced(path, old, block, init=init)
        if new == old:
            return False
        write_text(path, new)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; --init makes it") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    return True


def _replaced(path: Path, old: str, block: str, *, init: bool) -> str:
    newline = "\r\n" if "\r\n" in old else "\n"
    counts = old.count(BEGIN), old.count(END)
    if counts == (0, 0):
        if not init:
            raise UsageError(f"{path}: no line {BEGIN}; --init appends the markers")
        space = newline * (2 - old.endswith("\n")) if old else ""
        old = f"{old}{space}{BEGIN}{newline}{END}{newline}"
    elif counts != (1, 1) or old.index(BEGIN) > old.index(END):
        raise UsageError(f"{path}: expected {BEGIN} once and {END} once after it, found {counts[0]} and {counts[1]}")
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{newline}{block.replace(chr(10), newline)}{END}{after}"

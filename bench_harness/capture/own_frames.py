"""Leave our frames out of tracebacks: an exception of the target that passes through us reads as without us."""

from pathlib import Path
from types import TracebackType

_OWN = f"{Path(__file__).parent}/"


def hide(error: BaseException) -> None:
    """Take our frames out of an exception that is about to be raised on.

    For `except BaseException as error: hide(error); raise` alone: such a raise adds no entry for the function that it
    is in. Before Python 3.11 it keeps the entry that is there; `without_ours` takes it out of what is shown in the end.
    """
    error.__traceback__ = without_ours(error.__traceback__)


def without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback, changed in place, without our frames; None if it has no others."""
    kept = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(_OWN):
            kept.append(traceback)
        traceback = traceback.tb_next
    for entry, following in zip(kept, [*kept[1:], None], strict=False):
        entry.tb_next = following
    return kept[0] if kept else None

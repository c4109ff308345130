"""What a check says."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "fatal"]
LEVELS: tuple[Level, ...] = ("fatal", "warning", "note", "ok")


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Args:
        check: short name of what was looked at.
        level: ok; note: good to know; warning: will hurt some; fatal: it breaks, or broke.
        seen: what was found, with its figure.
        why: what it leads to; empty where all is well.
        do: the exact option or line that helps.
        where: the loader it is about; empty for the machine.
    """

    check: str
    level: Level
    seen: str
    why: str = ""
    do: str = ""
    where: str = ""


def size(size_bytes: float) -> str:
    """Return a size in words: 12 MB, 3.1 GB."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= scale:
            scaled = size_bytes / scale
            return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"
    return f"{size_bytes:.0f} B"

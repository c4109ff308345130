"""What the capture runtime hands to the hooks, and what they hand back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.capture.phase_marks import PhaseMarks
from bench_harness.segments import PIPELINE, Role


class EnoughBatches(BaseException):
    """Raised at the request after `stop_after_batches` batches: what was asked for is measured.

    Not an Exception: `except Exception` of the target must not swallow it, `finally` and `with` still run.
    """


@dataclass(frozen=True)
class Overrides:
    """Arguments that every DataLoader of the target gets, whatever it asks for; None leaves them alone."""

    num_workers: int | None = None
    prefetch_factor: int | None = None


def _ignore(_: str) -> None:
    pass


@dataclass
class Context:
    """Where a process writes its counters, and whom it tells what.

    Args:
        folder: of the segments of the run.
        serial: of this process.
        role: main and process record the loops over their DataLoaders, worker records what it fetches.
        overrides: arguments of every DataLoader.
        stop_after_batches: raise EnoughBatches once a loader has handed out so many; None never does.
        on_boundary: told "setup" and "first" (segments.BOUNDARIES) at the end of these phases, each at most once.
        on_warning: told, in one line, what could not be measured or was changed.
        marks: told when loaders start their workers, and passes begin and end, and of Lightning's stages.
        on_failure: told, in a worker, the exception that it sends to the main process.
        on_loader: told a loader and its name before it makes an iterator.
        on_fetched: told the data set after each fetch of a worker; None where nobody asks.
    """

    folder: Path
    serial: str
    role: Role = "main"
    overrides: Overrides = field(default_factory=Overrides)
    stop_after_batches: int | None = None
    on_boundary: Callable[[str], None] = _ignore
    on_warning: Callable[[str], None] = _ignore
    marks: PhaseMarks | None = None
    on_failure: Callable[[str], None] = _ignore
    on_loader: Callable[[Any, str], None] | None = None
    on_fetched: Callable[[Any], None] | None = None

    def path(self, serial: str | None = None) -> Path:
        """Return the file of counters of a process, by default this one's."""
        return self.folder / f"{serial or self.serial}{PIPELINE}"

"""The state of the hooks in this process, and what happens when one of them fails."""

import os
from collections.abc import Callable
from typing import Any

from bench_harness.capture.pipeline.context import Context
from bench_harness.capture.pipeline.imports import AfterImport
from bench_harness.capture.pipeline.main_side import MainSide
from bench_harness.capture.pipeline.worker_side import WorkerSide


class InThisProcess:
    """What is installed. After a fork everything is dormant until `hooks.install` is called there."""

    def __init__(self) -> None:
        self.context: Context | None = None
        self.main: MainSide | None = None
        self.worker: WorkerSide | None = None
        # Who measures fetches: one of the two above; depth: whether it is measuring one.
        self.fetching: Any = None
        self.depth = 0
        self.finder: AfterImport | None = None
        self.undo: list[Callable[[], None]] = []
        self.warnings: list[str] = []
        # Why the hooks do not fit this torch; then they stay asleep.
        self.broken: str | None = None

    def put_to_sleep(self) -> None:
        """Measure nothing until the next `hooks.install`."""
        self.context = self.main = self.worker = self.fetching = None
        self.depth = 0

    def give_up(self, error: Exception) -> None:
        """Measure no more in this process: whatever is wrong, the target goes on."""
        context = self.context
        self.put_to_sleep()
        if context is not None:
            context.on_warning(f"pipeline: not measured any more: {type(error).__name__}: {error}")


STATE = InThisProcess()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STATE.put_to_sleep)

"""Mark the phases of a captured process as it runs, and note before its first fork whose objects lie where."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench_harness.capture.own_frames import hide
from bench_harness.memory.marks import MARKS, Mark, Marker

# Lightning's hooks: (event, name of the stage, whether it is numbered by the trainer's epoch).
_STAGES = {
    "on_sanity_check_start": ("stage_start", "sanity check", False),
    "on_sanity_check_end": ("stage_end", "sanity check", False),
    "on_train_epoch_start": ("stage_start", "train epoch", True),
    "on_train_epoch_end": ("stage_end", "train epoch", True),
    "on_validation_start": ("stage_start", "validation", True),
    "on_validation_end": ("stage_end", "validation", True),
    "on_test_start": ("stage_start", "test", False),
    "on_test_end": ("stage_end", "test", False),
    "on_predict_start": ("stage_start", "predict", False),
    "on_predict_end": ("stage_end", "predict", False),
}
LIGHTNING_CALLS = ("lightning.pytorch.trainer.call", "pytorch_lightning.trainer.call")


@dataclass(frozen=True)
class Pass:
    """One pass over a loader: its name, its number from 0, and of the loader num_workers and persistent_workers."""

    name: str
    number: int
    workers: int
    persistent: bool


def batches_in_order(loader: Any) -> int | None:
    """Return the batches of a pass over a DataLoader that reads the rows of its data set in order; else None.

    Its workers divide the rows, pass after pass the same; those of a shuffled loader come to read all of them.
    """
    sampler = getattr(loader, "sampler", None)
    kind = type(sampler).__name__
    if loader.batch_sampler is not None and loader.batch_size is None:  # a batch_sampler of the user's, who knows
        return None
    if kind == "SequentialSampler" or (kind == "DistributedSampler" and not getattr(sampler, "shuffle", True)):
        return len(loader)
    return None


class PhaseMarks:
    """What the hooks tell about loaders and Lightning's stages, written down.

    Args:
        folder, serial: of the segments, and of this process.
        warn: told what could not be marked.
    """

    def __init__(self, folder: Path, serial: str, warn: Callable[[str], None]) -> None:
        # Given the loader whose workers start first.
        self.before_first_workers: Callable[[Any], None] = lambda loader: None
        # Says how many batches the loaders of this process handed out so far.
        self.handed_out: Callable[[], int | None] = lambda: None
        self._marker = Marker(folder / f"{serial}{MARKS}")
        self._warn = warn
        self._looked: set[str] = set()

    def loader(self, event: str, each: Pass, *, batches: int | None = None, loader: Any = None) -> None:
        """Note what a loader does: pass_start and workers_start (then `loader` is given), workers_up, pass_end."""
        # Before its first workers the process looks at itself: at every epoch that would take time.
        look = event == "workers_start" and each.name not in self._looked
        mark = Mark(time.monotonic(), event, each.name, each.number, each.workers, each.persistent, batches)
        if event == "pass_start" and loader is not None:
            mark = replace(mark, in_order=batches_in_order(loader))
        self._mark(mark, look=look)
        if look:
            first = not self._looked
            self._looked.add(each.name)
            if first:
                self.before_first_workers(loader)

    def stage(self, hook: str, trainer: Any) -> None:
        """Note a hook of Lightning's that begins or ends a stage."""
        event, name, numbered = _STAGES[hook]
        if name == "validation" and trainer.sanity_checking:
            return
        number = trainer.current_epoch if numbered else 0
        name = f"{name} {number}" if numbered else name
        self._mark(Mark(time.monotonic(), event, name, number, batches=self.handed_out()))

    def _mark(self, mark: Mark, *, look: bool = False) -> None:
        try:
            self._marker.mark(mark, look=look)
        except OSError as error:
            self._warn(f"phases are not marked: {error.strerror or error}")


def follow_lightning(module: Any, marks: Callable[[], PhaseMarks | None]) -> Callable[[], None]:
    """Have the marks told of Lightning's stages; return what undoes it."""
    call = module._call_callback_hooks

    def called(trainer: Any, hook_name: str, *args: Any, **kwargs: Any) -> Any:
        now = marks() if hook_name in _STAGES else None
        if now is not None:
            try:
                now.stage(hook_name, trainer)
            except Exception as error:  # measuring must not break what is measured
                print(f"bench: {hook_name} is not marked: {error!r}", file=sys.stderr)
        try:
            return call(trainer, hook_name, *args, **kwargs)
        except BaseException as error:
            hide(error)
            raise

    module._call_callback_hooks = called
    return lambda: setattr(module, "_call_callback_hooks", call)

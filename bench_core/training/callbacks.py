"""What happens beside the steps: the log, the registry, checkpoints, stopping, and noticing a jump after a resume."""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from bench_core.errors import LoaderError, StoppedError
from bench_core.training import checkpoints
from bench_core.training.module import ViewPairTraining
from bench_core.training.runs import Run
from bench_core.training.stopping import StopRequest

notices = logging.getLogger("bench_core.training")
RECENT = 20
JUMP_DEVIATIONS = 4.0
JUMP_SHARE = 0.2
LEAST_TO_JUDGE = 5
TELL_EVERY_S = 60.0


def is_jump(before: Sequence[float], after: float) -> bool:
    """Say whether the first loss after a resume does not go on from the last ones before.

    It is a jump if it is further from their mean than 4 of their standard deviations and than 20 % of the mean: both,
    so that neither a noisy nor a nearly constant loss raises alarms. Of fewer than 5 losses nothing is said.
    """
    if len(before) < LEAST_TO_JUDGE:
        return False
    mean = statistics.fmean(before)
    return abs(after - mean) > max(JUMP_DEVIATIONS * statistics.stdev(before), JUMP_SHARE * abs(mean))


class Journal(Callback):
    """Writes a row per step and per validation to every logger; `step` counts the steps done.

    `wall_s` is the time spent training since the run began, over all its segments. The journal's state travels in the
    checkpoints: the time, and the last losses, against which the first one after a resume is held.
    """

    def __init__(
        self, steps_per_epoch: int, warn: Callable[[str], None] = notices.warning, reached: Any = None
    ) -> None:
        self._steps_per_epoch = steps_per_epoch
        self._warn = warn
        self._reached = reached or (lambda step, metrics: None)
        self._recent: dict[str, deque[float]] = {name: deque(maxlen=RECENT) for name in ("train", "val")}
        self._resumed: set[str] = set()
        self._spent_s = 0.0
        self._started = time.monotonic()
        self._last_told = self._started
        self._told_step = 0
        self._validation_started = 0.0
        self._validation_s = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = self._last_told = time.monotonic()
        self._told_step = trainer.global_step

    @property
    def wall_s(self) -> float:
        """Seconds of training, over all segments."""
        return self._spent_s + time.monotonic() - self._started

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        last = _of(pl_module).last
        self._judge_jump("train", trainer.global_step, last["train_loss"])
        self._log(trainer, {name: value for name, value in last.items() if not name.startswith("val_")})
        if time.monotonic() - self._last_told > TELL_EVERY_S:
            self._tell(trainer, last)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation_started = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation_s = time.monotonic() - self._validation_started
        last = _of(pl_module).last
        self._judge_jump("val", trainer.global_step, last["val_loss"])
        self._log(
            trainer, {name: value for name, value in last.items() if name.startswith("val_")} | {"lr": last["lr"]}
        )
        self._reached(trainer.global_step, last)
        self._tell(trainer, last)

    def state_dict(self) -> dict[str, Any]:
        return {"recent": {name: list(losses) for name, losses in self._recent.items()}, "wall_s": self.wall_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, losses in state_dict["recent"].items():
            self._recent[name].extend(losses)
        self._spent_s = state_dict["wall_s"]
        self._resumed = set(self._recent)

    def _judge_jump(self, name: str, step: int, loss: float) -> None:
        before = self._recent[name]
        if name in self._resumed and is_jump(before, loss):
            mean = statistics.fmean(before)
            self._warn(
                f"the {name}_loss jumped at the resume: {loss:.4g} after step {step}, and {mean:.4g} in the mean of "
                f"the {len(before)} before; was the checkpoint, the data or a version changed?"
            )
        self._resumed.discard(name)
        before.append(loss)

    def _log(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        step = trainer.global_step
        row = metrics | {"epoch": (step - 1) // self._steps_per_epoch, "wall_s": self.wall_s}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=step)

    def _tell(self, trainer: Trainer, last: dict[str, float]) -> None:
        """Say how things stand; a step's seconds are the mean since the last time, with its loading, apart from the
        validation's."""
        now, step = time.monotonic(), trainer.global_step
        step_s = (now - self._last_told - self._validation_s) / max(1, step - self._told_step)
        told = [f"{name} {value:.4g}" for name, value in last.items() if name != "val_examples"]
        told += [f"{step_s:.3g} s per step"] if step > self._told_step else []
        told += [f"{self._validation_s:.3g} s to validate"] if self._validation_s else []
        self._last_told, self._told_step, self._validation_s = now, step, 0.0
        if trainer.is_global_zero:
            notices.info(f"step {step} of {trainer.max_steps}: {', '.join(told)}")


class Checkpoints(Callback):
    """Writes checkpoints, and looks after each step whether somebody asked to stop.

    A checkpoint after a step that a validation follows is written after that validation, with its effect on the
    learning rate: what resumes goes on with the next step, and validates neither twice nor not at all. A run that ends
    where no validation is due gets one more, after its checkpoint: a run resumed from there had none. When the next
    batch cannot be had, because a worker died or a signal ended the wait, what was done until then is written as well.
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        every: int,
        val_every: int,
        stop: StopRequest,
        run: Run | None = None,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._every = every
        self._val_every = val_every
        self._stop = stop
        self._run = run
        self._between_steps = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop.listen()  # Lightning's handler of SIGTERM would end a validation with exit code 0
        self._stop.can_wait = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop.can_wait = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._between_steps = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self._val_every == 0:
            return
        self._after_step(trainer, pl_module)
        if trainer.global_step == trainer.max_steps:
            self._between_steps = _of(pl_module).steers = False
            trainer.val_check_batch = 1  # Lightning looks at it next: validate, whatever the step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.train()  # before the checkpoint: what eval() cached does not belong in it
        if _of(pl_module).steers:
            self._after_step(trainer, pl_module)
        else:
            self._end_if(self._is_asked_to_stop(trainer), trainer.global_step)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        early = isinstance(exception, (LoaderError, StoppedError))
        if self._between_steps and early and trainer.world_size == 1:
            self._write(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[checkpoints.IDENTITY] = self._identity | {
            "format": checkpoints.FORMAT,
            "step": trainer.global_step,
            "torch": str(torch.__version__),
        }

    def _after_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = trainer.global_step
        self._between_steps = True
        stop = self._is_asked_to_stop(trainer)
        if stop or step % self._every == 0 or step == trainer.max_steps:
            self._write(trainer, pl_module)
        self._end_if(stop, step)

    def _is_asked_to_stop(self, trainer: Trainer) -> bool:
        """Say whether any of the processes was; all of them have to look."""
        return trainer.strategy.reduce_boolean_decision(self._stop.signal is not None, all=False)

    def _end_if(self, stop: bool, step: int) -> None:
        if stop:
            self._between_steps = self._stop.can_wait = False
            raise self._stop.error(f"after step {step}; its checkpoint is written")

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        checkpoints.write(trainer, self._folder, trainer.global_step)
        if self._run is not None:
            self._run.reached(trainer.global_step, _of(pl_module).last)


def _of(module: LightningModule) -> ViewPairTraining:
    assert isinstance(module, ViewPairTraining)
    return module

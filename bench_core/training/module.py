"""The Lightning module around any model of view pairs, and where models come from."""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from bench_core.datasets import MODES
from bench_core.errors import DivergenceError, RunError
from bench_core.training.losses import mean_squared_displacement_A2, pair_loss

_REMEDY = "try a smaller --lr or --precision 32"


def built(
    architecture: str, backend: str, mode: str, options: dict[str, Any], length_voxels: int | None = None
) -> nn.Module:
    """Build a model by the name of its architecture, or by "module:function", called with (backend, mode, options).

    Raises:
        RunError: no such architecture, module or function, options that it does not take, or images of another edge
            than `length_voxels`.
    """
    module, _, function = architecture.partition(":")
    try:
        if function:
            model = getattr(importlib.import_module(module), function)(backend=backend, mode=mode, **options)
        else:
            models = importlib.import_module("bench_core.models")
            model = models.build(architecture, backend=backend, mode=mode, **options)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise RunError(f"--arch {architecture} cannot be built: {error}") from error
    if not function:
        _check_images(models.find_architecture(architecture), options, length_voxels)
    if not isinstance(model, nn.Module):
        raise RunError(f"--arch {architecture} built a {type(model).__name__}, not a torch.nn.Module")
    return model


def _check_images(table: Any, options: dict[str, Any], length_voxels: int | None) -> None:
    side = options.get("input_side", table.input_side)
    sides = set(side) if isinstance(side, (list, tuple)) else {side}
    if length_voxels is not None and sides != {length_voxels}:
        raise RunError(
            f"--length-voxels {length_voxels} does not fit --arch {table.name}, which takes {side}: use that, or "
            f"--model-option input_side={length_voxels} where the layers allow it"
        )


class ViewPairTraining(LightningModule):
    """Trains a model that maps view pairs (B, 2, C, L, L, L) to (B, 6) logits or (B, 4, 4) frames.

    Adam; where `plateau` is given, ReduceLROnPlateau is stepped with the loss of every validation. That happens here
    and not in Lightning's loop, which would look for the metric at the end of an epoch and miss it after a resume.

    Every figure of the last step or validation stands in `last` (floats): train_loss, lr, and accuracy or rmsd_A,
    prefixed with train_ or val_; val_examples counts.
    """

    def __init__(
        self,
        model: nn.Module,
        mode: str = "direction",
        lr: float = 1e-3,
        plateau: dict[str, float] | None = None,
        ball_radius_A: float = 7.875,
    ) -> None:
        """Wrap `model`.

        Args:
            plateau: arguments of torch's ReduceLROnPlateau, for instance {"factor": 0.5, "patience": 3}.
            ball_radius_A: over which frames are compared (default: half the edge of 21 voxels of 0.75 Å).

        Raises:
            RunError: unknown mode.
        """
        super().__init__()
        if mode not in MODES:
            raise RunError(f"mode {mode!r} is unknown: choose one of {', '.join(MODES)}")
        self.model = model
        self.mode = mode
        self.lr = lr
        self.ball_radius_A = ball_radius_A
        self._plateau_options = plateau
        self._plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._restored: dict[str, Any] = {}
        self._sums = torch.zeros(3, dtype=torch.float64)
        self.last: dict[str, float] = {}
        self.steers = True
        """Whether a validation counts for `plateau`: not one that a longer run would not do there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)  # type: ignore[no-any-return]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        adam = torch.optim.Adam(self.parameters(), lr=self.lr)
        if self._plateau_options is not None:
            self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, **self._plateau_options)  # type: ignore[arg-type]
            if self._restored.get("plateau"):
                self._plateau.load_state_dict(self._restored["plateau"])
        return adam

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss, quality = self._judged(batch)
        # Reading it waits for a GPU, once per step; of several devices each logs the mean over all.
        mean_loss, mean_quality = self._reduced(torch.stack([loss.detach().double(), quality.mean()]), "mean")
        if not math.isfinite(mean_loss):
            raise DivergenceError(f"the loss of step {self.trainer.global_step + 1} is {mean_loss}: {_REMEDY}")
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.last |= {"train_loss": mean_loss, f"train_{self._quality}": mean_quality, "lr": lr}
        self.log("train_loss", mean_loss, logger=False)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        loss, quality = self._judged(batch)
        self._sums += torch.tensor(
            [float(loss) * len(quality), float(quality.sum()), len(quality)], dtype=torch.float64
        )

    def on_validation_epoch_start(self) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        loss, quality, n_examples = self._reduced(self._sums, "sum")
        loss /= n_examples
        if not math.isfinite(loss):
            step = self.trainer.global_step
            raise DivergenceError(f"the held-out loss after step {step} is {loss}: {_REMEDY}")
        self.last |= {"val_loss": loss, f"val_{self._quality}": quality / n_examples, "val_examples": n_examples}
        for name in ("val_loss", f"val_{self._quality}"):
            self.log(name, self.last[name], logger=False)
        if self._plateau is not None and self.steers:
            self._plateau.step(loss)

    def setup(self, stage: str) -> None:
        """Tell every layer that it trains: a fresh escnn convolution holds its expanded filters until it is told."""
        self.train()

    def on_validation_model_train(self) -> None:
        """Go back to training by a call of train().

        Lightning would set each `training` flag by itself, which escnn's own train() never hears of: the filters that
        eval() expanded would stay, in memory and in every checkpoint.
        """
        self.train()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["view_pair_training"] = {
            "plateau": self._plateau.state_dict() if self._plateau else None,
            "cpu_generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._restored = checkpoint["view_pair_training"]

    def on_train_start(self) -> None:
        if self._restored:
            torch.set_rng_state(self._restored["cpu_generator"].cpu())
            for device, state in enumerate(self._restored["cuda_generators"][: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(state.cpu(), device)

    @property
    def _quality(self) -> str:
        return "accuracy" if self.mode == "direction" else "rmsd_A"

    def _reduced(self, figures: torch.Tensor, how: str) -> list[float]:
        """Return figures of all devices together, as their "sum" or "mean"."""
        together = self.trainer.strategy.reduce(figures.to(self.device), reduce_op=how)
        return together.tolist()

    def _judged(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch's loss and each example's quality (1 or 0 for a direction, Å for a frame)."""
        x, y = batch
        if x.dtype == torch.float16:
            x = x.to(next(self.parameters()).dtype)
        output = self(x)
        loss = pair_loss(output, y, self.mode, self.ball_radius_A)
        if self.mode == "direction":
            return loss, (output.detach().argmax(dim=1) == y).double()
        return loss, mean_squared_displacement_A2(output.detach(), y, self.ball_radius_A).double().sqrt()

"""What a training run is told: one record that is written into the registry and into every checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from bench_core.errors import RunError


@dataclass(frozen=True)
class TrainOptions:
    """The options of a run; those of `RUNNING` may change when it is resumed, without changing what it computes."""

    arch: str
    backend: str = "dense"
    mode: str = "direction"
    model_options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    max_steps: int | None = None
    max_epochs: int | None = None
    val_every: int | None = None
    checkpoint_every: int | None = None
    batch_size: int = 16
    lr: float = 1e-3
    plateau: bool = False
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    precision: str = "32"
    dataset: str = "origins"
    data: str = ""
    length_voxels: int = 21
    resolution_A: float = 0.75
    epoch_size: int | None = None
    val_size: int = 128
    val_share: float = 0.2
    split_seed: int = 0
    float16_inputs: bool = False
    workers: int = 0
    start_method: str = "fork"
    timeout_s: float = 300.0
    pin_memory: bool = False
    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    logger: str = "csv"
    logger_options: dict[str, Any] = field(default_factory=dict)
    profiler: str = "none"

    def changed_by(self, given: dict[str, Any]) -> TrainOptions:
        """Return these options with those `given` on resuming; a bound in steps takes the place of one in epochs.

        Raises:
            RunError: one of them would make it another run; names the first, and both values.
        """
        for name, value in given.items():
            before = getattr(self, name)
            if name not in RUNNING and value != before:
                flag = f"--{name.replace('_', '-').removesuffix('s' if isinstance(value, dict) else '')}"
                raise RunError(f"{flag} {value} does not fit the run, which has {before}: leave it out, or start a run")
        bounds = dict.fromkeys(("max_steps", "max_epochs")) if {"max_steps", "max_epochs"} & given.keys() else {}
        return dataclasses.replace(self, **bounds | given)  # type: ignore[arg-type]

    @classmethod
    def of_record(cls, record: dict[str, Any], run: str) -> TrainOptions:
        """Return the options that a run was registered with.

        Raises:
            RunError: they are of a version with other options.
        """
        try:
            return cls(**record)
        except TypeError as error:
            what = str(error).partition("() ")[2]
            raise RunError(f"{run} was registered by another version of bench_core ({what}): resume it there") from None


RUNNING = frozenset(
    {
        "max_steps",
        "max_epochs",
        "checkpoint_every",
        "data",
        "workers",
        "start_method",
        "timeout_s",
        "pin_memory",
        "logger",
        "logger_options",
        "profiler",
    }
)

"""Checkpoints: written whole or not at all, and taken only by the run, architecture and data that they came from."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import nn

from bench_core.errors import CheckpointError, RunError
from bench_core.training.runs import CHECKPOINTS

IDENTITY = "bench_core"
FORMAT = 1
KEEP = 2


def path_of(folder: Path, step: int) -> Path:
    """Return where the checkpoint after `step` steps lies."""
    return folder / f"step_{step:09d}.ckpt"


def write(trainer: Trainer, folder: Path, step: int) -> Path:
    """Write a checkpoint under another name, rename it, and keep the newest `KEEP` of the folder.

    Raises:
        RunError: it cannot be written, for instance because the disk is full; those before are still there.
    """
    path = path_of(folder, step)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        trainer.save_checkpoint(temporary)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
    if trainer.is_global_zero:
        temporary.replace(path)
        for old in every(folder)[:-KEEP]:
            old.unlink(missing_ok=True)
        for unfinished in folder.glob(".*.partial"):  # of a process that was killed while it wrote
            unfinished.unlink(missing_ok=True)
    return path


def every(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, by step."""
    return sorted(folder.glob("step_*.ckpt"))


def newest(folder: Path) -> Path:
    """Return the checkpoint with the most steps.

    Raises:
        CheckpointError: there is none.
    """
    found = every(folder)
    if not found:
        raise CheckpointError(f"{folder} holds no checkpoint: the run ended before its first; start it anew")
    return found[-1]


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `python -m bench_core train`, on the CPU and without running code from it.

    Raises:
        CheckpointError: the file is missing, damaged, or something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise zipfile.BadZipFile(f"{broken} has a wrong checksum")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of bytes that are no pickle, torch raises whatever they lead to
        kind = "not one of ours" if isinstance(error, pickle.UnpicklingError) else "cut short or no checkpoint"
        raise CheckpointError(f"{path} cannot be read: {kind} ({_first_line(error)}){_instead(path)}") from None
    identity = checkpoint.get(IDENTITY) if isinstance(checkpoint, dict) else None
    if not isinstance(identity, dict) or identity.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no checkpoint of `python -m bench_core train` (format {FORMAT})")
    return checkpoint  # type: ignore[no-any-return]


def check_identity(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Hold a checkpoint's identity (run, arch, backend, mode, model_options, data_digest) against a run's.

    Raises:
        CheckpointError: the first entry that differs, with both values.
    """
    for name, value in expected.items():
        if found.get(name) != value:
            what = {"run": "run", "arch": "architecture", "data_digest": "data"}.get(name, name)
            raise CheckpointError(f"{path} belongs to another {what}: {found.get(name)}, not {value}")


def check_weights(path: Path, checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    """Hold the names and shapes of a checkpoint's weights against a module's, and load them.

    Raises:
        CheckpointError: the architecture has changed since under the same name; names the first that does not fit.
    """
    module.train()  # what a layer caches until then is in no checkpoint
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except (RuntimeError, KeyError) as error:
        first = str(error).partition("\n")[2].partition("\n")[0].strip() or f"no {error}"
        raise CheckpointError(f"{path} does not fit the architecture as it is now: {first}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0][:120]


def _instead(path: Path) -> str:
    """Name an older checkpoint of the same run, where there is one."""
    older = [other for other in every(path.parent) if other < path] if path.parent.name == CHECKPOINTS else []
    return f"; try {older[-1]}" if older else ""

"""Train one run: from its first step, or from a checkpoint."""

from __future__ import annotations

import importlib
import logging
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from bench_core.errors import BenchCoreError, LoaderError, RunError, StoppedError
from bench_core.simd import simd_variant
from bench_core.training import checkpoints
from bench_core.training.callbacks import Checkpoints, Journal
from bench_core.training.data import PairsDataModule, data_module
from bench_core.training.module import ViewPairTraining, built
from bench_core.training.options import TrainOptions
from bench_core.training.profilers import profiler, report_anyway
from bench_core.training.runs import Run
from bench_core.training.stopping import StopRequest

JOINED_RUN = "BENCH_CORE_TRAIN_SEGMENT"
"""Tells the processes that Lightning starts for further devices which segment of which run they share."""
notices = logging.getLogger("bench_core.training")


def start(options: TrainOptions, runs_dir: Path, argv: list[str]) -> Run:
    """Train a new run to its end; it is registered once everything that was asked for could be made.

    Raises:
        RunError: options or data that do not fit.
        StoppedError, DivergenceError, LoaderError: the run ended early; the registry says why.
    """
    check(options)
    data = data_module(options)
    options = _settled(options, data)
    module = _module(options)
    if _joins():
        run = Run.read(Path(os.environ[JOINED_RUN]).parent)
    else:
        run = Run.start(runs_dir, asdict(options), data_digest=data.digest, parameters=_n_parameters(module))
    return _fit(run, options, module, data, argv, None)


def resume(run: Run, path: Path, options: TrainOptions, argv: list[str], *, take_over: bool = False) -> Run:
    """Go on with a run from a checkpoint of it.

    Args:
        take_over: although another machine trains it, as its record says.

    Raises:
        CheckpointError: the checkpoint is damaged, or of another run, architecture or data.
        RunError: the run has as many steps as asked for, or is being trained just now.
    """
    check(options)
    data = data_module(options)
    checkpoint = checkpoints.read(path)
    found = checkpoint[checkpoints.IDENTITY]
    checkpoints.check_identity(path, found, identity(run, options, data))
    if found["torch"] != torch.__version__:
        notices.warning(f"torch was {found['torch']} and is {torch.__version__}: the run may not go on exactly")
    if found["step"] >= total_steps(options, data):
        raise RunError(f"{run.id} has done its {found['step']} steps: give a larger --max-steps or --max-epochs")
    module = _module(options)
    checkpoints.check_weights(path, checkpoint, module)
    return _fit(run, options, module, data, argv, path, found["step"], take_over)


def identity(run: Run, options: TrainOptions, data: PairsDataModule) -> dict[str, Any]:
    """Return what a checkpoint must have in common with the run that takes it."""
    return {
        "run": run.id,
        "arch": options.arch,
        "backend": options.backend,
        "mode": options.mode,
        "model_options": options.model_options,
        "data_digest": data.digest,
    }


def total_steps(options: TrainOptions, data: PairsDataModule) -> int:
    """Return the steps of a run: the least that --max-steps and --max-epochs allow; one epoch where neither does."""
    bounds = [options.max_steps, options.max_epochs and options.max_epochs * data.steps_per_epoch]
    return min((bound for bound in bounds if bound), default=data.steps_per_epoch)


def _settled(options: TrainOptions, data: PairsDataModule) -> TrainOptions:
    """Fill in what follows from the data, so that a run which is resumed to more steps keeps its rhythm."""
    val_every = options.val_every or min(data.steps_per_epoch, total_steps(options, data))
    return replace(options, val_every=val_every, checkpoint_every=options.checkpoint_every or val_every)


def _fit(
    run: Run,
    options: TrainOptions,
    module: ViewPairTraining,
    data: PairsDataModule,
    argv: list[str],
    path: Path | None,
    step: int = 0,
    take_over: bool = False,
) -> Run:
    keeps_record = not _joins()
    segment = run.next_segment if keeps_record else Path(os.environ[JOINED_RUN])
    stop = StopRequest()
    with stop.listening(), _quiet_lightning():
        # Before the run is registered: what Lightning refuses was never started.
        trainer = _trainer(run, options, data, segment, stop, keeps_record)
        _check_processes(trainer, options)
        if keeps_record:
            facts: dict[str, Any] = {"options": asdict(options), "environment": _environment()}
            run.begin(argv, step, path.name if path else None, take_over=take_over, **facts)
        with (
            _recorded(run, segment) if keeps_record else nullcontext(),
            _stopped_workers_are_no_failure(stop),
            _profiled(trainer),
            closing(data),
        ):
            trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True if path else None)
    return run


@contextmanager
def _profiled(trainer: Trainer) -> Iterator[None]:
    """Have the profiler's report of this block also where an exception ends it."""
    try:
        yield
    except BaseException:
        report_anyway(trainer.profiler)  # type: ignore[attr-defined]
        raise


@contextmanager
def _recorded(run: Run, segment: Path) -> Iterator[None]:
    """Write into the registry how this block ends; meanwhile the processes of further devices can join."""
    outcome, reason = "failed", None
    os.environ[JOINED_RUN] = str(segment)
    try:
        yield
        outcome = "finished"
    except BaseException as error:
        reason = _reason(error)
        outcome = "interrupted" if isinstance(error, (StoppedError, KeyboardInterrupt)) else "failed"
        raise
    finally:
        os.environ.pop(JOINED_RUN)
        run.end(outcome, reason)


@contextmanager
def _stopped_workers_are_no_failure(stop: StopRequest) -> Iterator[None]:
    """Blame the signal where workers died of what asked the whole group of processes to stop."""
    try:
        yield
    except LoaderError as error:
        if stop.signal is None:
            raise
        raise stop.error("which ended the workers") from error


def check(options: TrainOptions) -> None:
    """Refuse what Lightning would quietly change, and processes that it did not start.

    Raises:
        RunError: names the option.
    """
    if int(os.environ.get("LOCAL_RANK", "0")) and not _joins():
        raise RunError("$LOCAL_RANK is set: start one process, and --devices N --strategy ddp starts the others")
    on_cpu = accelerator_of(options) == "cpu"
    if not on_cpu and not torch.cuda.is_available():
        raise RunError("--accelerator cuda: there is none here; leave it out, or use --accelerator cpu")
    if on_cpu and options.precision.startswith("16"):
        raise RunError(f"--precision {options.precision} needs a GPU: on the CPU use bf16-mixed")
    if on_cpu and options.pin_memory:
        notices.warning("--pin-memory does nothing without CUDA")


def _check_processes(trainer: Trainer, options: TrainOptions) -> None:
    """Refuse strategies whose processes do not begin with this command: they would not know the run that they join."""
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise RunError(f"--strategy {options.strategy} forks or spawns its processes: use ddp, which starts them anew")


def accelerator_of(options: TrainOptions) -> str:
    """Return "cpu" or "cuda"; others lack the float64 that metrics are summed in."""
    if options.accelerator != "auto":
        return options.accelerator
    return "cuda" if torch.cuda.is_available() else "cpu"


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, BenchCoreError) else f"{type(error).__name__}: {error}".partition("\n")[0]


def _module(options: TrainOptions) -> ViewPairTraining:
    torch.manual_seed(options.seed)
    model = built(options.arch, options.backend, options.mode, options.model_options, options.length_voxels)
    plateau = {"factor": options.plateau_factor, "patience": options.plateau_patience} if options.plateau else None
    ball_radius_A = options.length_voxels * options.resolution_A / 2
    return ViewPairTraining(model, options.mode, options.lr, plateau, ball_radius_A)


def _environment() -> dict[str, Any]:
    """Return under which conditions a segment is trained."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    versions = {"python": platform.python_version(), "torch": str(torch.__version__), "lightning": version("lightning")}
    return versions | {"threads": torch.get_num_threads(), "device": device, "simd": simd_variant()}


def _n_parameters(module: ViewPairTraining) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _trainer(
    run: Run, options: TrainOptions, data: PairsDataModule, segment: Path, stop: StopRequest, keeps_record: bool
) -> Trainer:
    assert options.val_every is not None  # settled
    assert options.checkpoint_every is not None

    def warn(text: str) -> None:
        notices.warning(text)
        if keeps_record:
            run.warn(text)

    journal = Journal(data.steps_per_epoch, warn, run.reached if keeps_record else None)
    written = Checkpoints(
        run.checkpoints,
        identity(run, options, data),
        options.checkpoint_every,
        options.val_every,
        stop,
        run if keeps_record else None,
    )
    try:
        return Trainer(
            accelerator=accelerator_of(options),
            devices=options.devices,
            strategy=options.strategy,
            precision=options.precision,  # type: ignore[arg-type]
            max_steps=total_steps(options, data),
            max_epochs=-1,
            val_check_interval=options.val_every,
            check_val_every_n_epoch=None,
            logger=_loggers(options, segment) if keeps_record else False,
            callbacks=[journal, written],
            profiler=profiler(options.profiler, segment),
            default_root_dir=segment,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            # A layer that keeps what it made in a validation could not train with it afterwards.
            inference_mode=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise RunError(f"Lightning refuses these options: {error}".partition("\n")[0]) from error


def _loggers(options: TrainOptions, segment: Path) -> list[Logger]:
    """Return the CSV log, which the registry joins and plots, and the logger that the user wants beside it."""
    loggers: list[Logger] = [CSVLogger(segment, name="", version="", flush_logs_every_n_steps=1)]
    if options.logger == "csv":
        return loggers
    module, _, name = options.logger.partition(":")
    try:
        wanted = getattr(importlib.import_module(module), name)(**options.logger_options)
        wanted.log_hyperparams(asdict(options))
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise RunError(
            f"--logger {options.logger} cannot be made: {error}; csv, or module:Class of a Logger"
        ) from error
    return [*loggers, wanted]


def _joins() -> bool:
    """Say whether this process was started by Lightning for a further device of a run that another one registered."""
    return JOINED_RUN in os.environ and int(os.environ.get("LOCAL_RANK", "0")) > 0


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notices and hints to itself; its errors, and what others warn of, stay."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PossibleUserWarning)
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"lightning\.")
            warnings.filterwarnings("ignore", message=".*treespec.*")  # of Lightning's own use of torch
            # A profiler may begin before the logger; the segment's folder is new all the same.
            warnings.filterwarnings("ignore", message="Experiment logs directory .* exists and is not empty")
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

"""python -m bench_core train: train a model on view pairs, resume a run, list the runs, plan a day."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import logging
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench_core.commands.data_folder import default_folder, ensure_prepared
from bench_core.commands.output import say, show
from bench_core.commands.train_arguments import add_arguments, given
from bench_core.errors import BenchCoreError, DivergenceError, LoaderError, RunError
from bench_core.training.options import TrainOptions
from bench_core.training.runs import Run, find_run, registered

__all__ = ["HELP", "add_arguments", "run"]

HELP = "train a model on view pairs; resume, list and plan runs"


def run(arguments: argparse.Namespace) -> int:
    _tell_notices()
    if arguments.list:
        return _list(arguments)
    require("torch", "lightning")
    options = given(arguments, TrainOptions)
    if arguments.plan:
        from bench_core.commands.train_plan import plan

        return plan(arguments, options)
    if arguments.resume:
        return _report(arguments, [_resume(arguments, options)])
    if "arch" not in options:
        raise RunError("train needs --arch NAME, --resume RUN, --list or --plan")
    options["data"] = str(data_folder(arguments))
    return _repeat(arguments, TrainOptions(**options))


def require(*packages: str) -> None:
    """Say what to install where a package is missing.

    Raises:
        RunError: names the first.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise RunError(f"{package} is not installed: `pip install 'bench_core[models]'`")


def data_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder of the data, prepared if nothing was there."""
    folder: Path = arguments.data or default_folder()
    ensure_prepared(folder)
    return folder.resolve()


def _resume(arguments: argparse.Namespace, options: dict[str, Any]) -> Run:
    from bench_core.training import checkpoints, fit

    if arguments.seeds > 1:
        raise RunError("--resume goes on with one run: leave out --seeds")
    path = Path(arguments.resume)
    if path.is_file():
        found = checkpoints.read(path)[checkpoints.IDENTITY]
        near = path.resolve().parents[1]
        is_in_a_run = (near / "run.json").is_file()
        run_ = Run.read(near) if is_in_a_run else find_run(arguments.out, found["run"])
    else:
        run_ = find_run(arguments.out, arguments.resume)
        path = checkpoints.newest(run_.checkpoints)
    if arguments.data:
        options["data"] = str(data_folder(arguments))
    before = TrainOptions.of_record(run_.record["options"], run_.id)
    return fit.resume(run_, path, before.changed_by(options), sys.argv, take_over=arguments.take_over)


def _repeat(arguments: argparse.Namespace, options: TrainOptions) -> int:
    """Train with each seed; one that diverges or loses its loader does not keep the others from it.

    What else goes wrong ends them all, and those that are done are still reported.
    """
    from bench_core.training import fit

    if arguments.seeds > 1 and options.devices > 1:
        raise RunError("--seeds and --devices do not go together: start one run per seed")
    done: list[Run] = []
    failures: list[Failure] = []
    for seed in range(options.seed, options.seed + arguments.seeds):
        kinds = () if arguments.seeds == 1 else (BenchCoreError,) if done else _OF_ONE_SEED
        with _noted(seed, failures, kinds):
            done.append(fit.start(dataclasses.replace(options, seed=seed), arguments.out, sys.argv))
        if failures and not isinstance(failures[-1].error, _OF_ONE_SEED):
            break
    _report(arguments, done, failures)
    return max((failure.error.exit_code for failure in failures), default=0)


class Failure(NamedTuple):
    """What went wrong with one of several seeds."""

    seed: int
    error: BenchCoreError


_OF_ONE_SEED = (DivergenceError, LoaderError)


@contextmanager
def _noted(seed: int, failures: list[Failure], kinds: tuple[type[BenchCoreError], ...]) -> Iterator[None]:
    """Tell and note what goes wrong in this block, of these kinds; the rest passes."""
    try:
        yield
    except kinds as error:
        say(f"seed {seed}: {error}")
        failures.append(Failure(seed, error))


def _report(arguments: argparse.Namespace, runs: list[Run], failures: Sequence[Failure] = ()) -> int:
    if int(os.environ.get("LOCAL_RANK", "0")):
        return 0
    results = [_result(run_) for run_ in runs]
    if arguments.json:
        failed = [{"seed": failure.seed, "reason": str(failure.error)} for failure in failures]
        show(json.dumps({"runs": results, "failed": failed}))
        return 0
    for result in results:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in result["metrics"].items())
        show(f"{result['id']}: {result['state']} after {result['step']} steps: {figures}{_interval_told(result)}")
    for name in ("val_loss", "val_accuracy", "val_rmsd_A"):
        values = [result["metrics"][name] for result in results if name in result["metrics"]]
        if len(values) > 1:
            spread = statistics.stdev(values)
            show(f"{name} of {len(values)} seeds: {statistics.fmean(values):.4g}, standard deviation {spread:.2g}")
    return 0


def _result(run_: Run) -> dict[str, Any]:
    from bench_core.training.losses import wilson_interval

    record = run_.record
    metrics = record["metrics"]
    result = {
        "id": run_.id,
        "folder": str(run_.folder),
        "state": run_.state(),
        "step": record["step"],
        "parameters": record.get("parameters"),
        "segments": len(record["segments"]),
        "warnings": record["warnings"],
        "metrics": metrics,
    }
    if "val_accuracy" in metrics:
        n_examples = int(metrics["val_examples"])
        result["val_accuracy_interval"] = wilson_interval(round(metrics["val_accuracy"] * n_examples), n_examples)
    return result


def _interval_told(result: dict[str, Any]) -> str:
    if "val_accuracy_interval" not in result:
        return ""
    low, high = result["val_accuracy_interval"]
    return f"; 95 % interval of val_accuracy {low:.3f} to {high:.3f}"


def _list(arguments: argparse.Namespace) -> int:
    runs = registered(arguments.out)
    if arguments.json:
        show(json.dumps({"runs": [run_.record | {"state": run_.state(), "reason": run_.reason()} for run_ in runs]}))
        return 0
    if not runs:
        show(f"no runs in {arguments.out}")
        return 0
    width = max(len(run_.id) for run_ in runs)
    show(f"{'run':<{width}}  {'state':<11} {'steps':>9} {'segments':>8}  {'started':<20}  last figures")
    for run_ in runs:
        record = run_.record
        started = record["segments"][0]["started"] if record["segments"] else ""
        figures = [f"{k} {v:.4g}" for k, v in record["metrics"].items() if k in _LISTED]
        why = [run_.reason() or ""] if run_.state() != "finished" else []
        line = (
            f"{run_.id:<{width}}  {run_.state():<11} {record['step']:>9,} {len(record['segments']):>8}  {started:<20}  "
        )
        show(f"{line}{', '.join(figures)}{'; '.join(['', *why]) if figures else ''.join(why)}")
    return 0


_LISTED = ("train_loss", "val_loss", "val_accuracy", "val_rmsd_A")


class _Told(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        say(prefix + record.getMessage())


def _tell_notices() -> None:
    """Let what training has to say go to stderr."""
    notices = logging.getLogger("bench_core.training")
    notices.handlers[:] = [_Told()]
    notices.setLevel(logging.INFO)
    notices.propagate = False

"""python -m bench_core train --plan: measure an example and a step, and say what fits into the time."""

from __future__ import annotations

import argparse
import json
from typing import Any

from bench_core.commands.output import say, show
from bench_core.errors import RunError
from bench_core.training import budget
from bench_core.training.options import TrainOptions


def plan(arguments: argparse.Namespace, given: dict[str, Any]) -> int:
    """Print the budget.

    Raises:
        RunError: neither an architecture to measure nor --step-s.
    """
    if "arch" not in given and arguments.step_s is None:
        raise RunError("--plan needs --arch NAME to measure a step of, or --step-s and --parameters")
    options = TrainOptions(**({"arch": "none"} | given))
    measured = _measured(arguments, options, "arch" in given)
    rows = budget.budget(
        arguments.hours,
        measured["step_s"],
        measured["example_s"],
        options.batch_size,
        options.workers,
        measured["parameters"],
    )
    if arguments.json:
        figures = {"hours": arguments.hours, "batch_size": options.batch_size, "workers": options.workers} | measured
        show(json.dumps(figures | {"rows": [row._asdict() for row in rows]}))
    else:
        show(_told(arguments.hours, options, measured))
        show(budget.table(rows))
    return 0


def _measured(arguments: argparse.Namespace, options: TrainOptions, has_arch: bool) -> dict[str, Any]:
    """Return step_s, example_s and parameters: as given, or measured here."""
    from bench_core.commands.train import data_folder
    from bench_core.training import fit, measure
    from bench_core.training.module import built

    fit.check(options)
    figures: dict[str, Any] = {
        "step_s": arguments.step_s,
        "example_s": arguments.example_s,
        "parameters": arguments.parameters,
    }
    if arguments.example_s is None or arguments.step_s is None:
        pairs = _pairs(options, str(data_folder(arguments)))
        if arguments.example_s is None:
            say("measuring an example")
            figures["example_s"] = measure.example_s(pairs)
    if has_arch:
        model = built(options.arch, options.backend, options.mode, options.model_options, options.length_voxels)
        figures["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        if arguments.step_s is None:
            say(f"measuring a step of {options.arch}")
            batch = measure.batch_of(pairs, options.batch_size)
            how: dict[str, Any] = {"device": fit.accelerator_of(options), "precision": options.precision}
            figures["step_s"] = measure.step_s(model, batch, options.mode, **how)
    return figures


def _pairs(options: TrainOptions, folder: str) -> Any:
    import dataclasses

    from bench_core.training.data import data_module

    return data_module(dataclasses.replace(options, data=folder)).train_pairs


def _told(hours: float, options: TrainOptions, measured: dict[str, Any]) -> str:
    parameters = f", {measured['parameters']:,} parameters" if measured["parameters"] else ""
    return (
        f"{hours:g} h, batches of {options.batch_size}, {options.workers} workers{parameters}: "
        f"{measured['step_s']:.4g} s per step without loading, {measured['example_s']:.4g} s to make an example"
    )

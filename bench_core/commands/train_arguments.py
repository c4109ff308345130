"""The options of `python -m bench_core train`; those that describe a run have no default here, so that it shows
which were given (`training.options.TrainOptions` has the defaults)."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from bench_core.commands.numbers import count, edge, length, positive, seconds, share, workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _add_actions(parser.add_argument_group("what to do"))
    _add_model(parser.add_argument_group("model"))
    _add_course(parser.add_argument_group("course of training"))
    _add_data(parser.add_argument_group("data"))
    _add_machine(parser.add_argument_group("machine and notes"))


def given(arguments: argparse.Namespace, kind: type[Any]) -> dict[str, Any]:
    """Return the fields of a dataclass of options that were given on the command line, but for `data`."""
    have = vars(arguments)
    names = [field.name for field in dataclasses.fields(kind) if field.name != "data"]
    return {name: have[name] for name in names if name in have}


def _add_actions(group: Any) -> None:
    group.add_argument("--out", type=Path, default=Path("runs"), metavar="RUNS_DIR", help="registry (default: runs)")
    group.add_argument("--resume", metavar="RUN_OR_CKPT", help="go on with a run (id, folder) or from a checkpoint")
    group.add_argument("--take-over", action="store_true", help="with --resume: from a machine that has gone")
    group.add_argument("--seeds", type=positive, default=1, metavar="N", help="repeat with N seeds, from --seed on")
    group.add_argument("--list", action="store_true", help="print the registry and end")
    group.add_argument("--plan", action="store_true", help="print what fits into --hours and end")
    group.add_argument("--hours", type=length, default=24.0, help="of --plan (default: 24)")
    group.add_argument("--step-s", type=length, metavar="S", help="of --plan: seconds per step, instead of measuring")
    group.add_argument("--example-s", type=seconds, metavar="S", help="of --plan: seconds per example, the same")
    group.add_argument("--parameters", type=positive, metavar="N", help="of --plan: where no --arch is given")
    group.add_argument("--json", action="store_true", help="print one JSON object on stdout, all else on stderr")


def _add_model(group: Any) -> None:
    add = _adder(group)
    add("--arch", metavar="NAME", help="architecture of bench_core.models, or module:function that builds one")
    add("--backend", choices=["dense", "escnn"], help="layers: our own, or escnn's (default: dense)")
    add("--mode", choices=["direction", "frame"], help="what is learnt (default: direction)")
    add("--model-option", dest="model_options", action=_Pair, metavar="KEY=JSON", help="to build with; repeatable")


def _add_course(group: Any) -> None:
    add = _adder(group)
    add("--seed", type=count, help="of weights, examples and order (default: 0)")
    add("--max-steps", type=positive, metavar="N", help="end after N steps (default: one epoch)")
    add("--max-epochs", type=positive, metavar="N", help="end after N epochs")
    add("--val-every", type=positive, metavar="N", help="validate every N steps (default: each epoch)")
    add("--checkpoint-every", type=positive, metavar="N", help="every N steps (default: each validation)")
    add("--batch-size", type=positive, metavar="S", help="examples per step, of all devices (default: 16)")
    add("--lr", type=length, help="of Adam (default: 0.001)")
    add("--plateau", action="store_true", help="lower the rate where the loss of validations stands still")
    add("--plateau-factor", type=share, help="by which (default: 0.5)")
    add("--plateau-patience", type=count, metavar="N", help="after N validations without progress (default: 3)")


def _add_data(group: Any) -> None:
    add = _adder(group)
    add("--dataset", choices=["origins"], help="which data set (default: origins)")
    group.add_argument("--data", type=Path, metavar="DIR", help="prepared folder (default: as for load)")
    add("--length-voxels", type=edge, metavar="L", help="image edge (default: 21)")
    add("--resolution-A", type=length, metavar="H", help="voxel edge, Å (default: 0.75)")
    add("--epoch-size", type=positive, metavar="N", help="examples per epoch (default: as many as origins)")
    add("--val-size", type=positive, metavar="N", help="held-out examples (default: 128)")
    add("--val-share", type=share, help="share of the structures held out (default: 0.2)")
    add("--split-seed", type=count, help="of the choice of those (default: 0)")
    add("--float16-inputs", action="store_true", help="hand images over as float16")


def _add_machine(group: Any) -> None:
    add = _adder(group)
    add("--workers", type=workers, metavar="W", help="loader processes (default: 0)")
    add("--start-method", choices=["fork", "forkserver", "spawn"], help="of those (default: fork)")
    add("--timeout", dest="timeout_s", type=length, metavar="S", help="until a silent one is hung (default: 300)")
    add("--pin-memory", action="store_true", help="load into page-locked memory (CUDA only)")
    add("--precision", choices=_PRECISIONS, help="of the maths (default: 32)")
    add("--accelerator", choices=["auto", "cpu", "cuda"], help="(default: auto)")
    add("--devices", type=positive, metavar="N", help="devices, or processes on the CPU (default: 1)")
    add("--strategy", metavar="NAME", help="Lightning's strategy for several devices, e.g. ddp (default: auto)")
    add("--logger", metavar="csv|MODULE:CLASS", help="a Lightning logger beside the CSV log")
    add("--logger-option", dest="logger_options", action=_Pair, metavar="KEY=JSON", help="to make it with; repeatable")
    add("--profiler", choices=["none", "simple", "advanced", "pytorch", "workers"], help="(default: none)")


_PRECISIONS = ["32", "64", "bf16-mixed", "16-mixed", "bf16-true", "16-true"]


def _adder(group: Any) -> Any:
    def add(flag: str, **how: Any) -> None:
        group.add_argument(flag, default=argparse.SUPPRESS, **how)

    return add


class _Pair(argparse.Action):
    """Collects KEY=VALUE into a dict; the value is JSON, or else text."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        key, equals, text = str(values).partition("=")
        if not (equals and key.isidentifier()):
            parser.error(f"{option_string} {values!r} is not KEY=VALUE")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        setattr(namespace, self.dest, getattr(namespace, self.dest, {}) | {key: value})

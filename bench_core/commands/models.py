"""python -m bench_core models: what every architecture costs, beside what the notebook printed."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.commands.numbers import positive, seconds
from bench_core.commands.output import on_terminal, say, show
from bench_core.errors import ModelError

if TYPE_CHECKING:
    from bench_core.commands.model_tables import Comparison
    from bench_core.models.tables import Architecture

HELP = "compare the architectures: parameters, seconds of a training step, memory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arch", nargs="+", metavar="NAME", help="these networks only (default: the nine)")
    parser.add_argument("--survey", action="store_true", help="the reviewed networks too, on their images and on views")
    parser.add_argument("--batch-size", type=positive, default=16, metavar="B", help="of a minibatch (default: 16)")
    parser.add_argument(
        "--time",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="measure steps for about so long; what is not reached is scaled and marked ~; 0: none (default: 60)",
    )
    parser.add_argument(
        "--plot", nargs="+", type=Path, metavar="RUN", help="draw loss and accuracy of these run folders instead"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the picture of --plot (default: runs.png)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object on stdout, all else on stderr")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables")


def run(arguments: argparse.Namespace) -> int:
    if arguments.plot:
        return _plot(arguments.plot, arguments.out or Path("runs.png"))
    if arguments.out:
        raise ModelError("--out names the picture of --plot: give --plot RUN too, or leave --out away")
    nine, reviewed = _chosen(arguments.arch, arguments.survey)
    if arguments.time or reviewed:
        _require_torch()
    if reviewed and arguments.batch_size == 1:
        raise ModelError("--batch-size 1: the batch norms of a reviewed network take no single image; use 2 or more")
    comparison = _compared(nine, reviewed, arguments.batch_size, arguments.time)
    show(_as_json(comparison) if arguments.json else _as_tables(comparison, arguments.markdown))
    return 0


def _chosen(names: list[str] | None, survey: bool) -> tuple[list[Architecture], list[Architecture]]:
    """The tables of the nine and of the reviewed networks that are asked for."""
    from bench_core.models import ARCHITECTURES, find_architecture
    from bench_core.models.survey import SURVEY

    if names is None:
        return list(ARCHITECTURES.values()), list(SURVEY.values()) if survey else []
    tables = [find_architecture(name, {**ARCHITECTURES, **SURVEY}) for name in dict.fromkeys(names)]
    nine = [table for table in tables if table.name in ARCHITECTURES]
    reviewed = [table for table in tables if table.name in SURVEY]
    return nine, list(SURVEY.values()) if survey and not reviewed else reviewed


def _compared(nine: list[Architecture], reviewed: list[Architecture], batch: int, time_s: float) -> Comparison:
    """Count and measure; where both kinds are asked for, each has half of the time."""
    from bench_core.commands.model_tables import Comparison
    from bench_core.models.comparison import architecture_figures, backends, survey_figures

    share_s = time_s / 2 if nine and reviewed else time_s
    conditions = _conditions() if time_s else {}  # before we are at work ourselves
    progress = say if on_terminal() else _silent
    return Comparison(
        batch,
        time_s,
        backends(),
        conditions,
        architecture_figures(nine, batch, share_s, progress),
        survey_figures(reviewed, batch, share_s, progress),
    )


def _conditions() -> dict[str, Any]:
    from importlib import metadata

    import torch

    escnn = metadata.version("escnn") if importlib.util.find_spec("escnn") else None
    return {
        "torch": torch.__version__,
        "escnn": escnn,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _as_json(comparison: Comparison) -> str:
    return json.dumps(dataclasses.asdict(comparison))


def _as_tables(comparison: Comparison, markdown: bool) -> str:
    from bench_core.commands.model_tables import tables_of

    tables = tables_of(comparison)
    return "\n\n".join(table.as_markdown() if markdown else table.as_text() for table in tables)


def _plot(runs: list[Path], out: Path) -> int:
    from bench_core.commands.train import require

    require("matplotlib")
    from bench_core.training.plots import plot_runs

    say(f"wrote {plot_runs(runs, out)}")
    return 0


def _require_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise ModelError("torch is not installed: `pip install 'bench_core[loader]'`, or count only, with --time 0")


def _silent(text: str) -> None:
    """Say nothing: nobody watches."""

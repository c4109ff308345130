"""python -m bench_core sweep: what workers, minibatch size, float16 images and page-locked memory cost or save."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from bench_core.commands.numbers import count, edge, length, list_of_positive, list_of_workers, positive, workers
from bench_core.commands.output import say, show
from bench_core.commands.train import data_folder, require
from bench_core.errors import RunError

HELP = "measure loading with each number of workers, minibatch size, float16 images and pinned memory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--workers", type=list_of_workers, default=[0, 1, 2], metavar="W,W", help="to try (default: 0,1,2)")
    add("--batch-sizes", type=list_of_positive, default=[4, 16, 64], metavar="S,S", help="to try (default: 4,16,64)")
    add("--base-workers", type=workers, default=2, metavar="W", help="while others are changed (default: 2)")
    add("--base-batch-size", type=positive, default=16, metavar="S", help="while others are changed (default: 16)")
    add("--repeats", type=positive, default=5, metavar="N", help="of all settings, in turns (default: 5)")
    add("--examples", type=positive, default=64, metavar="N", help="per setting and repeat, at least (default: 64)")
    add("--arch", metavar="NAME", help="do a training step of this architecture on each batch (default: none)")
    add("--backend", choices=["dense", "escnn"], default="dense", help="of --arch (default: dense)")
    add("--mode", choices=["direction", "frame"], default="direction", help="of the pairs (default: direction)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where batches go (default: auto)")
    add("--data", type=Path, metavar="DIR", help="prepared folder (default: as for load)")
    add("--length-voxels", type=edge, default=21, metavar="L", help="image edge (default: 21)")
    add("--resolution-A", type=length, default=0.75, metavar="H", help="voxel edge, Å (default: 0.75)")
    add("--start-method", choices=["fork", "forkserver", "spawn"], default="fork", help="of workers (default: fork)")
    add("--threads", type=positive, metavar="N", help="of torch (default: 1; with --arch what torch chooses)")
    add("--timeout", type=length, default=300.0, metavar="S", help="until a silent worker is hung (default: 300)")
    add("--seed", type=count, default=0, help="of the examples and of the turns (default: 0)")
    add("--plot", type=Path, metavar="FILE", help="draw the table (.png, .svg)")
    add("--json", action="store_true", help="print one JSON object on stdout, all else on stderr")


def run(arguments: argparse.Namespace) -> int:
    require("torch", "lightning", *(["matplotlib"] if arguments.plot else []))
    if arguments.plot:
        _check_picture(arguments.plot)
    folder = data_folder(arguments)
    from bench_core.loaders import limit_threads
    from bench_core.training import sweeps

    base = sweeps.Setting(arguments.base_workers, arguments.base_batch_size)
    values: dict[str, list[Any]] = {
        "workers": arguments.workers,
        "batch_size": arguments.batch_sizes,
        "float16_inputs": [True],
        "pin_memory": [True],
    }
    if arguments.threads or not arguments.arch:
        limit_threads(arguments.threads or 1)
    rows = sweeps.sweep(
        _loading(arguments, folder),
        base,
        values,
        repeats=arguments.repeats,
        examples=arguments.examples,
        seed=arguments.seed,
        tell=lambda done, total: say(f"repeat {done} of {total}"),
    )
    conditions = _conditions(arguments)
    if arguments.json:
        show(json.dumps({"conditions": conditions, "rows": [row.as_json() for row in rows]}))
    else:
        show(sweeps.table(rows, base))
        show(", ".join(f"{name} {value}" for name, value in conditions.items()))
    if arguments.plot:
        _draw(rows, arguments.plot)
    return 0


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("--device cuda: there is none here; leave it out, or use --device cpu")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _loading(arguments: argparse.Namespace, folder: Path) -> Any:
    from bench_core.grid import Grid, ImageSpec
    from bench_core.origins import open_origins
    from bench_core.training.data import CHANNELS
    from bench_core.training.measure import train_step
    from bench_core.training.module import built
    from bench_core.training.sweeps import Loading

    grid = Grid(arguments.length_voxels, arguments.resolution_A)
    device = _device(arguments.device)
    step = None
    if arguments.arch:
        model = built(arguments.arch, arguments.backend, arguments.mode, {}, arguments.length_voxels).to(device)
        step = train_step(model, arguments.mode, grid.length_A / 2)
    how: dict[str, Any] = {"start_method": arguments.start_method, "timeout_s": arguments.timeout}
    return Loading(open_origins(folder), ImageSpec(grid, CHANNELS), device, step, mode=arguments.mode, **how)


def _check_picture(path: Path) -> None:
    """Refuse, before minutes of measuring, a picture that cannot be drawn then."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise RunError(f"--plot {path} is no kind of picture that can be drawn: choose one of {', '.join(kinds)}")
    if not path.parent.is_dir():
        raise RunError(f"--plot {path}: there is no folder {path.parent}")


def _draw(rows: Any, path: Path) -> None:
    from bench_core.training.sweeps import draw

    temporary = path.with_name(f".partial-{path.name}")
    draw(rows, temporary)
    temporary.replace(path)
    say(f"drawn: {path}")


def _conditions(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from bench_core import voxels

    device = _device(arguments.device)
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "simd": voxels.simd_variant(),
        "start_method": arguments.start_method,
        "arch": arguments.arch,
        "repeats": arguments.repeats,
        "examples": arguments.examples,
        "grid": f"{arguments.length_voxels}^3 x {arguments.resolution_A:g} A",
    }

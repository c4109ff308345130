"""bench vram: the memory that a training step of any torch model will need, simulated without allocating it.

Writes record.json first, then prints from it.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.config import load_config
from bench_harness.errors import ExitCode, HarnessError, UsageError
from bench_harness.optional import require
from bench_harness.record import Record, utc_now
from bench_harness.report import vram_plot, vram_text
from bench_harness.run_folders import keep_record, refuse_foreign_record, run_folder
from bench_harness.vram import processes, search, target
from bench_harness.vram.prediction import Job
from bench_harness.vram.training_step import OPTIMIZERS, PRECISIONS, Recipe


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench vram`."""
    add = parser.add_argument
    add("target", metavar="MODULE:CALLABLE", help="returns a torch.nn.Module; or path/to/file.py:callable")
    add(
        "--input",
        action="append",
        required=True,
        metavar="SHAPE",
        help="one sample of an argument of the model: 3,224,224 or 512:int64; again for each further argument",
    )
    add("--batch", type=int, default=16, metavar="N", help="samples per step (default: 16)")
    add("--arg", action="append", default=[], metavar="NAME=VALUE", help="keyword argument of the callable")
    add("--optimizer", choices=OPTIMIZERS, default="adam", help="default: adam")
    add("--momentum", type=float, default=0.0, metavar="M", help="of sgd (default: 0)")
    add("--precision", choices=PRECISIONS, default="32", help="default: 32; the others autocast")
    add("--loss", metavar="MODULE:CALLABLE", help="output of the model to a scalar (default: sum of its floats)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="whose allocator to predict (default: cpu)")
    add("--tensors", type=int, default=0, metavar="N", help="also list the N largest storages at the peak")
    add("--sweep", metavar="NAME=A,B,C", help="one prediction per value of a callable's argument, or of batch")
    add("--solve", metavar="NAME", help="the largest integer NAME (an argument, or batch) that fits into --limit")
    add("--limit", metavar="SIZE", help="for --solve: 16GB, 500MB, 16GiB")
    add("--step", type=int, default=1, metavar="N", help="with --solve, try multiples of N only (default: 1)")
    add("--check", action="store_true", help="take the step for real and compare to the allocator's own peak")
    add("--plot", type=Path, metavar="FILE", help="draw the ledger as bars: .png, .svg, .pdf")
    add("--out", type=Path, metavar="DIR", help="write record.json here (default: a new folder below profiles/)")
    add("--json", action="store_true", help="print the record, one JSON object, and nothing else")


def run(args: argparse.Namespace) -> int:
    """Predict, write the record, print it."""
    started, clock = utc_now(), time.perf_counter()
    if args.out:
        refuse_foreign_record(args.out, "vram")
    job = job_of(args)
    require("torch", "vram")
    job = replace(job, threads=processes.prepare(job.target))
    conditions, warnings = environment.collect()
    results = _results(args, job)
    ledger = results.get("ledger")
    if ledger is not None:
        warnings += warnings_of(ledger)
    out = args.out or _new_folder(args, conditions)
    record = Record(
        command="vram",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=True,
        environment=conditions,
        warnings=warnings,
        results={"target": job.target, "batch": job.batch, "threads": job.threads, **results},
    )
    written = keep_record(record, out, load_config().profiles)
    if args.plot and ledger is not None:
        title = f"{Path(job.target).name}, batch {job.batch}\n{vram_text.peak_line(ledger)}"
        vram_plot.draw_vram(ledger, title, args.plot)
        record.artifacts["plot"] = Path(os.path.relpath(args.plot, out)).as_posix()
        written = keep_record(record, out, load_config().profiles)
    if args.json:
        print(json.dumps(written.to_json(), allow_nan=False))
    else:
        vram_text.print_vram(written, os.path.relpath(out))
    return ExitCode.FINE


def job_of(args: argparse.Namespace) -> Job:
    """Return the job that the flags describe.

    Raises:
        UsageError: a flag is malformed, or flags do not fit together; names it.
    """
    for flag, least in (("batch", 1), ("step", 1), ("tensors", 0)):
        if getattr(args, flag) < least:
            raise UsageError(f"--{flag} {getattr(args, flag)}: expected an integer of at least {least}")
    if args.limit:
        target.parse_size(args.limit)
    if (args.solve is None) != (args.limit is None):
        raise UsageError("--solve NAME and --limit SIZE belong together")
    if args.sweep and args.solve:
        raise UsageError("--sweep and --solve are two questions: ask one at a time")
    if args.sweep and (args.plot or args.check):
        raise UsageError("--plot and --check are for one prediction: leave out --sweep")
    return Job(
        target=args.target,
        inputs=tuple(map(target.parse_input, args.input)),
        batch=args.batch,
        arguments=dict(map(target.parse_argument, args.arg)),
        recipe=Recipe(args.optimizer, args.momentum, args.precision, args.device),
        loss=args.loss,
        tensors=args.tensors,
    )


def _results(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    if args.sweep:
        return {"sweep": _sweep(job, *target.parse_sweep(args.sweep))}
    if args.solve:
        solved, job, ledger = _solve(job, args.solve, target.parse_size(args.limit), args.step)
        results = {"solve": solved, "ledger": ledger}
    else:
        results = {"ledger": processes.predicted(job)}
    if args.check:
        measured = processes.measured(job)["measured_bytes"]
        predicted = results["ledger"]["peak_bytes"]
        results["check"] = {
            "predicted_bytes": predicted,
            "measured_bytes": measured,
            "ratio": predicted / measured,
            "device": job.recipe.device,
        }
    return results


def _solve(job: Job, name: str, limit_bytes: int, step: int) -> tuple[dict[str, Any], Job, dict[str, Any]]:
    def predict(value: int) -> dict[str, Any]:
        try:
            return processes.predicted(job.with_value(name, value))
        except HarnessError as error:
            raise type(error)(f"with {name}={value}: {error}; --step N tries multiples of N only") from error

    solution = search.largest_that_fits(predict, limit_bytes, name, step)
    tried = [{"value": value, "peak_bytes": peak} for value, peak in solution.tried.items()]
    solved = {"name": name, "value": solution.value, "limit_bytes": limit_bytes, "step": step, "tried": tried}
    return solved, job.with_value(name, solution.value), solution.prediction


def _sweep(job: Job, name: str, values: list[Any]) -> dict[str, Any]:
    if name == "batch" and (wrong := [value for value in values if type(value) is not int or value < 1]):
        raise UsageError(f"--sweep batch: {wrong[0]!r} is no integer of at least 1")
    rows = [_sweep_row(job.with_value(name, value), value) for value in values]
    good = [row for row in rows if "problem" not in row]
    if not good:
        raise UsageError(f"--sweep {name}: no value can be simulated; {name}={rows[0]['value']}: {rows[0]['problem']}")
    return {"name": name, "rows": rows, "answer": answer_of(name, good)}


def _sweep_row(job: Job, value: Any) -> dict[str, Any]:
    try:
        ledger = processes.predicted(job)
    except HarnessError as error:
        return {"value": value, "problem": str(error)}
    module, size = next(iter(ledger["by_module"].items()))
    return {
        "value": value,
        "peak_bytes": ledger["peak_bytes"],
        "parameters": ledger["parameters"],
        "largest_module": f"{module} ({ledger['module_types'].get(module, 'input')})",
        "largest_module_bytes": size,
        "largest_kind": next(iter(ledger["by_kind"])),
        "phase": ledger["peak"]["phase"],
    }


def answer_of(name: str, rows: list[dict[str, Any]]) -> str:
    """Return in one line which module holds most, over all values."""
    modules = list(dict.fromkeys(row["largest_module"] for row in rows))
    shares = [row["largest_module_bytes"] / (row["peak_bytes"] or 1) for row in rows]
    span = f"{min(shares):.0%} to {max(shares):.0%} of the peak"
    if len(modules) == 1:
        return f"{modules[0]} holds most at every {name}: {span}"
    changes = ", ".join(f"{name}={row['value']}: {row['largest_module']}" for row in rows)
    return f"which module holds most depends on {name} ({changes}): {span}"


def warnings_of(ledger: dict[str, Any]) -> list[str]:
    """Return what a reader should know before trusting a ledger."""
    if ledger["validated"]:
        return []
    return [
        "cuda is unvalidated: blocks of 512 bytes and cuBLAS's workspace are counted, cuDNN's workspaces, the "
        "context and fragmentation are not; leave a margin, or --check on a GPU"
    ]


def _new_folder(args: argparse.Namespace, conditions: dict[str, Any]) -> Path:
    commit, machine = conditions["git"]["commit"], conditions["machine"]
    return run_folder(f"vram-{Path(args.target).name}", load_config().profiles, commit=commit, machine=machine)

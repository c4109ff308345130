"""The part of `bench compare` that measures nothing: values of a file, and results of pytest-benchmark."""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.config import Config, parse_effect
from bench_harness.errors import UsageError
from bench_harness.record import Record
from bench_harness.verdict import fixed, pytest_files
from bench_harness.verdict.from_files import file_certificate, file_entries
from bench_harness.verdict.judgement import Judgement
from bench_harness.verdict.pytest_storage import STATISTICS
from bench_harness.verdict.rule import Rule
from bench_harness.verdict.rule_choice import choose_rule
from bench_harness.verdict.sides import Key
from bench_harness.verdict.value_files import read_values

# What only measuring takes, by the name of the argument.
_MEASURING = (
    "base",
    "bench",
    "environment",
    "asv_config",
    "a",
    "b",
    "shell",
    "metric",
    "timeout",
    "rounds_max",
    "seed",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name files."""
    add = parser.add_argument_group("files", "values that were measured elsewhere; nothing is measured").add_argument
    add("--values", type=Path, metavar="FILE", help="CSV or JSON: side, benchmark, metric, value, seed, better, ...")
    add(
        "--pytest",
        nargs=2,
        metavar=("A.json", "B.json"),
        help="of pytest-benchmark: a file a side, or several: folder, 'pattern-*.json', 0001,0003 of .benchmarks",
    )
    add(
        "--process-sd",
        metavar="X",
        help="of --pytest: how much processes differ, as far as is known beforehand (default: 2%%)",
    )
    add("--statistic", choices=STATISTICS, help="of --pytest: of the rounds in a file (default: median)")


def file_record(args: argparse.Namespace, effect: float | None, config: Config, started: str, clock: float) -> Record:
    """Judge what the files hold.

    Raises:
        UsageError: files that cannot be read or hold something else, or flags that go with measuring.
        NothingMeasuredError: nothing is there on both sides.
    """
    _refuse_other_flags(args)
    source, judge = _read(args, config)
    found = file_entries(source, lambda key: choose_rule(key, _metrics(source, key), effect, config), judge)
    conditions, plugin_warnings = environment.collect()
    extra = _spread(source, args) if args.pytest else {}
    return Record(
        command="compare",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=True,
        environment=conditions,
        warnings=[*source.warnings, *plugin_warnings],
        results={
            "benchmarks": found,
            "certificate": file_certificate(source, **extra),
            "base": source.base,
            "head": source.head,
        },
    )


def _read(args: argparse.Namespace, config: Config) -> tuple[fixed.Source, Callable[[fixed.Measured, Rule], Judgement]]:
    if args.pytest:
        base, head = args.pytest
        judge = functools.partial(pytest_files.judge, process_sd=_process_sd(args))
        return pytest_files.read_pytest(base, head, Path(), args.statistic or STATISTICS[0]), judge
    return read_values(args.values, functools.partial(_better_of, config)), fixed.judge


def _metrics(source: fixed.Source, key: Key) -> set[str]:
    """Return what is compared of the benchmark of a number: beside its CPU time, wall time is a second gate."""
    return {measured.key.metric for measured in source.measured if measured.key.title == key.title}


def _better_of(config: Config, key: Key) -> str | None:
    return config.rule_for(key.benchmark, key.metric, [value for _, value in key.params]).better


def _process_sd(args: argparse.Namespace) -> float:
    try:
        return pytest_files.PROCESS_SD if args.process_sd is None else parse_effect(args.process_sd)
    except ValueError as error:
        raise UsageError(f"--process-sd {error}") from error


def _spread(source: fixed.Source, args: argparse.Namespace) -> dict[str, Any]:
    return {"process_sd": pytest_files.spread(source.measured), "process_sd_beforehand": _process_sd(args)}


def _refuse_other_flags(args: argparse.Namespace) -> None:
    if not (args.pytest or args.values):
        raise UsageError("--process-sd and --statistic go with --pytest; otherwise processes are measured")
    flag = "--pytest" if args.pytest else "--values"
    others = {name: getattr(args, name, None) for name in _MEASURING}
    others["values"] = args.values if args.pytest else None
    others |= {} if args.pytest else {"process_sd": args.process_sd, "statistic": args.statistic}
    unfit = next((name for name, value in others.items() if value), None)
    if unfit:
        shown = unfit.upper() if unfit == "base" else f"--{unfit.replace('_', '-')}"
        raise UsageError(f"{shown} does not go with {flag}, which reads files and measures nothing")

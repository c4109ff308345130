"""bench compare: is head (b) worse than base (a)? Measured in rounds of fresh processes, with a stated rate of error.

Writes record.json first, then prints from it.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.config import Config, load_config, nearest, parse_effect
from bench_harness.errors import ExitCode, NothingMeasuredError, UsageError
from bench_harness.record import Record, utc_now
from bench_harness.report import compare_text, self_test_text
from bench_harness.run_folders import keep_record, refuse_foreign_record, run_folder
from bench_harness.verdict import abreast, compared_files, results
from bench_harness.verdict.asv_commits import commit_pair
from bench_harness.verdict.asv_suite import METRICS
from bench_harness.verdict.certificate import LoadMeter, certificate
from bench_harness.verdict.command_side import CommandSide, parse_command
from bench_harness.verdict.metrics import CLOCKS, UNITS
from bench_harness.verdict.pair import Pair
from bench_harness.verdict.rounds import Comparison, Limits, Progress, compare
from bench_harness.verdict.rule_choice import choose_rule
from bench_harness.verdict.self_test import options as self_test_options
from bench_harness.verdict.self_test.run import self_test
from bench_harness.verdict.self_test.trials import Plan
from bench_harness.verdict.sides import Key

BUDGET = "60s"
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench compare`."""
    add = parser.add_argument
    add("base", nargs="?", metavar="BASE", help="base: a commit of the asv project here, with HEAD")
    add("head", nargs="?", metavar="HEAD", help="head: another one; the benchmarks are the working tree's")
    add("--bench", metavar="REGEX", help="of two commits, only these benchmarks, as asv's --bench")
    add("--environment", metavar="NAME", help="of two commits: where to build them (default: the first of the matrix)")
    add("--asv-config", type=Path, metavar="FILE", help="of two commits (default: asv.conf.json here)")
    add("--a", metavar="CMD", help="base: a command, in quotes")
    add("--b", metavar="CMD", help="head: a command, in quotes")
    add("--shell", action="store_true", help="run the commands by /bin/sh (default: without a shell)")
    add("--name", default="command", metavar="NAME", help="name of the benchmark that two commands are")
    add(
        "--metric",
        action="append",
        metavar="NAME",
        help=f"what to compare of each process and its children: {', '.join(UNITS)}; of two commits also what "
        f"benchmarks return: {', '.join(METRICS[len(UNITS) :])} (repeatable; default: clocks, and what they return)",
    )
    add(
        "--effect",
        metavar="X",
        help="smallest change that matters, such as 2%% (default: the configuration's, else 2%%)",
    )
    add(
        "--budget",
        default=BUDGET,
        metavar="T",
        help=f"for measuring, confirming included: 90, 90s, 2m (default: {BUDGET})",
    )
    add("--timeout", metavar="T", help="a process that takes longer has failed (default: the budget)")
    add(
        "--apart",
        action="store_true",
        help="run base and head one after the other; without it, CPU time is taken of both at once on one core",
    )
    add("--rounds-max", type=int, metavar="N", help="screen for at most N rounds (default: as the budget allows)")
    add(
        "--seed", type=int, default=None, metavar="N", help="of the order inside the rounds (default: random, recorded)"
    )
    add("--out", type=Path, metavar="DIR", help="write record.json here (default: a new folder below profiles/)")
    compared_files.configure(parser)
    self_test_options.configure(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown")
    form.add_argument("--json", action="store_true", help="print the record, one JSON object, and nothing else")


def run(args: argparse.Namespace) -> int:
    """Measure, write the record, print it."""
    if args.self_test:
        return _self_test(args)
    started, clock = utc_now(), time.perf_counter()
    if args.out:
        refuse_foreign_record(args.out, "compare")
    limits, effect, config = _limits(args), _effect(args), load_config()
    if args.values or args.pytest or args.process_sd or args.statistic:
        return _finished(compared_files.file_record(args, effect, config, started, clock), args, config)
    with sides_of(args, limits) as pair:
        meter = LoadMeter()
        comparison = compare(
            pair.a,
            pair.b,
            lambda key: choose_rule(key, pair.metrics, effect, config).rule,
            limits,
            _shown_progress if _may_show(args) else lambda progress: None,
        )
        load = meter.others_cores()
    conditions, plugin_warnings = environment.collect()
    found = results.entries(comparison, lambda key: choose_rule(key, pair.metrics, effect, config).gate, limits.seed)
    if not found:
        raise NothingMeasuredError(_nothing(comparison))
    noise = certificate(comparison, found, conditions, load=load, build_s=pair.build_s, seed=limits.seed)
    record = Record(
        command="compare",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=comparison.completed,
        environment=conditions,
        warnings=[*comparison.warnings, *_unmatched(comparison), *pair.warnings(), *plugin_warnings],
        results={
            "benchmarks": found,
            "certificate": noise,
            "base": {"commit": pair.base_commit, "label": pair.a.label},
            "head": {"commit": pair.head_commit, "label": pair.b.label},
            "skipped": comparison.skipped,
            "sides": pair.details(),
            "left_out": [_left_out(key, *values) for key, values in comparison.left_out.items()],
            "budget_s": limits.budget_s,
        },
    )
    return _finished(record, args, config)


def _finished(record: Record, args: argparse.Namespace, config: Config) -> int:
    """Keep the record, print it, and say how it ends."""
    conditions = record.environment
    commit, machine = conditions["git"]["commit"], conditions["machine"]
    out = args.out or run_folder("compare", config.profiles, commit=commit, machine=machine)
    written = keep_record(record, out, config.profiles)
    if args.json:
        print(json.dumps(written.to_json(), allow_nan=False))
    elif args.markdown:
        print(compare_text.markdown(written))
    else:
        compare_text.print_comparison(written, os.path.relpath(out))
    if not written.completed:
        return 128 + signal.SIGINT
    return results.exit_code(written.results["benchmarks"])


@contextlib.contextmanager
def sides_of(args: argparse.Namespace, limits: Limits) -> Iterator[Pair]:
    """Make ready what is to be compared: two commits, or two commands.

    Raises:
        UsageError: it is neither, or flags of one go with the other.
    """
    for_commits = {"--bench": args.bench, "--environment": args.environment, "--asv-config": args.asv_config}
    for_commands = {"--a": args.a, "--b": args.b, "--shell": args.shell}
    given = for_commits if args.base is None else for_commands
    wrong = next((flag for flag, value in given.items() if value), None)
    if wrong:
        raise UsageError(f"{wrong} goes with two {'commits' if args.base is None else 'commands'}, not with the other")
    if args.base is None:
        yield command_pair(args)
    elif args.head is None:
        raise UsageError(f"two commits to compare: bench compare {args.base} HEAD")
    else:
        with commit_pair(
            args.base,
            args.head,
            config=args.asv_config,
            bench=args.bench,
            environment=args.environment,
            metrics=_known(args.metric or (), METRICS),
            timeout_s=limits.timeout_s or limits.budget_s,
            say=lambda line: print(f"bench: {line}", file=sys.stderr, flush=True),
        ) as pair:
            yield pair


def _self_test(args: argparse.Namespace) -> int:
    """Try known pairs, and print what all verdicts in the folder say."""
    unfit = next((flag for flag, value in {"--a": args.a, "--b": args.b, "BASE": args.base}.items() if value), None)
    if unfit:
        raise UsageError(f"--self-test brings its own workloads; leave out {unfit}")
    profiles = load_config().profiles
    record, out = self_test(_plan(args), args.argv, profiles, args.out, _shown_trials(args))
    if args.json:
        print(json.dumps(record.to_json(), allow_nan=False))
    else:
        self_test_text.print_rates(record, os.path.relpath(out), as_markdown=args.markdown)
    return ExitCode.FINE if record.completed else 128 + signal.SIGINT


def _plan(args: argparse.Namespace) -> Plan:
    budget_s = parse_seconds(args.budget_total, "--budget-total")
    return self_test_options.plan(args, effect=_effect(args), limits=_limits(args), budget_s=budget_s)


def _shown_trials(args: argparse.Namespace) -> Callable[[int, int], None]:
    def show(number: int, count: int) -> None:
        end = "\n" if number == count else ""
        print(f"\r\033[K{number} of {count} verdicts", end=end, file=sys.stderr, flush=True)

    return show if _may_show(args) else lambda number, count: None


def command_pair(args: argparse.Namespace) -> Pair:
    """Return the two commands of --a and --b.

    Raises:
        UsageError: one is missing or cannot be run, or a metric is unknown.
    """
    if not args.a or not args.b:
        raise UsageError("two sides to compare: BASE HEAD, two commits, or --a 'BASE COMMAND' --b 'HEAD COMMAND'")
    metrics = _known(args.metric or CLOCKS, UNITS)
    warnings: list[str] = []
    a, b = (
        CommandSide(text, parse_command(text, shell=args.shell), metrics, args.name, warnings=warnings)
        for text in (args.a, args.b)
    )
    for side in (a, b):
        side.check()
    return Pair(a, b, metrics, warnings=lambda: warnings)


def _known(metrics: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    """Return metrics, each once.

    Raises:
        UsageError: one is unknown.
    """
    for metric in metrics:
        if metric not in known:
            raise UsageError(f"--metric {metric}: {nearest(metric, known)}")
    return tuple(dict.fromkeys(metrics))


def parse_seconds(text: str, flag: str) -> float:
    """Return a time such as 90, 90s or 2m in seconds.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", text)
    if not found or found[2] not in _SECONDS or not float(found[1]):
        raise UsageError(f"{flag} {text}: expected a time above 0 such as 90, 90s or 2m")
    return float(found[1]) * _SECONDS[found[2]]


def _limits(args: argparse.Namespace) -> Limits:
    if args.rounds_max is not None and args.rounds_max < 2:
        raise UsageError(f"--rounds-max {args.rounds_max}: expected an integer of at least 2")
    seed = int.from_bytes(os.urandom(4), "little") if args.seed is None else args.seed
    timeout_s = parse_seconds(args.timeout, "--timeout") if args.timeout else None
    at_once = abreast.available() and not args.apart
    return Limits(parse_seconds(args.budget, "--budget"), seed, timeout_s, args.rounds_max, at_once)


def _effect(args: argparse.Namespace) -> float | None:
    try:
        return None if args.effect is None else parse_effect(args.effect)
    except ValueError as error:
        raise UsageError(f"--effect {error}") from error


def _nothing(comparison: Comparison) -> str:
    if not comparison.completed:
        return "interrupted before the first round was over"
    skipped = [f"{title} is skipped: {'; '.join(sides.values())}" for title, sides in comparison.skipped.items()]
    return "; ".join([*_unmatched(comparison), *skipped]) or "neither side gave a number"


def _unmatched(comparison: Comparison) -> list[str]:
    side = {"a": "base", "b": "head"}
    return [f"{key.title} {key.metric}: only {side[one]} gave it" for key, one in comparison.unmatched.items()]


def _left_out(key: Key, a: float, b: float) -> dict[str, Any]:
    return {"name": key.benchmark, "params": dict(key.params), "metric": key.metric, "a": a, "b": b}


def _may_show(args: argparse.Namespace) -> bool:
    return sys.stderr.isatty() and not args.json


def _shown_progress(progress: Progress) -> None:
    said = f"{progress.screening} open, {progress.confirming} being confirmed, {progress.done} decided"
    left = f"{progress.elapsed_s:.0f} of {progress.budget_s:.0f} s"
    end = "" if progress.screening or progress.confirming else "\r\033[K"
    print(f"\r\033[Kround {progress.rounds}: {said}, {left}", end=end, file=sys.stderr, flush=True)

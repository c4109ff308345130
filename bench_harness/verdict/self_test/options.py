"""The flags of `bench compare --self-test`."""

import argparse

from bench_harness.config import parse_effect
from bench_harness.errors import UsageError
from bench_harness.verdict.metrics import CLOCKS
from bench_harness.verdict.rounds import Limits
from bench_harness.verdict.self_test.trials import Plan
from bench_harness.verdict.self_test.workloads import WORKLOADS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the self-test."""
    add = parser.add_argument_group("self-test", "how often verdicts are wrong on this machine").add_argument
    add("--self-test", action="store_true", help="compare known workloads with themselves and with slower copies")
    add("--workload", action="append", choices=WORKLOADS, help="repeatable; default: python and kernel")
    add(
        "--planted",
        action="append",
        metavar="X",
        help="slowdown of head, such as 5%% (repeatable; default: 0, 5%%, 10%%)",
    )
    add(
        "--verdicts",
        type=int,
        default=20,
        metavar="N",
        help="of each workload and slowdown (default: 20); 0: show --out",
    )
    add("--budget-total", default="10m", metavar="T", help="begin no verdict after this time (default: 10m)")


def plan(args: argparse.Namespace, *, effect: float | None, limits: Limits, budget_s: float) -> Plan:
    """Return what is to be tried.

    Raises:
        UsageError: a count, a metric or a slowdown that makes no sense.
    """
    if args.verdicts < (0 if args.out else 1):
        raise UsageError(
            f"--verdicts {args.verdicts}: expected an integer of at least 1, or 0 to show what --out holds"
        )
    for metric in args.metric or ():
        if metric not in ("cpu_s", "wall_s", "instructions"):
            raise UsageError(f"--metric {metric}: the self-test knows cpu_s, wall_s and instructions")
    return Plan(
        workloads=tuple(dict.fromkeys(args.workload or ("python", "kernel"))),
        planted=tuple(dict.fromkeys(map(_planted, args.planted or ("0", "5%", "10%")))),
        verdicts=args.verdicts,
        metrics=tuple(dict.fromkeys(args.metric or CLOCKS)),
        effect=effect,
        limits=limits,
        budget_s=budget_s,
    )


def _planted(text: str) -> float:
    try:
        return 0.0 if text in ("0", "0%") else parse_effect(text)
    except ValueError as error:
        raise UsageError(f"--planted {error}, or 0") from error

"""bench diff: which functions take more or less time per steady step in one capture than in another.

Writes record.json first, then prints from it. It measures nothing, and one run a side is no verdict: where a record
could be written, it exits 0.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.config import load_config
from bench_harness.errors import ExitCode, UsageError
from bench_harness.profiles import diff, diff_conditions
from bench_harness.profiles.diff_sides import Side, read_side
from bench_harness.record import Record, utc_now
from bench_harness.report import diff_text
from bench_harness.run_folders import keep_record, refuse_foreign_record, run_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench diff`."""
    add = parser.add_argument
    side = "a run folder or record.json of bench profile, or a .prof file (then what only the record says is unknown)"
    add("a", type=Path, metavar="A", help=f"before: {side}")
    add("b", type=Path, metavar="B", help="after: likewise")
    add("--rows", type=int, default=20, metavar="N", help="functions to show per table (default: 20)")
    add("--sort", choices=diff_text.SORTS, default="delta", help="by change of time or of its share (default: delta)")
    add("--force", action="store_true", help="compare although engine, workload or missing steady batches forbid it")
    add("--out", type=Path, metavar="DIR", help="write record.json here (default: a new folder below profiles/)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown")
    form.add_argument("--json", action="store_true", help="print the record, one JSON object, and nothing else")


def run(args: argparse.Namespace) -> int:
    """Compare, write the record, print it."""
    started, clock = utc_now(), time.perf_counter()
    if args.rows < 1:
        raise UsageError(f"--rows {args.rows}: expected an integer of at least 1")
    if args.out:
        refuse_foreign_record(args.out, "diff")
    a, b = read_side(args.a), read_side(args.b)
    warnings = _permitted(a, b, force=args.force)
    results, notes = diff.difference(a, b)
    conditions, plugin_warnings = environment.collect()
    root = load_config().profiles
    commit, machine = conditions["git"]["commit"], conditions["machine"]
    out = args.out or run_folder("diff", root, commit=commit, machine=machine)
    record = Record(
        command="diff",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=True,
        environment=conditions,
        warnings=[*warnings, *notes, *plugin_warnings],
        results={"a": described(a), "b": described(b), **results},
    )
    written = keep_record(record, out, root)
    if args.json:
        print(json.dumps(written.to_json(), allow_nan=False))
    elif args.markdown:
        print(diff_text.markdown(written, args.rows, args.sort))
    else:
        diff_text.print_diff(written, os.path.relpath(out), args.rows, args.sort)
    return ExitCode.FINE


def _permitted(a: Side, b: Side, *, force: bool) -> list[str]:
    """Return the warnings.

    Raises:
        UsageError: the two must not be compared, and `force` is not set.
    """
    refused = diff_conditions.refusals(a, b)
    if refused and not force:
        raise UsageError(f"{a.source} and {b.source} do not compare: {'; '.join(refused)}; or --force")
    return [*(f"forced: {reason}" for reason in refused), *diff_conditions.warnings(a, b)]


def described(side: Side) -> dict[str, Any]:
    """Return what is known of a side; None where only a record would say."""
    record = side.record
    conditions = record.environment if record else {}
    git, python = (conditions.get(name) or {} for name in ("git", "python"))
    return {
        "source": side.source,
        "engine": side.engine,
        "target": side.results.get("target"),
        "started": record.started if record else None,
        "completed": record.completed if record else None,
        "commit": git.get("commit"),
        "dirty": git.get("dirty"),
        "machine": conditions.get("machine"),
        "python": python.get("version"),
        "steady_steps": side.count("steady_steps"),
        "steady_batches": side.count("steady_batches"),
        "functions_left_out": side.left_out,
    }

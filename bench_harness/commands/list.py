"""bench list: the named workloads of installed packages, and the runs that are kept.

It measures nothing and writes no record; `--runs` brings the index up to date, `--prune --yes` removes runs.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from bench_harness import run_pruning, targets
from bench_harness.config import load_config, nearest
from bench_harness.errors import ExitCode, UsageError
from bench_harness.git import tracked_files
from bench_harness.report import list_text
from bench_harness.run_index import read_runs, update_index


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench list`."""
    add = parser.add_argument
    add("--runs", action="store_true", help="list the runs below profiles/ instead, and rewrite their index")
    add("--prune", type=int, metavar="KEEP", help="show which runs go if the newest KEEP of each target stay")
    add("--target", metavar="NAME", help="with --runs or --prune: only the runs of this target")
    add("--yes", action="store_true", help="with --prune: remove them; named and committed runs always stay")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def run(args: argparse.Namespace) -> int:
    """List targets or runs, or prune."""
    if args.yes and args.prune is None:
        raise UsageError("--yes belongs to --prune KEEP")
    if args.target and not args.runs and args.prune is None:
        raise UsageError("--target NAME chooses runs: give --runs or --prune KEEP too")
    if args.prune is not None and args.prune < 0:
        raise UsageError(f"--prune {args.prune}: expected how many runs of each target stay, an integer of at least 0")
    if args.prune is not None:
        _prune(args)
    elif args.runs:
        _runs(args)
    else:
        _targets(args)
    return ExitCode.FINE


def _targets(args: argparse.Namespace) -> None:
    found = targets.all_targets()
    if args.json:
        _print_json({"targets": [dataclasses.asdict(target) | {"full_name": target.full_name} for target in found]})
    else:
        list_text.print_targets(found)


def _runs(args: argparse.Namespace) -> None:
    root = load_config().profiles
    runs = _chosen(read_runs(root, tracked_files(root) or frozenset()), args.target)
    if root.is_dir():
        _update_index(root)
    if args.json:
        _print_json({"runs": runs})
    else:
        list_text.print_runs(runs, os.path.relpath(root))


def _prune(args: argparse.Namespace) -> None:
    root = load_config().profiles
    plan = run_pruning.plan(root, args.prune)
    _chosen([*plan.removed, *plan.kept], args.target)
    if args.target:
        plan = plan.only(args.target)
    if args.yes:
        run_pruning.remove(root, plan)
        if plan.removed:
            _update_index(root)
    if args.json:
        _print_json({"removed" if args.yes else "would_remove": plan.removed, "kept": plan.kept})
    else:
        list_text.print_pruned(plan, os.path.relpath(root), done=args.yes)


def _chosen(runs: list[dict[str, Any]], target: str | None) -> list[dict[str, Any]]:
    known = dict.fromkeys(str(run["target"]) for run in runs)
    if target and target not in known:
        raise UsageError(f"--target {target}: no run of it; {nearest(target, known)}")
    return [run for run in runs if target in (None, run["target"])]


def _update_index(root: Path) -> None:
    try:
        update_index(root)
    except OSError as error:
        raise UsageError(f"{root}: cannot write the index: {error.strerror or error}") from error


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, allow_nan=False))

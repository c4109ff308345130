"""The text of `bench list`: targets, runs, and what pruning removes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from bench_harness.report import units
from bench_harness.report.tables import new_table, print_parts
from bench_harness.run_pruning import Plan
from bench_harness.targets import GROUP, Target


def print_targets(targets: Sequence[Target]) -> None:
    """Print the registered workloads."""
    print_parts(target_parts(targets))


def target_parts(targets: Sequence[Target]) -> Iterable[Any]:
    """Yield the table of targets and how to run one."""
    if not targets:
        yield f"No installed package registers a target (entry points of the group {GROUP})."
        return
    names = [target.name for target in targets]
    table = new_table("Targets", "run as", "what", "callable", "package")
    for target in targets:
        name = target.name if names.count(target.name) == 1 else target.full_name
        what = f"problem: {target.problem}" if target.problem else target.description or ""
        table.add_row(f"@{name}", what, target.value, f"{target.distribution} {target.version}")
    yield table
    yield "\nRun one: bench profile @NAME [its arguments]"


def print_runs(runs: Sequence[Mapping[str, Any]], root: str) -> None:
    """Print the runs, one table per target, the newest last: beside the prompt."""
    print_parts(run_parts(runs, root))


def run_parts(runs: Sequence[Mapping[str, Any]], root: str) -> Iterable[Any]:
    """Yield one table per target."""
    if not runs:
        yield f"No runs below {root}."
    for target, group in groupby(runs, key=lambda run: str(run["target"])):
        right = ["steps", "workers", "size"]
        columns = ("run", "engine", "verdict", "steps", "workers", "completed", "size")
        table = new_table(f"{root}/{target}", *columns, right=right)
        for run in group:
            table.add_row(*_row(run))
        yield table


def _row(run: Mapping[str, Any]) -> Iterable[str]:
    name = str(run["folder"]).partition("/")[2]
    mark = " (in git)" if run["committed"] else ""
    size = units.size(run["size_bytes"])
    if "problem" in run:
        return name + mark, "-", run["problem"], "-", "-", "-", size
    workers = f"{run['delivered']}/{run['expected']}" if run["expected"] is not None else "-"
    engine = run["engine"] or run["command"]
    steps = "-" if run["steps"] is None else f"{run['steps']:,}"
    return name + mark, engine, run["verdict"] or "-", steps, workers, "yes" if run["completed"] else "NO", size


def print_pruned(plan: Plan, root: str, *, done: bool) -> None:
    """Print what was removed, or what would be."""
    print_parts(pruned_parts(plan, root, done=done))


def pruned_parts(plan: Plan, root: str, *, done: bool) -> Iterable[Any]:
    """Yield one line per run that goes, and how many stay for which reason."""
    for run in plan.removed:
        yield f"{'removed' if done else 'would remove'} {root}/{run['folder']} ({units.size(run['size_bytes'])})"
    if not plan.removed:
        yield "Nothing to remove."
    reasons = [str(run["why"]) for run in plan.kept]
    for reason in sorted(set(reasons)):
        yield f"{reasons.count(reason)} {'stay' if reasons.count(reason) > 1 else 'stays'}: {reason}"
    if plan.removed and not done:
        total = units.size(sum(run["size_bytes"] for run in plan.removed))
        yield f"Nothing was removed. Add --yes to remove {len(plan.removed)} runs ({total})."

"""Two commits of an asv project, built and ready to be compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench_harness.errors import CouldNotMeasureError, NothingMeasuredError
from bench_harness.verdict import asv_ways
from bench_harness.verdict.asv_process import list_suite
from bench_harness.verdict.asv_project import Commit, Installed, Project
from bench_harness.verdict.asv_side import AsvSide, Caches
from bench_harness.verdict.asv_suite import Listing, check_regex, listing
from bench_harness.verdict.metrics import CLOCKS
from bench_harness.verdict.pair import Pair

PLAN = ("samples_to_warm_up", "samples", "calls_in_each")


@contextlib.contextmanager
def commit_pair(
    base: str,
    head: str,
    *,
    config: Path | None = None,
    bench: str | None = None,
    environment: str | None = None,
    metrics: Sequence[str] = (),
    timeout_s: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Pair]:
    """Build both commits, list the suite on both sides, make its caches and find out how often to call what.

    A head that cannot be built is a side on which every benchmark fails.

    Args:
        base, head: commits, as git names them.
        config: the asv configuration; None: the one in the working folder.
        bench: asv's --bench; None: all benchmarks.
        environment: of the matrix, or asv's type:python; None: the first of the matrix.
        metrics: of asv_suite.METRICS; none: the clocks, and what tracks and memory benchmarks return.
        timeout_s: for one benchmark, where asv's own is longer; None: asv's own.
        say: takes one line of progress.

    Raises:
        UsageError, ConfigError: what is asked for is not there.
        MissingPackageError: what counts a metric is not installed.
        CouldNotMeasureError: base cannot be built.
        NothingMeasuredError: `bench` selects nothing, or the suite can be listed on neither side.
    """
    check_regex(bench)
    asv_ways.check(metrics)
    project = Project(config)
    commits = project.commit(base), project.commit(head)
    environments = project.place(*commits, environment)
    plans: dict[str, list[int]] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(project.held())
        installed = [project.install(each, commit, say) for each, commit in zip(environments, commits, strict=True)]
        if installed[0].failure is not None:
            raise CouldNotMeasureError(f"base {commits[0].label}: {installed[0].failure}")
        a, b = (
            _side(project, commit, each, plans, stack, bench, metrics)
            for commit, each in zip(commits, installed, strict=True)
        )
        a.other, b.other = b.own, a.own
        _refuse_nothing(a.own, b.own, bench, metrics)
        for side in (a, b):
            side.prepare(timeout_s)
        notes = _notes(project, commits[1], environment)
        yield Pair(
            a,
            b,
            tuple(metrics) or CLOCKS,
            base_commit=commits[0].hash,
            head_commit=commits[1].hash,
            build_s=sum(each.seconds for each in installed),
            warnings=lambda: notes,
            details=lambda: _details(a, b, installed, plans),
        )


def _details(a: AsvSide, b: AsvSide, installed: list[Installed], plans: dict[str, list[int]]) -> dict[str, Any]:
    base, head = installed
    return {
        "environment": base.environment.name,
        "build_s": {"a": round(base.seconds, 3), "b": round(head.seconds, 3)},
        "build_log": list(head.log),
        "preparing_s": {"a": round(a.preparing_s, 3), "b": round(b.preparing_s, 3)},
        "plans": {title: dict(zip(PLAN, plan, strict=True)) for title, plan in sorted(plans.items())},
    }


def _side(
    project: Project,
    commit: Commit,
    installed: Installed,
    plans: dict[str, list[int]],
    stack: contextlib.ExitStack,
    bench: str | None,
    metrics: Sequence[str],
) -> AsvSide:
    root = str(project.conf.benchmark_dir)
    if installed.failure is not None:
        own = Listing(trouble=installed.failure)
    else:
        own = listing(list_suite(installed.start, root), project.conf, bench, metrics)
    caches = Caches(installed.environment, root)
    stack.callback(caches.close)
    return AsvSide(commit.label, installed.start, root, caches, plans, own)


def _refuse_nothing(a: Listing, b: Listing, bench: str | None, metrics: Sequence[str]) -> None:
    if a.benchmarks or b.benchmarks:
        return
    reasons = [each.trouble for each in (a, b) if each.trouble]
    reasons += [f"{module or 'the suite'}: {why}" for module, why in (a.broken | b.broken).items()]
    names = a.names or b.names
    some = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    flags = [f"matches --bench {bench!r}"] * bool(bench) + [f"has --metric {', '.join(metrics)}"] * bool(metrics)
    asked = f"no benchmark {' and '.join(flags)}".rstrip()
    asked += f"; the suite has {len(names)}: {some}" if names else ""
    raise NothingMeasuredError(f"nothing measured: {'; '.join([asked, *reasons])}")


def _notes(project: Project, head: Commit, asked: str | None) -> list[str]:
    notes = []
    changed = project.changed_benchmarks(head)
    if changed:
        notes.append(f"the benchmarks are those of the working tree, which differ from head's in {changed} files")
    matrix = project.environments("compare-a")
    if asked is None and len(matrix) > 1:
        others = ", ".join(each.name for each in matrix[1:])
        notes.append(
            f"the matrix has {len(matrix)} environments: measured in {matrix[0].name}; --environment: {others}"
        )
    return notes

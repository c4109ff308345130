"""Everything that exists about base and head, as findings: comparisons first, then asv's own results."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.alert import asv_findings, asv_sides, compare_records, confirming, run_links, trailers
from bench_harness.alert.asv_findings import Question
from bench_harness.alert.asv_sides import Side
from bench_harness.alert.findings import ALARMS, Finding, Outcome
from bench_harness.alert.history_steps import Range, step_findings
from bench_harness.config import Config
from bench_harness.errors import MissingPackageError, NothingMeasuredError, UsageError
from bench_harness.git import git_output
from bench_harness.history.asv_results import AsvResults
from bench_harness.verdict.sides import WHOLE


@dataclass
class Request:
    """What is asked.

    Args:
        base, head: full hashes.
        machine: the label of this machine; asv's results may be of another one, `wanted_machine`.
        records: records of `bench compare` that the user named; none: those below the folder of all runs.
        asv_config: None where there is no asv.conf.json.
        benchmarks: a regular expression; None: all.
        history: whether to look for steps of the history, too.
    """

    base: str
    head: str
    config: Config
    folder: Path
    machine: str
    records: list[Path] = field(default_factory=list)
    asv_config: Path | None = None
    wanted_machine: str | None = None
    benchmarks: str | None = None
    history: bool = False


@dataclass
class Evidence:
    """What was found, and in which files.

    Args:
        loud: what must be said before any number: the sides are not comparable.
        steps: of the history, as they go into the record.
        records, asv_folder: where the findings are from.
        compared_in: asv's environments that the records are of.
    """

    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    loud: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    records: list[Path] = field(default_factory=list)
    compared_in: set[str] = field(default_factory=set)
    asv_folder: Path | None = None


def resolve(folder: Path, reference: str, option: str) -> str:
    """Return the full hash of a reference.

    Raises:
        UsageError: git knows no such commit.
    """
    commit = git_output(folder, "rev-parse", "--verify", "-q", "--end-of-options", f"{reference}^{{commit}}")
    if commit:
        return commit
    if git_output(folder, "rev-parse", "--git-dir") is None:
        raise UsageError(f"{option} {reference}: no git repository here, or no git; run bench alert inside the clone")
    shallow = git_output(folder, "rev-parse", "--is-shallow-repository") == "true"
    remedy = "this clone is shallow: git fetch --unshallow (in CI: fetch-depth: 0)" if shallow else "see git log --all"
    raise UsageError(f"{option} {reference}: git knows no such commit; {remedy}")


def gather(request: Request) -> Evidence:
    """Read all evidence.

    Raises:
        NothingMeasuredError: there is none, with the command that gives some.
    """
    found = Evidence()
    records = compare_records.given_records(request.records, request.base, request.head)
    if not request.records:
        root = request.config.profiles
        records = compare_records.matching_records(root, request.base, request.head, request.machine)
    found.records = [path for path, _ in records]
    found.compared_in = {name for _, record in records if (name := compare_records.environment(record))}
    of_records = compare_records.findings(records, request.config)
    found.findings = [one for one in of_records if re.search(request.benchmarks or "", one.name.partition("(")[0])]
    for path, record in records:
        interrupted = [] if record.completed else ["it was interrupted"]
        where = compare_records.relative(path)
        found.warnings += [f"{where}: {warning}" for warning in (*interrupted, *record.warnings)]
    _gather_asv(found, request)
    if not found.findings:
        raise NothingMeasuredError(_nothing(request, found))
    return found


def _gather_asv(found: Evidence, request: Request) -> None:
    if request.asv_config is None:
        return
    try:
        results = AsvResults.load(request.asv_config)
    except MissingPackageError as error:
        if not found.findings:
            raise
        found.warnings.append(f"asv results left out: {error}")
        return
    found.warnings += results.warnings
    if request.wanted_machine is not None and request.wanted_machine not in results.machines():
        known = ", ".join(results.machines()) or "none"
        raise UsageError(
            f"--machine {request.wanted_machine}: no asv results of it in {results.folder}; known: {known}"
        )
    base, head = asv_sides.choose_sides(results, request.base, request.head, request.machine, request.wanted_machine)
    if not found.findings and not request.history:
        _need_both(request, base, head, found.warnings)
    _tell_machines(found, request, base, head)
    of_asv = _pairs(found, request, results, base, head)
    found.findings += of_asv
    if request.history:
        _gather_steps(found, request, results, head.machine)
    found.asv_folder = results.folder if of_asv or request.history else None


def _pairs(found: Evidence, request: Request, results: AsvResults, base: Side, head: Side) -> list[Finding]:
    """Return the findings of both commits' results; a history may well have results of neither."""
    if request.history and not (base.files and head.files):
        found.warnings.append("asv measured base and head not both: the history alone is looked at")
        return []
    order = _order(request.folder, request.head)
    covered = {finding.title for finding in found.findings}
    question = Question(
        results, base, head, request.config, order, request.benchmarks, covered, covered_in=found.compared_in
    )
    return list(asv_findings.findings(question))


def _gather_steps(found: Evidence, request: Request, results: AsvResults, machine: str | None) -> None:
    """Add the steps; one that a comparison of base and head has settled is told, and is no finding of its own."""
    known = {one.title for one in found.findings}
    settled = {one.title for one in found.findings if one.source == compare_records.COMMAND}
    asked = Range(request.folder, request.base, request.head, machine or request.machine)
    for finding, row in step_findings(results, asked, request.config, request.benchmarks):
        if row is not None:
            found.steps.append(row)
        if finding.title not in (settled if row is not None else known):
            found.findings.append(finding)


def _need_both(request: Request, base: Side, head: Side, warnings: list[str]) -> None:
    missing = [side for side in (base, head) if not side.files]
    if missing:
        names = {request.base: "base", request.head: "head"}
        which = " and ".join(f"{names[side.commit]} {side.commit[:12]}" for side in missing)
        damaged = [line for line in warnings if any(f"/{side.commit[:8]}-" in line for side in missing)]
        said = f" ({'; '.join(damaged)})" if damaged else ""
        runs = " && ".join(f"asv run {side.commit[:12]}^!" for side in missing)
        raise NothingMeasuredError(
            f"no asv results of {which}{said} and no record of bench compare; run: {runs}, or "
            f"bench compare {request.base[:12]} {request.head[:12]}"
        )


def _tell_machines(found: Evidence, request: Request, base: Side, head: Side) -> None:
    if base.machine and head.machine and base.machine != head.machine:
        found.loud.append(
            f"BASE AND HEAD RAN ON DIFFERENT MACHINES ({base.machine} and {head.machine}): such ratios are of the "
            f"machines, not of the code; measure both here: bench compare {request.base[:12]} {request.head[:12]}"
        )
    elif head.machine and head.machine != request.machine and request.wanted_machine is None:
        found.warnings.append(f"no asv results of this machine ({request.machine}): taking those of {head.machine}")


def _order(folder: Path, head: str) -> list[str]:
    """Return the commits before `head` on its first-parent line, the oldest first."""
    listed = git_output(folder, "rev-list", "--first-parent", "--reverse", f"{head}^", "--")
    return (listed or "").split()


def _nothing(request: Request, found: Evidence) -> str:
    which = f" that fits '{request.benchmarks}'" if request.benchmarks else ""
    said = f" ({'; '.join(found.warnings[:3])})" if found.warnings else ""
    base, head = request.base[:12], request.head[:12]
    asv = "" if request.asv_config else " and no asv.conf.json here"
    return f"nothing measured{which} at {base} and {head}{asv}{said}; run: bench compare {base} {head}"


def complete(found: Evidence, request: Request) -> None:
    """Add to each finding what a reader does next: profiles of both commits, how to rerun and how to accept it."""
    runs = run_links.runs_of(request.config.profiles, (request.base, request.head))
    expected, problems = trailers.announced(request.folder, request.base, request.head)
    trailers.acknowledge(found.findings, expected)
    found.warnings += problems
    for finding in found.findings:
        finding.profiles = {"base": runs[request.base], "head": runs[request.head]}
        if not finding.rerun:
            words = confirming.compare_command(request.base[:12], request.head[:12], [_benchmark(finding)])
            finding.rerun = shlex.join(words)
        if finding.outcome in (*ALARMS, Outcome.SUSPECTED):
            finding.acknowledge = trailers.how_to_accept(finding)


def _benchmark(finding: Finding) -> str:
    """Return the name by which --bench selects it: of one without a verdict, compare's record has the title only."""
    return finding.name.partition("(")[0] if finding.metric == WHOLE else finding.name

"""Measure suspects afresh: base and head side by side, by `bench compare`, before anything counts as an alarm."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench_harness.alert import compare_records
from bench_harness.alert.findings import Finding, Outcome
from bench_harness.config import Config
from bench_harness.errors import ExitCode
from bench_harness.record import FILE_NAME, Record


@dataclass(frozen=True)
class Rerun:
    """What became of a fresh run: its record, or why there is none."""

    command: list[str]
    record: Path | None
    problem: str | None = None


def pattern(names: Iterable[str]) -> str:
    """Return a regular expression that fits these benchmarks, with whatever parameters, and no others."""
    return rf"^({'|'.join(re.escape(name) for name in sorted(set(names)))})(\(|$)"


def compare_command(base: str, head: str, names: Iterable[str], budget: str | None = None) -> list[str]:
    """Return the words of the `bench compare` that measures benchmarks afresh."""
    command = ["bench", "compare", base, head, "--bench", pattern(names)]
    return [*command, "--budget", budget] if budget else command


def rerun(base: str, head: str, names: Iterable[str], budget: str | None, out: Path, config: Path | None) -> Rerun:
    """Compare benchmarks in a process of its own; its progress goes to stderr, its record to `out`."""
    command = compare_command(base, head, names, budget)
    options = ["--out", os.fspath(out), *(["--asv-config", os.fspath(config)] if config else [])]
    # The same bench_harness as this one, whatever the folder and PATH.
    words = [sys.executable, "-m", "bench_harness", *command[1:], *options]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(done.stderr)
    path = out / FILE_NAME
    if done.returncode in (ExitCode.USAGE, ExitCode.NOT_MEASURED) or not path.is_file():
        said = done.stderr.strip().splitlines()
        return Rerun(command, None, said[-1] if said else f"it exited with {done.returncode}")
    return Rerun(command, path)


def is_doubtful(finding: Finding) -> bool:
    """Tell whether a fresh run is to settle a finding: it is suspected, or nothing excludes a change."""
    return finding.outcome in (Outcome.SUSPECTED, Outcome.UNDECIDED) and finding.must_decide


def replace_confirmed(findings: list[Finding], again: Rerun, config: Config) -> list[Finding]:
    """Return the findings with what was doubtful replaced by the fresh run; the noise history is kept.

    Of a benchmark that was measured afresh, all numbers are the fresh ones. Where asv has results of several
    environments, those of others than the one that was measured afresh stay as they are.
    """
    if again.record is None:
        return findings
    record = Record.read(again.record)
    fresh: dict[str, list[Finding]] = {}
    for one in compare_records.findings([(again.record, record)], config):
        fresh.setdefault(one.title, []).append(one)
    measured = (None, compare_records.environment(record))
    doubtful = {finding.title for finding in findings if is_doubtful(finding)} & set(fresh)
    replaced: list[Finding] = []
    for finding in findings:
        if finding.title not in doubtful or finding.environment not in measured:
            replaced.append(finding)
        elif finding.title in fresh:
            replaced += [_with_past(one, finding) for one in fresh.pop(finding.title)]
    return replaced


def _with_past(fresh: Finding, earlier: Finding) -> Finding:
    fresh.noise = fresh.noise or earlier.noise
    fresh.environment = earlier.environment
    if earlier.ratio is not None and earlier.source != compare_records.COMMAND:
        fresh.words = f"{fresh.words} ({earlier.source}: x {earlier.ratio:.3g})"
    return fresh

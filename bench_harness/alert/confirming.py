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
    """Return a regular expression that fits these benchmarks and no others."""
    return f"^({'|'.join(re.escape(name) for name in sorted(set(names)))})$"


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
    """Tell whether a fresh run is to settle a finding: asv's results suspect an alarm, or cannot exclude one."""
    return finding.source != compare_records.COMMAND and finding.outcome in (Outcome.SUSPECTED, Outcome.UNDECIDED)


def replace_confirmed(findings: list[Finding], again: Rerun, config: Config) -> list[Finding]:
    """Return the findings with suspects replaced by what the fresh run says; their noise history is kept."""
    if again.record is None:
        return findings
    fresh = compare_records.findings([(again.record, Record.read(again.record))], config)
    by_title: dict[str, list[Finding]] = {}
    for one in fresh:
        by_title.setdefault(one.title, []).append(one)
    replaced: list[Finding] = []
    for finding in findings:
        successors = by_title.pop(finding.title, []) if is_doubtful(finding) else []
        for one in successors:
            one.noise = one.noise or finding.noise
            one.words = f"{one.words} (asv: x {finding.ratio:.3g})" if finding.ratio else one.words
        replaced += successors or [finding]
    return replaced

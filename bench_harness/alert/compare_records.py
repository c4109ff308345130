"""Findings from records of `bench compare`: base and head side by side, every alarm confirmed by fresh rounds."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench_harness.alert.findings import Finding, Outcome
from bench_harness.config import BenchmarkRule, Config
from bench_harness.errors import RecordError, UsageError
from bench_harness.record import FILE_NAME, Record
from bench_harness.verdict.sides import WHOLE, Key

COMMAND = "compare"


def matching_records(root: Path, base: str, head: str, machine: str) -> list[tuple[Path, Record]]:
    """Return the records below `root` that compared exactly these commits on this machine, the newest first.

    A record that cannot be read is no evidence, and some other command's to complain about.
    """
    found = []
    for path in root.glob(f"*/*/{FILE_NAME}"):
        try:
            record = Record.read(path)
        except RecordError:
            continue
        if record.command == COMMAND and compared(record) == (base, head) and _machine(record) == machine:
            found.append((path, record))
    return sorted(found, key=lambda item: (item[1].started, str(item[0])), reverse=True)


def given_records(paths: Iterable[Path], base: str, head: str) -> list[tuple[Path, Record]]:
    """Read the records that a user named.

    Raises:
        UsageError: one is of another command, or of other commits.
        RecordError: one cannot be read.
    """
    found = []
    for path in paths:
        record = Record.read(path)
        if record.command != COMMAND:
            raise UsageError(f"{path}: --compare takes records of 'bench {COMMAND}', this is one of '{record.command}'")
        if compared(record) != (base, head):
            a, b = (commit[:12] if commit else "no commit" for commit in compared(record))
            raise UsageError(f"{path} compares {a} with {b}, not {base[:12]} with {head[:12]}")
        found.append((path / FILE_NAME if path.is_dir() else path, record))
    return found


def compared(record: Record) -> tuple[str | None, str | None]:
    """Return the commits that a record compares; None where a side is no commit."""
    sides = (record.results.get(side) for side in ("base", "head"))
    commits = [side.get("commit") if isinstance(side, dict) else None for side in sides]
    return commits[0], commits[1]


def findings(records: Iterable[tuple[Path, Record]], config: Config) -> list[Finding]:
    """Return the findings of several records; of a number that several hold, that of the first record counts.

    A benchmark that failed or was skipped stands there with all its numbers.
    """
    found: dict[tuple[str, str], Finding] = {}
    for path, record in records:
        known = set(found)
        whole = {title for title, _ in known}
        for finding in _of_record(path, record, config):
            hidden = finding.title in whole if finding.metric == WHOLE else (finding.title, WHOLE) in known
            if not hidden:
                found.setdefault((finding.title, finding.metric), finding)
    return list(found.values())


def _of_record(path: Path, record: Record, config: Config) -> Iterator[Finding]:
    rows = record.results.get("benchmarks")
    if not isinstance(rows, list):
        raise RecordError(f"{path}: field 'results.benchmarks' is missing, expected a list")
    for index, row in enumerate(rows):
        yield _checked(row, f"{path}: results.benchmarks[{index}]", record, config)
    skipped = record.results.get("skipped")
    for title, sides in (skipped if isinstance(skipped, dict) else {}).items():
        yield _skipped(str(title), sides, record)


def _checked(row: Any, where: str, record: Record, config: Config) -> Finding:
    try:
        return _finding(row, record, config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{where} is not as bench compare writes it: {type(error).__name__}: {error}") from error


def _finding(row: dict[str, Any], record: Record, config: Config) -> Finding:
    name, metric = str(row["name"]), str(row["metric"])
    params = {str(key): str(value) for key, value in dict(row.get("params") or {}).items()}
    base, head = compared(record)
    asked = Key.of_title(name) if metric == WHOLE else Key(name, tuple(params.items()), metric, "", "")
    finding = Finding(
        name,
        params,
        metric,
        row.get("unit"),
        base=row.get("a"),
        head=row.get("b"),
        ratio=row.get("ratio"),
        ci=_interval(row.get("ci")),
        confidence=row.get("confidence"),
        ci_from="rounds",
        outcome=_outcome(row),
        words=str(row.get("words") or ""),
        source=COMMAND,
        rule=_rule(row, config.rule_for(asked.benchmark, metric, [value for _, value in asked.params])),
        must_decide=bool(row.get("must_decide", True)),
        confirmed=bool(row.get("confirmed")),
        rounds=row.get("rounds"),
        samples=_samples(row.get("samples")),
        seconds=_seconds(record),
        machines=dict.fromkeys(("base", "head"), _machine(record)),
        load=_load(record),
        commits={"base": base or "", "head": head or ""},
    )
    if finding.outcome is Outcome.FAILED:
        finding.words = f"fails at head, works at base: {row['failed']['b']}"
    return finding


def _skipped(title: str, sides: Any, record: Record) -> Finding:
    """Return what tells of a benchmark that a side left out on purpose; params stay in its title."""
    reasons = sides if isinstance(sides, dict) else {}
    where = " and ".join({"a": "base", "b": "head"}.get(side, side) for side in sorted(reasons))
    base, head = compared(record)
    return Finding(
        title,
        {},
        WHOLE,
        outcome=Outcome.SKIPPED,
        words=f"n/a: skipped at {where}: {'; '.join(dict.fromkeys(map(str, reasons.values())))}",
        source=COMMAND,
        machines=dict.fromkeys(("base", "head"), _machine(record)),
        commits={"base": base or "", "head": head or ""},
    )


def _outcome(row: dict[str, Any]) -> Outcome:
    failed = row.get("failed") or {}
    if failed:
        return Outcome.FAILED if list(failed) == ["b"] else Outcome.SKIPPED
    verdict = row.get("verdict")
    return Outcome.NOT_MEASURED if verdict is None else Outcome(verdict)


def _rule(row: dict[str, Any], rule: BenchmarkRule) -> BenchmarkRule:
    """Return the rule that the verdict was found by: what the record says of it."""
    return dataclasses.replace(
        rule,
        effect=row.get("effect") or rule.effect,
        better=row.get("better") or rule.better,
        gate=bool(row.get("gate", rule.gate)),
    )


def _interval(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2 or None in value:
        return None
    return float(value[0]), float(value[1])


def _samples(value: Any) -> int | None:
    if not isinstance(value, dict):
        return None
    return sum(len(side) for side in value.values() if isinstance(side, list)) or None


def _certificate(record: Record) -> dict[str, Any]:
    value = record.results.get("certificate")
    return value if isinstance(value, dict) else {}


def _seconds(record: Record) -> float | None:
    value = _certificate(record).get("body_s", record.wall_s)
    return round(value, 3) if isinstance(value, (int, float)) else None


def _load(record: Record) -> str | None:
    value = _certificate(record).get("load", record.environment.get("load"))
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return None if value is None else str(value)


def _machine(record: Record) -> str | None:
    machine = record.environment.get("machine")
    return machine if isinstance(machine, str) else None


def environment(record: Record) -> str | None:
    """Return the name of asv's environment that a comparison was measured in."""
    sides = record.results.get("sides")
    name = sides.get("environment") if isinstance(sides, dict) else None
    return name if isinstance(name, str) else None


def relative(path: Path) -> str:
    """Return a path as seen from the working folder, with '/'."""
    return Path(os.path.relpath(path)).as_posix()

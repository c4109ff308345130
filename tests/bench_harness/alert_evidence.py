"""Results as asv writes them, and records of `bench alert`, for tests that need many of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_harness.alert import findings, gathering
from bench_harness.alert.findings import Finding, Noise, Outcome
from bench_harness.alert.gathering import Evidence, Request
from bench_harness.config import Config
from bench_harness.record import Record

BASE, HEAD = "a" * 40, "b" * 40
MACHINE = "box"
CONFIG = {"version": 1, "project": "toy", "repo": ".", "environment_type": "existing", "results_dir": "results"}
COLUMNS = ["result", "params", "version", "started_at", "duration"]


def write_suite(folder: Path, types: Mapping[str, tuple[str, str]], params: Mapping[str, Sequence[Any]] = {}) -> None:
    """Write asv.conf.json and benchmarks.json; `types` maps a benchmark to (type, unit)."""
    (folder / "results").mkdir(parents=True, exist_ok=True)
    (folder / "asv.conf.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    suite: dict[str, Any] = {"version": 2}
    for name, (kind, unit) in types.items():
        names = ["size"] if name in params else []
        suite[name] = {"name": name, "type": kind, "unit": unit, "param_names": names, "params": [], "version": "v1"}
    (folder / "results" / "benchmarks.json").write_text(json.dumps(suite), encoding="utf-8")


def write_results(
    folder: Path,
    commit: str,
    values: Mapping[str, Any],
    *,
    machine: str = MACHINE,
    date: int = 0,
    environment: str = "env",
    params: Mapping[str, Sequence[str]] = {},
    versions: Mapping[str, str] = {},
) -> Path:
    """Write the results of a commit; a value is a number, None (failed), NaN (skipped), or a list over the params."""
    results = {
        name: [
            value if isinstance(value, list) else [value],
            [list(params[name])] if name in params else [],
            versions.get(name, "v1"),
            1_700_000_000_000 + date,
            1.5,
        ]
        for name, value in values.items()
    }
    document = {
        "version": 2,
        "commit_hash": commit,
        "env_name": environment,
        "date": 1_700_000_000_000 + date * 3_600_000,
        "params": {"machine": machine, "python": "3.11"},
        "python": "3.11",
        "requirements": {},
        "env_vars": {},
        "result_columns": COLUMNS,
        "results": results,
        "durations": {},
    }
    path = folder / "results" / machine / f"{commit[:8]}-{environment}.json"
    path.parent.mkdir(exist_ok=True)
    (path.parent / "machine.json").write_text(json.dumps({"machine": machine, "version": 1}), encoding="utf-8")
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def finding(name: str = "suite.time_x", outcome: Outcome = Outcome.REGRESSION, **values: Any) -> Finding:
    """Return a finding with every field filled in."""
    known: dict[str, Any] = {
        "params": {"size": "1"},
        "metric": "cpu_s",
        "unit": "seconds",
        "base": 0.001,
        "head": 0.0011,
        "ratio": 1.1,
        "ci": (1.08, 1.12),
        "confidence": 0.95,
        "ci_from": "rounds",
        "words": "worse",
        "noise": Noise(0.02, 12, 0.05),
        "confirmed": True,
        "rounds": 12,
        "samples": 24,
        "seconds": 3.25,
        "machines": {"base": MACHINE, "head": MACHINE},
        "load": "0.5",
        "commits": {"base": BASE, "head": HEAD},
        "profiles": {"base": [], "head": [{"command": "profile", "target": "load", "path": "profiles/load/x"}]},
        "rerun": f"bench compare {BASE[:12]} {HEAD[:12]} --bench '^(suite\\.time_x)$'",
        "acknowledge": "Perf-Expect: suite.time_x(1) slower<=1.11x",
    }
    return Finding(name, outcome=outcome, **(known | values))


def record_of(found: Sequence[Finding], warnings: Sequence[str] = (), loud: Sequence[str] = ()) -> Record:
    """Return the record of `bench alert` with these findings."""
    ordered = findings.worst_first(found)
    results = {
        "base": {"commit": BASE, "label": "main"},
        "head": {"commit": HEAD, "label": HEAD},
        "counts": findings.counts(ordered),
        "benchmarks": [one.to_json() for one in ordered],
        "steps": [],
        "loud": list(loud),
        "evidence": {"compare": [], "asv": None},
        "confirmation": None,
        "exit_code": int(findings.exit_code(ordered)),
    }
    environment = {"machine": MACHINE, "cpu": {"model": "a CPU"}, "load": {"1_min": 0.5}}
    record = Record("alert", ["alert"], "2026-01-31T12:00:00Z", 1.0, True, environment, list(warnings), results=results)
    return record


SUITE = {
    "s.time_a": ("time", "seconds"),
    "s.track_b": ("track", "bytes"),
    "s.peakmem_c": ("peakmemory", "bytes"),
    "s.P.time_p": ("time", "seconds"),
}
PARAMS = {"s.P.time_p": ["1", "'two'"]}
FINE = {"s.time_a": 0.010, "s.track_b": 1000.0, "s.peakmem_c": 5e7, "s.P.time_p": [0.1, 0.2]}


def results(project: Path, commit: str, changes: dict[str, Any] | None = None, **options: Any) -> Path:
    """Write the results of a commit: all as usual but for `changes`; ... is none."""
    values = {**FINE, **(changes or {})}
    values = {name: value for name, value in values.items() if value is not ...}
    return write_results(project, commit, values, params=PARAMS, **options)


def gather(project: Path, **options: Any) -> Evidence:
    config = options.pop("config", Config(profiles=project / "profiles"))
    given = {"machine": MACHINE, "asv_config": project / "asv.conf.json", **options}
    return gathering.gather(Request(BASE, HEAD, config, project, **given))


def by_label(found: Evidence) -> dict[str, Finding]:
    return {one.label: one for one in found.findings}

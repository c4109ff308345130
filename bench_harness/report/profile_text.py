"""The terminal report of `bench profile`, drawn from its record alone."""

import shlex
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from bench_harness.profiles.waiting import for_whom
from bench_harness.record import Record
from bench_harness.report import deaths_text, pipeline_text, units
from bench_harness.report.summary_text import conditions
from bench_harness.report.tables import new_table, print_parts

TOP_OWN = 12
TOP_OTHERS = 8
MAX_PROCESSES = 24
MAX_PLACE = 56
LEAST_OF_THREADS = 0.05  # of the time captured in their processes' main threads


def print_profile(record: Record, where: str) -> None:
    """Print the report of a run in folder `where`, at most 100 columns wide."""
    print_parts(parts(record, where))


def parts(record: Record, where: str) -> Iterable[Any]:
    """Yield the lines and tables of the report."""
    results = record.results
    yield conditions(record.environment)
    yield from _ended(results)
    yield from pipeline_text.parts(results)
    if record.workers:
        yield f"\n{_delivered(record.workers)}"
    if results.get("processes"):
        yield from _processes(results["processes"], results.get("phases") or [])
    yield from _waiting(results.get("waiting") or [], results.get("captured") or {})
    for role in _roles(results):
        yield from _functions(results, role)
    yield from _opening(record, where)
    for warning in record.warnings:
        yield f"warning: {warning}"


def _ended(results: Mapping[str, Any]) -> Iterable[str]:
    """Yield how the target ended, and what it took with the engine and, if measured, without."""
    wall, ended = results.get("wall") or {}, results.get("exit") or {}
    if wall.get("with_engine_s") is None:
        return
    how = "" if not ended else f"killed by {ended['signal']}, " if ended["signal"] else f"exit code {ended['code']}, "
    line = f"{results.get('target')} under {results.get('engine')}: {how}{units.seconds(wall['with_engine_s'])}"
    cpu_s = wall.get("cpu_with_engine_s")
    line += "" if cpu_s is None else f", {units.seconds(cpu_s)} CPU"
    if wall.get("without_engine_s"):
        line += f"; without the engine {units.seconds(wall['without_engine_s'])} (x {wall['ratio']:.2f}"
        line += f", CPU x {wall['cpu_ratio']:.2f})" if wall.get("cpu_ratio") else ")"
    yield line


def _delivered(workers: Mapping[str, Any]) -> str:
    if not workers["expected"]:
        return "no worker processes were started"
    line = f"{workers['delivered']} of {workers['expected']} workers delivered"
    missing = [_missing(row) for row in workers["missing"]]
    return "\n".join([f"{line}; missing:" if missing else line, *missing, *deaths_text.lines(workers)])


def _missing(row: Mapping[str, Any]) -> str:
    who = [row.get("loader") or row.get("name") or "process"]
    who += [f"{name} {row[name]}" for name in ("worker", "epoch", "pid") if row.get(name) is not None]
    who += [f"of rank {row['rank']}"] if row.get("rank") else []
    left = "counted up to its last dump" if row.get("partial") else "nothing of it is counted"
    return f"  {' '.join(map(str, who))}: {row.get('reason')}; {left}"


def _processes(rows: list[dict[str, Any]], phases: list[dict[str, Any]]) -> Iterable[Any]:
    right = ["wall", "set-up", "first", "steady", "CPU", "own memory"]
    table = new_table("Processes", "process", "delivered", *right, right=right)
    lasted = {row["process"]: row for row in phases}
    for row in rows[:MAX_PROCESSES]:
        phase = lasted.get(row["label"], {})
        table.add_row(
            row["label"],
            _end(row),
            _seconds(row.get("wall_s")),
            *(_seconds(phase.get(f"{name}_s")) for name in ("setup", "first", "steady")),
            _seconds(row.get("cpu_s")),
            units.quantity(row.get("uss_bytes"), "bytes"),
        )
    yield table
    if len(rows) > MAX_PROCESSES:
        yield f"  ... {len(rows) - MAX_PROCESSES} more in record.json"


def _end(row: Mapping[str, Any]) -> str:
    if row.get("exception"):
        return str(row["exception"])
    if row.get("final"):
        return "yes"
    return "partial" if row.get("files") or row.get("wall_s") else "missing"


def _seconds(value: float | None) -> str:
    return "-" if value is None else units.seconds(value) if value else "0"


def _waiting(rows: list[dict[str, Any]], roles: Collection[str]) -> Iterable[str]:
    lines = []
    for row in rows:
        steady = bool(row.get("steady_seconds"))
        seconds, share = (row["steady_seconds"], row["steady_share"]) if steady else (row["seconds"], row["share"])
        if share >= 0.001:
            of = "of its steady state" if steady else "of its captured time"
            much = f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"
            whom = for_whom(row["kind"], roles)
            lines.append(f"{row['process']} waited {units.seconds(seconds)} {whom} ({much} {of})")
    if lines:
        yield "\n" + "\n".join(lines)


def _roles(results: Mapping[str, Any]) -> list[str]:
    """Return the roles to show; other threads than the main ones if they worked for a noticeable time."""
    found = {row["process"] for row in results.get("functions") or []}
    captured = results.get("captured") or {}
    roles = []
    for role in ("main", "workers", "processes"):
        threads = f"{role} threads"
        least_s = LEAST_OF_THREADS * captured.get(role, {}).get("seconds", 0.0)
        shown = threads in found and captured.get(threads, {}).get("seconds", 0.0) >= least_s
        roles += [each for each, is_shown in ((role, role in found), (threads, shown)) if is_shown]
    return roles


def _functions(results: Mapping[str, Any], role: str) -> Iterable[Any]:
    rows = [row for row in results["functions"] if row["process"] == role]
    captured = (results.get("captured") or {}).get(role) or _captured(results, role)
    # Without batches there is no steady state: then the whole run is shown.
    prefix = "steady_" if captured.get("steady_seconds") else ""
    whole = captured[f"{prefix}seconds"]
    rows = sorted((row for row in rows if row[f"{prefix}cumtime_s"]), key=lambda row: -row[f"{prefix}tottime_s"])
    when = "steady state" if prefix else "whole run"
    for kind, own, count in (("own functions", True, TOP_OWN), ("others", False, TOP_OTHERS)):
        chosen = [row for row in rows if row["own"] == own]
        if chosen:
            title = f"{_titled(role)}: {kind}, {when} of {units.seconds(whole)}{_added_up(results, role)}"
            yield _table(title, chosen[:count], prefix, whole)


def _titled(role: str) -> str:
    return f"other threads of {role.removesuffix(' threads')}" if role.endswith(" threads") else role


def _added_up(results: Mapping[str, Any], role: str) -> str:
    """Return over what seconds are added up, if over more than one thread."""
    roles = {"main": "main", "workers": "worker", "processes": "process"}
    count = sum(row.get("role") == roles[role.removesuffix(" threads")] for row in results.get("processes") or [])
    if role.endswith(" threads"):
        return " over all of them"
    if count > 1:
        return f" over {count} processes"
    # py-spy samples all threads of a process alike.
    return " over all its threads" if results.get("engine") == "py-spy" else ""


def _captured(results: Mapping[str, Any], role: str) -> dict[str, float]:
    """Return what shares are of, from the rows: for records that do not say."""
    captured = {}
    for prefix in ("", "steady_"):
        work = sum(row[f"{prefix}tottime_s"] for row in results["functions"] if row["process"] == role)
        waited = sum(row.get(f"{prefix}seconds", 0.0) for row in results.get("waiting") or [] if row["process"] == role)
        captured[f"{prefix}seconds"] = work + waited
    return captured


def _table(title: str, rows: list[dict[str, Any]], prefix: str, whole: float) -> Any:
    right = ["share", "own", "cumulative", "calls"]
    table = new_table(title, *right, "function", right=right)
    for row in rows:
        own_s, total_s, calls = (row[f"{prefix}{name}"] for name in ("tottime_s", "cumtime_s", "calls"))
        table.add_row(
            f"{own_s / whole if whole else 0:.1%}",
            _seconds(own_s),
            _seconds(total_s),
            "-" if calls is None else f"{calls:,}",
            place(row),
        )
    return table


def place(row: Mapping[str, Any]) -> str:
    """Return name (file:line) of a row of functions, the folders of a long path left out."""
    file = row["file"]
    if file in ("", "~", "<built-in>"):
        return str(row["name"])
    room = MAX_PLACE - len(f"{row['name']} (../:{row['line']})")
    name, *folders = reversed(PurePosixPath(file).parts)
    for folder in folders:
        if len(name) + len(folder) >= room:
            name = f"../{name}"
            break
        name = f"{folder}/{name}" if folder != "/" else f"/{name}"
    return f"{row['name']} ({name}:{row['line']})"


def _opening(record: Record, where: str) -> Iterable[str]:
    yield f"\nArtifacts in {where}: " + ", ".join(["record.json", *record.artifacts.values()])
    commands = list(_commands(record.artifacts, where))
    if commands:
        yield "Open them:\n" + "\n".join(f"  {command}" for command in commands)


def _commands(artifacts: Mapping[str, str], where: str) -> Iterable[str]:
    def path(name: str) -> str:
        return shlex.quote(str(PurePosixPath(where) / name))

    if "text" in artifacts:
        yield f"less {path(artifacts['text'])}"
    merged = artifacts.get("merged")
    if merged and merged.endswith(".prof"):
        yield f"python -m pstats {path(merged)}"
        yield f"snakeviz {path(merged)}"
    stacks = artifacts.get("speedscope", merged)
    if stacks and stacks.endswith(".speedscope.json"):
        yield f"drop {path(stacks)} onto https://www.speedscope.app"
    if "html" in artifacts:
        yield f"xdg-open {path(artifacts['html'])}"

"""Which asv values a summary shows: the headlines of one commit, and a row per landmark commit."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.config import Shown, nearest
from bench_harness.errors import UsageError
from bench_harness.history.asv_results import AsvResults, Commit, Measurement

NEWEST_LABEL = "this one"


def choose_machine(results: AsvResults, here: str, wanted: str | None, warnings: list[str]) -> str:
    """Return the machine whose results are shown: the one asked for, this one, or the newest with a warning."""
    machines = results.machines()
    if wanted is not None and wanted not in machines:
        raise UsageError(f"no asv results of machine '{wanted}' in {results.folder}; {nearest(wanted, machines)}")
    if wanted is not None or here in machines or not machines:
        return wanted or here
    warnings.append(f"no asv results of this machine ({here}): showing those of {machines[0]}")
    return machines[0]


def choose_commit(
    results: AsvResults, machine: str, wanted: str | None, head: str | None, warnings: list[str]
) -> Commit | None:
    """Return the commit asked for, else HEAD, else the newest commit measured on `machine` with a warning."""
    if wanted is not None:
        found = results.at(wanted, machine)
        if found is None:
            known = ", ".join(sorted({commit.commit[:8] for commit in results.commits})) or "none"
            raise UsageError(f"no asv results of commit '{wanted}' in {results.folder}; measured: {known}")
        return found
    at_head = results.at(head, machine) if head else None
    if at_head is not None and at_head.machine == machine:
        return at_head
    newest = results.latest(machine)
    if newest is not None:
        name = f"HEAD {head[:8]}" if head else "HEAD"
        warnings.append(f"{name} has no asv results on {machine}: showing {newest.commit[:8]}; run: asv run HEAD^!")
    return newest


def headline_rows(results: AsvResults, commit: Commit, shown: Iterable[Shown]) -> list[dict[str, Any]]:
    """Return results.headlines; nothing configured means every benchmark of the commit."""
    chosen = list(shown) or [Shown(name, name) for name in results.names(commit)]
    return [row for item in chosen for row in _headlines_of(results, commit, item)]


def _headlines_of(results: AsvResults, commit: Commit, item: Shown) -> list[dict[str, Any]]:
    found = results.values(commit, item.benchmark, item.params)
    where = {"commit": commit.commit, "machine": commit.machine, "date": commit.date}
    # One combination keeps the user's label, several are told apart by their parameters.
    return [
        {"label": item.label if len(found) == 1 else _with_params(item.label, one), **_json(one), **where}
        for one in found
    ]


def _with_params(label: str, measurement: Measurement) -> str:
    return f"{label} ({', '.join(measurement.params.values())})"


def _json(one: Measurement) -> dict[str, Any]:
    row = {"benchmark": one.benchmark, "params": one.params, "value": one.value, "unit": one.unit}
    return row if one.why is None else {**row, "why": one.why}


def history_rows(
    results: AsvResults,
    landmarks: Mapping[str, str],
    current: Commit | None,
    machine: str,
    shown: Iterable[Shown],
    warnings: list[str],
) -> list[dict[str, Any]]:
    """Return results.history: a row per landmark, the current commit last; ratios are to the first row with a value."""
    shown = list(shown)
    if not shown:
        return []
    rows = [_landmark_row(results, label, prefix, machine, shown, warnings) for label, prefix in landmarks.items()]
    if current is not None and all(row["commit"] != current.commit for row in rows):
        rows.append(_row(results, NEWEST_LABEL, current, shown))
    _add_ratios(rows)
    machines = sorted({row["machine"] for row in rows if row["machine"]})
    if len(machines) > 1:
        warnings.append(
            f"the history holds several machines ({', '.join(machines)}): each ratio is to the first row of its machine"
        )
    return rows


def _landmark_row(
    results: AsvResults, label: str, prefix: str, machine: str, shown: list[Shown], warnings: list[str]
) -> dict[str, Any]:
    commit = results.at(prefix, machine)
    if commit is not None:
        return _row(results, label, commit, shown)
    warnings.append(f"landmark '{label}': no asv results of {prefix[:12]}; run: asv run {prefix[:12]}^!")
    empty = [Measurement(item.benchmark, {}, None, None, "no results") for item in shown]
    values = [{"label": item.label, **_json(one)} for item, one in zip(shown, empty, strict=True)]
    return {"label": label, "commit": prefix, "date": None, "machine": None, "values": values}


def _row(results: AsvResults, label: str, commit: Commit, shown: list[Shown]) -> dict[str, Any]:
    values = [{"label": item.label, **_json(_first_value(results, commit, item))} for item in shown]
    return {"label": label, "commit": commit.commit, "date": commit.date, "machine": commit.machine, "values": values}


def _first_value(results: AsvResults, commit: Commit, item: Shown) -> Measurement:
    found = results.values(commit, item.benchmark, item.params)
    return next((one for one in found if one.value is not None), found[0])


def _add_ratios(rows: list[dict[str, Any]]) -> None:
    """Add to each value its ratio to the first one of its column on the same machine: others are not of the code."""
    for column in range(len(rows[0]["values"]) if rows else 0):
        first: dict[str, float] = {}
        for row in rows:
            value = row["values"][column]
            if value["value"]:
                first.setdefault(row["machine"], value["value"])
            known = value["value"] is not None and row["machine"] in first
            value["ratio"] = value["value"] / first[row["machine"]] if known else None


def missing_warnings(results: AsvResults, commit: Commit, shown: Iterable[Shown]) -> list[str]:
    """Return what an interrupted or failing asv run left open at `commit`, and names that look misspelt."""
    lines = []
    absent = sorted(set(results.benchmarks) - set(results.names(commit)))
    if absent:
        lines.append(
            f"asv: {len(absent)} of {len(results.benchmarks)} benchmarks not measured at {commit.commit[:8]} "
            f"(interrupted?): {_first(absent)}"
        )
    failed = [
        name for name in results.names(commit) if any(one.why == "failed" for one in results.values(commit, name))
    ]
    if failed:
        lines.append(f"asv: failed at {commit.commit[:8]}: {_first(failed)}; run: asv run --show-stderr HEAD^!")
    known = {*results.benchmarks, *(name for one in results.commits for name in results.names(one))}
    unknown = sorted({item.benchmark for item in shown} - known)
    return lines + [f"asv has no benchmark '{name}'; {nearest(name, sorted(known))}" for name in unknown]


def _first(names: list[str], count: int = 3) -> str:
    more = f", ... {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more

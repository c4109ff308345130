"""The text and the Markdown of `bench compare`, drawn from its record alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.record import Record
from bench_harness.report import units
from bench_harness.report.tables import new_table, print_parts

COLUMNS = ("benchmark", "metric", "a", "b", "ratio [CI]", "verdict", "rounds")
_UNITS = {"s": "seconds", "bytes": "bytes"}


def print_comparison(record: Record, folder: str) -> None:
    """Print the report, at most 100 columns wide."""
    print_parts(parts(record, folder))


def parts(record: Record, folder: str) -> Iterable[Any]:
    """Yield the lines and tables of the report."""
    results = record.results
    for name, side in (("a", "base"), ("b", "head")):
        yield f"{name} ({side}): {described(results[side])}"
    table = new_table("Verdicts, ratio = b / a", *COLUMNS, right=COLUMNS[2:5] + COLUMNS[6:])
    for row in results["benchmarks"]:
        table.add_row(*cells(row))
    yield table
    yield ""
    for row in results["benchmarks"]:
        yield f"{named(row)} {row['metric']}: {row['words']}"
    yield from skip_lines(results)
    yield ""
    yield from certificate_lines(results["certificate"])
    yield f"\nArtifacts in {folder}: record.json"
    if not record.completed:
        yield "warning: it did not run to its end"
    for warning in record.warnings:
        yield f"warning: {warning}"


def markdown(record: Record) -> str:
    """Return the report as Markdown."""
    return "\n".join(_markdown_lines(record))


def _markdown_lines(record: Record) -> Iterable[str]:
    results = record.results
    for name, side in (("a", "base"), ("b", "head")):
        yield f"- **{name}** ({side}): {_escaped(described(results[side]))}"
    yield from ("", f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}")
    for row in results["benchmarks"]:
        yield f"| {' | '.join(map(_escaped, cells(row)))} |"
    yield ""
    yield from (
        f"- {_escaped(named(row))} {_escaped(row['metric'])}: {_escaped(row['words'])}" for row in results["benchmarks"]
    )
    yield from (f"- {_escaped(line)}" for line in skip_lines(results))
    yield ""
    yield from (_escaped(line) for line in certificate_lines(results["certificate"]))
    if not record.completed:
        yield "\n**It did not run to its end.**"
    for warning in record.warnings:
        yield f"- warning: {_escaped(warning)}"


def skip_lines(results: Mapping[str, Any]) -> Iterable[str]:
    """Yield what was not compared, and why: what goes unseen is taken for fine."""
    for title, sides in sorted(results.get("skipped", {}).items()):
        where = "both sides" if len(sides) > 1 else "head" if "b" in sides else "base"
        yield f"{title}: not compared, skipped on {where}: {'; '.join(dict.fromkeys(sides.values()))}"


def _escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, in one cell: no new line, markup, link, image or mention."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"@(?=\w)", "&#64;", line)
    return re.sub(r"[\\|*`\[\]]|(?<!\w)_|_(?!\w)", r"\\\g<0>", line)


def described(side: Mapping[str, Any]) -> str:
    """Return a side in words: its label, and the commit where it is one."""
    commit, label = side.get("commit"), str(side.get("label") or "")
    return label if not commit or commit.startswith(label or "-") else f"{label} ({commit[:12]})"


def named(row: Mapping[str, Any]) -> str:
    """Return the benchmark with its parameters."""
    params = ", ".join(f"{name}={value}" for name, value in row["params"].items())
    return f"{row['name']}({params})" if params else str(row["name"])


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a number's row."""
    verdict = str(row["verdict"])
    if row.get("failed"):
        verdict = "FAILED" if "b" in row["failed"] else "no base"
    if row["verdict"] == "regression":
        verdict = "REGRESSION" if row["gate"] else "regression, no gate"
    unit = _UNITS.get(row["unit"], row["unit"])
    a, b = (amount(row[side], unit) for side in ("a", "b"))
    return [named(row), row["metric"], a, b, ratio_cell(row), verdict, str(row["rounds"])]


def amount(value: float | None, unit: str) -> str:
    """Return a value with its unit; four digits, for changes of a percent are to be seen."""
    if value is None:
        return "-"
    if unit == "seconds" or unit == "bytes":
        scale, name = units.scale_of(value, unit)
        return f"{units.digits(value / scale, 4)} {name}"
    return f"{units.digits(value, 4)} {unit}".rstrip()


def ratio_cell(row: Mapping[str, Any]) -> str:
    """Return "1.052 [1.031, 1.074]"; open ends and ratios that do not exist are dashes."""
    if row["ratio"] is None:
        return "-"
    low, high = row["ci"]
    if low == high == row["ratio"]:
        return f"{row['ratio']:.4f} exactly"
    return f"{row['ratio']:.3f} [{_end(low)}, {_end(high)}]"


def _end(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def certificate_lines(certificate: Mapping[str, Any]) -> Iterable[str]:
    """Yield the noise certificate in words."""
    if "source" in certificate:
        yield from _file_lines(certificate)
        return
    yield f"Noise certificate: {_control(certificate['aa'])}."
    load = certificate["load"]
    others = "load of others unknown" if load is None else f"others kept {load:g} of {certificate['cores']} cores busy"
    yield f"  {others}; {certificate['cpu']}, SIMD {certificate['simd']}."
    times = ", ".join(
        f"{words} {units.seconds(certificate[name])}"
        for name, words in (("body_s", "bodies"), ("startup_s", "start-up"), ("build_s", "builds"))
        if certificate[name] or name == "body_s"
    )
    wall, seed = units.seconds(certificate["wall_s"]), certificate["seed"]
    yield f"  {certificate['rounds']} rounds in {wall}: {times}. Seed {seed}."


def _file_lines(certificate: Mapping[str, Any]) -> Iterable[str]:
    """Yield what is known of values that were measured elsewhere."""
    if certificate["source"] == "values":
        yield f"Noise certificate: none; {certificate['values']} values of {', '.join(certificate['files'])}."
        return
    a, b = (len(certificate["files"][side]) for side in ("a", "b"))
    turns = ", in turns" if certificate["took_turns"] else "" if a == b == 1 else ", not in turns"
    found, before = (certificate[name] for name in ("process_sd", "process_sd_beforehand"))
    seen = "is unknown from one file" if found is None else f"was {100 * found:.2g} %"
    yield f"Noise certificate: {a} file{'s' * (a != 1)} of base and {b} of head{turns}."
    yield f"  Each file counts once, by the {certificate['statistic']} of its rounds."
    yield f"  How much processes differ {seen} (sd); {100 * before:.2g} % was taken for known beforehand."


def _control(aa: Mapping[str, Any]) -> str:
    if not aa["numbers"]:
        return "too few rounds for a control of base against base"
    furthest = aa["furthest"]
    low, high = (_end(end) for end in furthest["ci"])
    where = f" ({named(furthest)} {furthest['metric']})" if aa["numbers"] > 1 else ""
    said = f"each side against itself {furthest['ratio']:.3f} [{low}, {high}]{where}"
    if aa["alarms"]:
        return f"{said}; {aa['alarms']} of {aa['numbers']} would have raised an alarm, before confirming"
    return f"{said}, no alarm"

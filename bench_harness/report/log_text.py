"""The change log as Markdown and as CSV, drawn from a record's results alone."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench_harness.report import units

COLUMNS = (
    "benchmark (parameters)",
    "mean",
    "sd",
    "n",
    "95 % CI",
    "ratio to the row before [95 % CI]",
    "verdict",
    "change",
    "commit, date",
)
_RIGHT = ("mean", "sd", "n")
CSV_COLUMNS = (
    "benchmark",
    "machine",
    "environment",
    "version",
    "unit",
    "commit",
    "date",
    "mean",
    "sd",
    "n",
    "samples",
    "ci_low",
    "ci_high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "verdict",
    "change",
    "source",
    "began",
)


def markdown(results: Mapping[str, Any]) -> str:
    """Return all tables as Markdown; every line ends with a newline."""
    return "".join(f"{line}\n" for table in results["tables"] for line in _table(table))


def alarms(results: Mapping[str, Any]) -> Iterable[str]:
    """Yield why the command exits with 1."""
    for row in results["worse"]:
        yield f"worse: {row['benchmark']} at {row['commit'][:12]} on {row['machine']}, x {ratio(row['ratio'])}"
    for row in results["failed"]:
        yield f"fails: {row['benchmark']} at {row['commit'][:12]} on {row['machine']}, and did not before"
    for row in results["unmet"]:
        yield (
            f"not as commit {row['announced_by'][:12]} expected ({row['expected']}): {row['benchmark']} "
            f"at {row['commit'][:12]} on {row['machine']}, x {ratio(row['ratio'])}"
        )


def _table(table: Mapping[str, Any]) -> Iterable[str]:
    yield f"### {_code(table['benchmark'])}"
    yield ""
    if table["began"]:
        yield f"Not comparable with the table before: {_escaped(table['began'])}."
    yield _conditions(table)
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'|'.join('---:' if name in _RIGHT else '---' for name in COLUMNS)}|"
    for block in table["blocks"]:
        above = None
        for row in block["rows"]:
            yield f"| {' | '.join(_cells(block, row, table['unit'], above))} |"
            above = row["commit"] if row["mean"] is not None else above
    yield ""
    steps = [_step(block, step) for block in table["blocks"] for step in block["steps"]]
    steps += [_refuted(block, step) for block in table["blocks"] for step in block["refuted"]]
    if steps:
        yield from (*steps, "")


def _conditions(table: Mapping[str, Any]) -> str:
    margins = sorted({block["margin"] for block in table["blocks"]})
    pieces = (
        f"Machine {_code(table['machine'])}",
        f"environment {_code(table['environment'])}",
        f"benchmark version {_code(table['version'][:12])}" if table["version"] else "no benchmark version",
        f"margin {' and '.join(f'{100 * margin:.3g} %' for margin in margins)}",
    )
    return f"{'; '.join(pieces)}."


def _cells(block: Mapping[str, Any], row: Mapping[str, Any], unit: str | None, above: str | None) -> Sequence[str]:
    def shown(value: float | None) -> str:
        return units.quantity(value, unit)

    # Of times without samples there is only asv's own value.
    mean = f"{shown(row['mean'])}{' (median)' * (row['n'] is None)}"
    span = f"{shown(row['ci'][0])} to {shown(row['ci'][1])}" if row["ci"] else "-"
    return (
        _code(block["title"]),
        row["why"] or mean,
        shown(row["sd"]),
        "-" if row["n"] is None else str(row["n"]),
        span,
        _ratio(row, above),
        _escaped(_verdict(row)),
        _escaped(row["change"]) or "-",
        f"{row['commit'][:12]}{', ' * bool(row['date'])}{row['date'][:10]}",
    )


def _ratio(row: Mapping[str, Any], above: str | None) -> str:
    if row["ratio"] is None:
        return "-"
    other_row = f" to {row['previous'][:12]}" if row["previous"] != above else ""
    return f"{ratio(row['ratio'])}{_span(row['ratio_ci'])}{' same job' * row['same_job']}{other_row}"


def _span(ends: Sequence[float | None] | None) -> str:
    if ends is None:
        return ""
    low, high = ends
    return f" [{ratio(low or 0.0)}, {'inf' if high is None else ratio(high)}]"


def ratio(value: float) -> str:
    """Return a ratio with three digits after the point, small and large ones with three digits in all."""
    return f"{value:.3f}" if value == 0 or 0.1 <= value < 10 else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _verdict(row: Mapping[str, Any]) -> str:
    expected = [f"{'as' if one['met'] else 'NOT as'} expected: {one['text']}" for one in row["expected"]]
    return "; ".join([row["verdict"] or "-", *expected])


def _step(block: Mapping[str, Any], step: Mapping[str, Any]) -> str:
    between = len(step["commits_between"])
    line = f"- Step of {_code(block['title'])}: {_where(step)}"
    line += f", with {between} unmeasured commit{'s' * (between > 1)} between them" if between else ""
    return f"{line}{', compared in one job' if step['same_job'] else ''}"


def _refuted(block: Mapping[str, Any], step: Mapping[str, Any]) -> str:
    low, high = step["same_job_ci"]
    return (
        f"- No step of {_code(block['title'])}: {_where(step)} is the machine's; in one job the commits are "
        f"{ratio(low)} to {ratio(high)} apart"
    )


def _where(step: Mapping[str, Any]) -> str:
    ends = f"between {step['last_good'][:12]} and {step['first_bad'][:12]}"
    return f"x {ratio(step['ratio'])}{_span(step['ci'])} {ends}"


def _code(text: str) -> str:
    """Return a name in the type of code: no escapes but for what ends a line, a cell, the code or the block of a file.

    That block ends with a comment of HTML, which a parameter may hold.
    """
    line = " ".join(text.splitlines()).replace("<!--", "<! --")
    return f"`{line.replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, in one cell: what a commit says must not end a table or a comment."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\|*`\[\]]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)


def as_csv(results: Mapping[str, Any]) -> str:
    """Return one line per row, with all digits."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in results["tables"]:
        for block in table["blocks"]:
            writer.writerows(_csv_row(table, block, row) for row in block["rows"])
    return stream.getvalue()


def _csv_row(table: Mapping[str, Any], block: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["ci"] or (None, None)
    ratio_low, ratio_high = row["ratio_ci"] or (None, None)
    of_table = {name: table[name] for name in ("machine", "environment", "version", "unit", "began")}
    of_row = {name: row[name] for name in CSV_COLUMNS if name in row}
    return {
        **of_table,
        **of_row,
        "benchmark": block["title"],
        "ci_low": low,
        "ci_high": high,
        "ratio_low": ratio_low,
        "ratio_high": ratio_high,
        "verdict": row["why"] or row["verdict"],
    }

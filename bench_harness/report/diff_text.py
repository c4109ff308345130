"""The text and the Markdown of `bench diff`, drawn from its record alone.

There is no column of time per call: one was read as the whole time once, and a costly function stayed (a comprehension
with 1.5 s per call, 177 s in all). Times are of all calls in a step, beside their share of everything captured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_harness.record import Record
from bench_harness.report import units
from bench_harness.report.tables import new_table, print_parts

SORTS = ("delta", "share")
NO_VERDICT = (
    "One run a side is no verdict: another run of the same code differs too. Take what stands out as a lead, "
    "and measure it again on both sides before you believe it."
)
WHAT = "Times are a function's own, of all its calls (not per call, not of what it called); shares are of all captured."
WAITING = "Waiting, which is no work"
MAYBE = "A question mark: the other side's record leaves out functions that weighed next to nothing."
FUNCTION_WIDTH = 36  # what the other columns leave


def print_diff(record: Record, folder: str, rows: int, sort: str) -> None:
    """Print the report, at most 100 columns wide."""
    print_parts(parts(record, folder, rows, sort))


def parts(record: Record, folder: str, rows: int, sort: str) -> Iterable[Any]:
    """Yield the lines and tables of the report."""
    results = record.results
    for name in ("a", "b"):
        yield f"{name.upper()}: {_side(results[name])}"
    for process in results["processes"]:
        shown, count = chosen(results, process, rows, sort)
        waiting = _waiting_of(results, process)
        unit = TimeUnit.of(shown or waiting)
        yield _table(_title(process), _columns("function", "calls", unit), [_cells(row, unit) for row in shown])
        if count > len(shown):
            yield f"  ... {count - len(shown)} more in record.json"
        if waiting:
            yield _table(WAITING, _columns("waiting", None, unit), [_waiting_cells(row, unit) for row in waiting])
    yield from ("", *_closing(results))
    yield f"\nArtifacts in {folder}: record.json"
    for warning in record.warnings:
        yield f"warning: {warning}"


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    table = new_table(title, *columns, right=columns[1:])
    for row in rows:
        table.add_row(*row)
    return table


def _columns(first: str, calls: str | None, unit: "TimeUnit") -> list[str]:
    counted = [f"{calls} A", f"{calls} B"] if calls else []
    return [first, *counted, f"{unit.name} A", f"{unit.name} B", "change", "% A", "% B"]


def chosen(
    results: Mapping[str, Any], process: Mapping[str, Any], rows: int, sort: str
) -> tuple[Sequence[Mapping[str, Any]], int]:
    """Return the rows to show for one role, those that changed most first, and how many there are."""
    of_process = [row for row in results["functions"] if row["process"] == process["process"]]
    if sort == "share":
        of_process.sort(key=lambda row: -abs(row["share_delta"]))
    return of_process[:rows], len(of_process)


def markdown(record: Record, rows: int, sort: str) -> str:
    """Return the report as Markdown."""
    return "\n".join(_markdown_lines(record, rows, sort))


def _markdown_lines(record: Record, rows: int, sort: str) -> Iterable[str]:
    results = record.results
    yield from (f"- **{name.upper()}**: {_escaped(_side(results[name]))}" for name in ("a", "b"))
    for process in results["processes"]:
        shown, count = chosen(results, process, rows, sort)
        waiting = _waiting_of(results, process)
        unit = TimeUnit.of(shown or waiting)
        yield f"\n### {_title(process)}\n"
        rows_shown = [_cells(row, unit, code=True) for row in shown]
        yield from _markdown_table(_columns("function", "calls", unit), rows_shown)
        if count > len(shown):
            yield f"\n{count - len(shown)} more in record.json"
        if waiting:
            yield f"\n{WAITING}:\n"
            columns = _columns("waiting", None, unit)
            yield from _markdown_table(columns, [_waiting_cells(row, unit) for row in waiting])
    yield from ("", *_closing(results))
    if record.warnings:
        yield ""
    yield from (f"- warning: {_escaped(warning)}" for warning in record.warnings)


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---:|' * (len(columns) - 1)}"
    for first, *rest in rows:
        yield f"| {_escaped(first)} | {' | '.join(rest)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")


_ROLES = {
    "main": "Main",
    "workers": "Workers together",
    "processes": "Other processes together",
    "main threads": "Other threads of main",
    "workers threads": "Other threads of workers together",
    "processes threads": "Other threads of other processes together",
    "all": "All processes",
}


def _side(side: Mapping[str, Any]) -> str:
    commit = side["commit"]
    pieces = (
        side["source"],
        side["engine"],
        f"commit {commit[:12]}{' + uncommitted changes' if side['dirty'] else ''}" if commit else None,
        side["machine"],
        f"Python {side['python']}" if side["python"] else None,
        f"{side['steady_steps']:,} steady steps" if side["steady_steps"] else None,
        f"{side['steady_batches']:,} steady batches" if side["steady_batches"] else None,
    )
    return " | ".join(str(piece) for piece in pieces if piece)


def _title(process: Mapping[str, Any]) -> str:
    name = _ROLES.get(process["process"], process["process"])
    per = "whole run" if process["per"] == "run" else f"per {process['per']}"
    a, b, delta = (process[key] for key in ("a_captured_s", "b_captured_s", "delta_s"))
    return f"{name}, {per}: {units.seconds(a)} -> {units.seconds(b)} ({signed(delta)})"


def _cells(row: Mapping[str, Any], unit: "TimeUnit", *, code: bool = False) -> list[str]:
    name = f"`{row['name']}`" if code else row["name"]
    name = f"{row['change'].upper()} {name}" if row["change"] else name
    place = "" if row["file"] == "~" else row["file"]
    fits = code or len(name) + 2 + len(place) <= FUNCTION_WIDTH
    calls = [short_count(row[key]) for key in ("a_calls", "b_calls")]
    return [f"{name}{'  ' if fits else chr(10)}{place}".rstrip(), *calls, *_times(row, unit, "tottime_s")]


def _waiting_cells(row: Mapping[str, Any], unit: "TimeUnit") -> list[str]:
    return [row["kind"], *_times(row, unit, "s")]


def _times(row: Mapping[str, Any], unit: "TimeUnit", key: str) -> list[str]:
    shares = [f"{100 * row[share]:.1f}" for share in ("a_share", "b_share")]
    return [unit.shown(row[f"a_{key}"]), unit.shown(row[f"b_{key}"]), unit.shown(row["delta_s"], "+"), *shares]


def _waiting_of(results: Mapping[str, Any], process: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in results["waiting"] if row["process"] == process["process"]]


@dataclass(frozen=True)
class TimeUnit:
    """The unit of all times of a table, so that a column can be read down: four digits for the largest."""

    name: str
    scale_s: float
    decimals: int

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "TimeUnit":
        """Return the unit that fits the rows of functions and waiting."""
        keys = ("a_tottime_s", "b_tottime_s", "a_s", "b_s")
        largest_s = max((row[key] for row in rows for key in keys if key in row), default=0.0)
        name, scale_s = next(((name, scale) for name, scale in _UNITS if largest_s >= scale), _UNITS[-1])
        return cls(name, scale_s, max(0, 3 - len(str(int(largest_s / scale_s))) + 1) if largest_s else 0)

    def shown(self, seconds: float, sign: str = "") -> str:
        """Return a time; with sign "+" a change, whose 0 has none."""
        text = f"{seconds / self.scale_s:{sign},.{self.decimals}f}"
        return text if text.strip("+-0.,") else text.lstrip("+-")


_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6))


def _closing(results: Mapping[str, Any]) -> Iterable[str]:
    matched = results["matched"]
    yield WHAT
    yield (
        f"{matched['both']:,} functions are on both sides, of {matched['a_functions']:,} in A and "
        f"{matched['b_functions']:,} in B; matched by path and name, whatever the line."
    )
    if any((row["change"] or "").endswith("?") for row in results["functions"]):
        yield MAYBE
    yield NO_VERDICT


def signed(seconds: float) -> str:
    """Return a change of time with its sign: +1.5 ms, -3 s, 0."""
    return "0" if seconds == 0 else f"{'+' if seconds > 0 else ''}{units.seconds(seconds)}"


def short_count(calls: float | None) -> str:
    """Return a number of calls in at most six characters: 0.25, 116, 43.1k, 21.4M; - where an engine counts none."""
    if calls is None:
        return "-"
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # From 10,000 on, so that 3,100 stays; 999,999 rounds to 1M.
        if calls >= max(0.9995 * scale, 9999.5):
            return f"{units.digits(calls / scale)}{letter}"
    return f"{calls:,.0f}" if calls >= 1000 else units.digits(calls)

"""A report in GitHub's and GitLab's Markdown: the worst first, and never longer than the place that takes it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.alert import wording
from bench_harness.alert.wording import Row
from bench_harness.record import Record

MARKER = "<!-- bench alert -->"  # the workflow finds its own comment by it, and updates that one
COMMENT_BYTES = 65_000  # GitHub refuses a comment of 65,536 characters; no character is less than a byte
SUMMARY_BYTES = 1_000_000  # of a step; GitHub drops one of 1024 KiB
COLUMNS = ("verdict", "benchmark", "metric", "base", "head", "ratio (interval)", "threshold", "noise history")
MAX_DETAILS = 20
MAX_WARNINGS = 10
_RESERVE_BYTES = 600  # for what says how much was left out
_HARMLESS = frozenset(" .,()/=%+^-;?")


class Page:
    """Lines up to a number of bytes; what does not fit is refused."""

    def __init__(self, limit_bytes: int) -> None:
        self.lines: list[str] = []
        self.left_bytes = limit_bytes - _RESERVE_BYTES

    def add(self, *lines: str) -> bool:
        """Add all lines or none, and tell which."""
        size = sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)
        if size > self.left_bytes:
            return False
        self.lines += lines
        self.left_bytes -= size
        return True

    def close(self, *lines: str) -> str:
        """Return the page with last lines, for which room was kept."""
        return "\n".join([*self.lines, *lines]) + "\n"


def report(record: Record, limit_bytes: int = COMMENT_BYTES) -> str:
    """Return the whole report in at most `limit_bytes` bytes of UTF-8."""
    results = record.results
    rows = results["benchmarks"]
    attention = [row for row in rows if wording.needs_attention(row)]
    rest = [row for row in rows if not wording.needs_attention(row)]
    page = Page(limit_bytes)
    page.add(MARKER, *_head(record))
    left_out = _table(page, attention, keep_bytes=page.left_bytes // 2)
    _details(page, attention)
    _steps(page, results.get("steps") or [])
    _warnings(page, record.warnings)
    ending: list[str] = []
    if rest and page.add("", f"<details><summary>{escaped(_counted(rest))}</summary>", ""):
        left_out += _table(page, rest)
        ending += ["", "</details>"]  # in the room that is kept for the end: a lost one would hide what follows
    else:
        left_out += len(rest)
    if left_out:
        ending += ["", f"{left_out:,} more rows do not fit here; the record has them all."]
    return page.close(*ending)


def _head(record: Record) -> Iterable[str]:
    results = record.results
    yield f"## Benchmarks: {escaped(wording.headline(results['counts']))}"
    yield ""
    yield f"{escaped(wording.sides(results))}; reported on {code(wording.runner(record.environment), 220)}."
    for line in results["loud"]:
        yield from ("", "> [!CAUTION]", f"> **{escaped(wording.clean(line, 400))}**")
    yield ""


def _table(page: Page, rows: list[Row], keep_bytes: int = 0) -> int:
    """Add a table of as many rows as fit, leaving `keep_bytes` of the page; return how many rows do not."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for index, row in enumerate(rows):
        line = f"| {' | '.join(_cells(row))} |"
        if page.left_bytes < keep_bytes or not page.add(*([] if index else head), line):
            return len(rows) - index
    return 0


def _cells(row: Row) -> Iterable[str]:
    shown = escaped(wording.verdict(row))
    yield f"**{shown}**" if row["alarm"] else shown
    yield code(wording.name(row))
    yield code(row["metric"], 40)
    yield escaped(wording.value(row, "base"))
    yield escaped(wording.value(row, "head"))
    yield escaped(wording.ratio(row))
    yield escaped(wording.rule(row))
    yield escaped(wording.noise(row))


def _details(page: Page, rows: list[Row]) -> None:
    for row in rows[:MAX_DETAILS]:
        title = f"{escaped(wording.verdict(row))}: {code(wording.name(row))} {code(row['metric'], 40)}"
        # A closed element in one piece: half of one would hide the rest of the page.
        if not page.add("", f"<details><summary>{title}</summary>", "", *_facts(row), "", "</details>"):
            return


def _facts(row: Row) -> Iterable[str]:
    for what, text in wording.facts(row):
        yield f"- {what}: {escaped(text)}"
    for side in ("base", "head"):
        links = [_link(run) for run in row["profiles"].get(side, [])]
        yield f"- profiles of {side}: {', '.join(links) or 'none'}"
    if row["rerun"]:
        yield f"- rerun: {code(row['rerun'], 400)}"
    if row["acknowledge"]:
        yield f"- accept: {code(row['acknowledge'], 400)}"


def _link(run: Mapping[str, str]) -> str:
    name = wording.clean(f"{run['command']} {run['target']}", 60)
    return f"[{escaped(name)}]({run['path']})"


def _steps(page: Page, steps: list[Mapping[str, Any]]) -> None:
    if steps:
        page.add("", "Steps of the history whose first bad commit is after base:", "")
    for step in steps[:MAX_DETAILS]:
        page.add(f"- {escaped(wording.clean(step['text'], 300))}")


def _warnings(page: Page, warnings: list[str]) -> None:
    shown = [f"- {escaped(wording.clean(line, 300))}" for line in warnings[:MAX_WARNINGS]]
    more = [f"- and {len(warnings) - len(shown):,} more"] if len(warnings) > len(shown) else []
    if shown:
        page.add("", "Warnings:", "", *shown, *more)


def _counted(rows: list[Row]) -> str:
    numbers: dict[str, int] = {}
    for row in rows:
        numbers[row["verdict"]] = numbers.get(row["verdict"], 0) + 1
    return wording.headline(numbers)


def code(text: object, limit: int = wording.NAME_LETTERS) -> str:
    """Return a text in the typeface of code.

    By the HTML element, because a code span cannot hold every text: backticks end it, and a table cuts it at a |.
    """
    return f"<code>{escaped(wording.clean(text, limit))}</code>"


def escaped(text: str) -> str:
    """Return a text of one line so that Markdown shows it as it is: no markup, link, mention, formula or new cell."""
    plain = "".join(
        letter if letter.isalnum() or letter in _HARMLESS or ord(letter) > 127 else f"&#{ord(letter)};"
        for letter in text
    )
    # Between letters an underscore marks nothing, and names are full of them.
    plain = re.sub(r"(?<=[A-Za-z0-9])&#95;(?=[A-Za-z0-9])", "_", plain)
    # At the start of a line these begin a list, a rule or a heading.
    plain = re.sub(r"^[-+=]", lambda found: f"&#{ord(found[0])};", plain)
    plain = re.sub(r"^(\d+)([.)])(?= |$)", lambda found: f"{found[1]}&#{ord(found[2])};", plain)
    return re.sub(r"\bwww\.", "www&#46;", plain, flags=re.IGNORECASE)

"""What a job on GitHub shows: a summary on the page of the run, and annotations beside the code.

An annotation is a line on stdout that the runner reads: ::error title=...::message. It shows ten of each kind per step.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from bench_harness.alert import markdown, wording
from bench_harness.alert.wording import Row
from bench_harness.errors import UsageError
from bench_harness.record import Record

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
MOST_ANNOTATIONS = 10
_LEVELS = {
    "failed": "error",
    "regression": "error",
    "not measured": "error",
    "suspected": "warning",
    "undecided": "warning",
}


def annotations(record: Record) -> list[str]:
    """Return the lines of the worst rows, at most MOST_ANNOTATIONS, with those that must be said aloud first."""
    loud = [wording.clean(line, 1000) for line in record.results["loud"]]
    lines = [_annotation("error", "base and head do not compare", line) for line in loud]
    rows = [row for row in record.results["benchmarks"] if row["verdict"] in _LEVELS]
    return [*lines, *(_of_row(row) for row in rows)][:MOST_ANNOTATIONS]


def _of_row(row: Row) -> str:
    level = _LEVELS[row["verdict"]]
    if row["verdict"] in ("failed", "regression") and not row["alarm"]:
        level = "notice"  # accepted, or reported only
    rerun = f"; rerun: {wording.clean(row['rerun'], 400)}" if row["rerun"] else ""
    return _annotation(level, f"{wording.verdict(row)}: {wording.name(row)}", wording.one_line(row) + rerun)


def _annotation(level: str, title: str, message: str) -> str:
    return f"::{level} title={escape_property(wording.clean(title, 200))}::{escape_data(message)}"


def escape_data(text: str) -> str:
    """Return a message as the runner reads it back: one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Return a property's value, which a colon or a comma would end."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def append_summary(record: Record, variables: Iterable[tuple[str, str]] | None = None) -> Path | None:
    """Append the report to the file that $GITHUB_STEP_SUMMARY names, within what is left of a step's limit.

    Returns None outside of GitHub, where there is no such file.

    Raises:
        UsageError: it cannot be written.
    """
    name = dict(os.environ if variables is None else variables).get(SUMMARY_VARIABLE)
    if not name:
        return None
    path = Path(name)
    try:
        taken = path.stat().st_size if path.exists() else 0
        text = markdown.report(record, max(markdown.SUMMARY_BYTES - taken, 0))
        if len(text.encode("utf-8", "replace")) + taken <= markdown.SUMMARY_BYTES:
            with path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot write the job summary: {error.strerror or error}") from error
    return path

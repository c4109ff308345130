"""The index over all runs: profiles/index.json for programs, the table in profiles/README.md for people.

Both are rewritten from the records, so that they never say what is no longer there. A README.md that is in git lists
only runs that are in git: the others would change it, and with it the checkout, at every run.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench_harness.errors import RecordError
from bench_harness.git import tracked_files
from bench_harness.record import FILE_NAME, Record, write_json, write_text

INDEX_SCHEMA = 1
PAGE = "README.md"
BEGIN, END = "<!-- runs: generated, edit outside of these two lines -->", "<!-- end of runs -->"
HEADING = "# Runs"
MAX_ROWS = 30
COLUMNS = ("started", "run", "command", "commit", "engine", "verdict", "steps", "workers", "completed")
# What run_folder() calls a run; any other name was given by a person.
_GENERATED_NAME = re.compile(r"\d{8}T\d{6}Z-")


def update_index(root: str | os.PathLike[str] = "profiles") -> Path:
    """Rewrite `root`/index.json and the table in `root`/README.md; return the former.

    An unreadable record is listed with its problem.
    """
    root = Path(root)
    tracked = tracked_files(root)
    runs = read_runs(root, tracked or frozenset())
    index = root / "index.json"
    write_json(index, {"schema": INDEX_SCHEMA, "runs": runs})
    if tracked is not None:
        _update_page(root / PAGE, runs, in_git=PAGE in tracked)
    return index


def read_runs(root: Path, tracked: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """Return one entry per folder with a record, by target and name of the folder.

    Args:
        root: the folder of all runs.
        tracked: files in git, relative to `root`.
    """
    in_git = {"/".join(path.split("/")[:2]) for path in tracked}
    return [_entry(path, root, in_git) for path in sorted(root.glob(f"*/*/{FILE_NAME}"))]


def _entry(path: Path, root: Path, in_git: set[str]) -> dict[str, Any]:
    folder = path.parent.relative_to(root)
    entry: dict[str, Any] = {
        "target": folder.parts[0],
        "folder": folder.as_posix(),
        "named": _GENERATED_NAME.match(folder.name) is None,
        "committed": folder.as_posix() in in_git,
        "size_bytes": _size_bytes(path.parent),
    }
    try:
        record = Record.read(path)
    except RecordError as error:
        return entry | {"problem": str(error).replace(f"{path}: ", "")}
    return entry | _summary(record)


def _summary(record: Record) -> dict[str, Any]:
    results, workers = record.results, record.workers or {}
    counts, pipeline = _object(results.get("counts")), _object(results.get("pipeline"))
    return {
        "started": record.started,
        "command": record.command,
        "commit": _object(record.environment.get("git")).get("commit"),
        "completed": record.completed,
        "engine": _text(results.get("engine")),
        "verdict": _text(pipeline.get("verdict")),
        "steps": next((count for name in ("steps", "batches") if isinstance(count := counts.get(name), int)), None),
        "expected": workers.get("expected"),
        "delivered": workers.get("delivered"),
        "artifacts": {name: record.artifacts[name] for name in ("text", "merged") if name in record.artifacts},
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _size_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile: other runs are going on
                total += (Path(parent) / name).lstat().st_size
    return total


def _update_page(page: Path, runs: list[dict[str, Any]], *, in_git: bool) -> None:
    old = page.read_text(encoding="utf-8", errors="surrogateescape") if page.exists() else None
    if in_git and (old is None or BEGIN not in old):
        return  # somebody's page, and no place on it was given to us
    shown = [run for run in runs if run["committed"]] if in_git else runs
    text = with_table(old if old is not None else f"{HEADING}\n", "\n".join(tables(shown)))
    if text != old:
        write_text(page, text)


def with_table(text: str, table: str) -> str:
    """Return a page with `table` between the two markers, which are appended where they are missing."""
    before, begin, rest = text.partition(BEGIN)
    if not begin:
        return f"{text.rstrip()}\n\n{BEGIN}\n\n{table}\n\n{END}\n"
    _, end, after = rest.partition(END)
    # Without the second marker nobody knows where the table ended: what follows the first one is kept.
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after if end else f'{chr(10)}{rest}'}"


def tables(runs: list[dict[str, Any]]) -> Iterable[str]:
    """Yield the lines of one Markdown table per target, the newest run first."""
    if not runs:
        yield "No run is listed here yet."
    for number, (target, group) in enumerate(groupby(runs, key=lambda run: str(run["target"]))):
        newest_first = sorted(group, key=lambda run: str(run["folder"]), reverse=True)
        yield from ([""] if number else [])
        yield f"### {_cell(target)}"
        yield ""
        yield f"| {' | '.join(COLUMNS)} |"
        yield f"|{'---|' * len(COLUMNS)}"
        yield from map(_row, newest_first[:MAX_ROWS])
        if len(newest_first) > MAX_ROWS:
            yield f"\n{len(newest_first) - MAX_ROWS} older ones: `bench list --runs --target {target}`"


def _row(run: Mapping[str, Any]) -> str:
    folder = str(run["folder"])
    name = folder.partition("/")[2]
    link = f"[{_cell(name)}]({_url(folder)}/)"
    if "problem" in run:
        return f"| | {link} | {_cell(run['problem'])} |{' |' * (len(COLUMNS) - 3)}"
    text = run["artifacts"].get("text") or run["artifacts"].get("merged")
    link += f" ([{_cell(text)}]({_url(f'{folder}/{text}')}))" if text else ""
    commit = run["commit"]
    workers = f"{run['delivered']}/{run['expected']}" if run["expected"] is not None else None
    cells = (run["command"], commit[:12] if isinstance(commit, str) else None, run["engine"], run["verdict"])
    rest = (run["steps"], workers, "yes" if run["completed"] else "**no**")
    return f"| {run['started']} | {link} | {' | '.join(map(_cell, (*cells, *rest)))} |"


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _url(path: str) -> str:
    return quote(os.fsencode(path))

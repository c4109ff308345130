"""Measure what forked workers copy, by how rows are stored, and write docs/worker-memory.md. Linux.

    python docs/make/worker_memory.py [--only KIND ...] [--sizes small medium full] [--methods fork forkserver]
                                      [--again] [--page-only] [--out docs/worker-memory.md]

Every storage of examples/storages/ in a process of its own, one after the other; what is measured already is kept
(--again measures it anew), so that an interrupted run goes on. All of it takes half an hour on two cores, and up to
16 GB: what does not fit into the free memory is left out, and the page says so. Then bench_core's own store with 16
million origins. Needs pandas, pyarrow and matplotlib: pip install -e '.[dev,storages]'. Exit codes: 0 written, 2 bad
input, 3 could not measure.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from pathlib import Path
from typing import Any, NoReturn

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))

from storages import page, picture, runs  # noqa: E402

from benchmarks.storages import SCRIPT, FailedRun  # noqa: E402

RECORD = "measured.json"


class BadInput(Exception):
    """One line for the user."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(message)


def all_kinds() -> list[str]:
    """Return the names of the storages that the example has."""
    return list(runpy.run_path(str(SCRIPT.with_name("kinds.py")))["KINDS"])


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The options, checked."""
    parser = Parser(prog="worker_memory.py", description="Measure what forked workers copy; write the page about it.")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="these storages, of all")
    parser.add_argument("--sizes", nargs="+", choices=runs.SIZES, default=list(runs.SIZES))
    parser.add_argument("--methods", nargs="+", choices=runs.METHODS, default=list(runs.METHODS))
    parser.add_argument("--again", action="store_true", help="measure what is measured already, too")
    parser.add_argument("--page-only", action="store_true", help="measure nothing, write the page again")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "docs" / "worker-memory.md", help="the page")
    options = parser.parse_args(arguments)
    if not options.out.resolve().parent.is_dir():
        raise BadInput(f"--out: there is no folder {options.out.parent}")
    if sys.platform != "linux" and not options.page_only:
        raise BadInput("PSS is what Linux alone accounts for: run this there, or give --page-only")
    return options


def chosen_kinds(only: list[str] | None) -> list[str]:
    """Return the storages to measure."""
    known = all_kinds()
    for name in only or ():
        if name not in known:
            raise BadInput(f"--only: unknown storage {name!r}: choose from {', '.join(known)}")
    return only or known


def recorded(file: Path) -> dict[str, Any]:
    """Return what earlier runs measured; nothing where there was none."""
    if not file.exists():
        return {"results": {}}
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{file} is no JSON: {error}; remove it") from None
    return record


def write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(content)
    part.replace(file)


def measure(options: argparse.Namespace, record: dict[str, Any], file: Path) -> None:
    """Measure what is asked for and lacking, keeping each result at once."""

    def keep() -> None:
        write(file, (json.dumps(record, indent=1) + "\n").encode())

    def progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    kinds = chosen_kinds(options.only)
    if options.again:
        asked = {runs.key(*one) for one in runs.combinations(kinds, options.sizes, options.methods)}
        record["results"] = {name: told for name, told in record["results"].items() if name not in asked}
    record["conditions"] = runs.conditions(CHECKOUT)
    source = runs.source_of(CHECKOUT, "examples/storages")
    runs.measure(runs.combinations(kinds, options.sizes, options.methods), record["results"], source, keep, progress)
    if options.again or "origins" not in record:
        from storages import origins

        record["origins"] = origins.measure() | {"source": runs.source_of(CHECKOUT, "bench_core")}
    keep()


def run(arguments: list[str]) -> None:
    """Do what the command line says."""
    options = parsed(arguments)
    folder = options.out.with_suffix("")
    folder.mkdir(exist_ok=True)
    record = recorded(folder / RECORD)
    if options.page_only and "conditions" not in record:
        raise BadInput(f"--page-only: nothing was measured yet: there is no {folder / RECORD}")
    if not options.page_only:
        measure(options, record, folder / RECORD)
    write(folder / page.PICTURE, picture.draw(record["results"], *page.largest_size(record)))
    write(options.out, page.render(record, folder.name).encode())
    print(options.out)


def main() -> int:
    try:
        run(sys.argv[1:])
    except BadInput as error:
        print(f"worker_memory.py: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"worker_memory.py: {error}: pip install -e '.[dev,storages]' -e ./bench_harness", file=sys.stderr)
        return 2
    except (FailedRun, OSError) as error:
        print(f"worker_memory.py: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("worker_memory.py: interrupted: what was measured is kept, the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

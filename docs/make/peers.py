"""Compare the voxelizer with its peers and write docs/voxelizer.md; needs an environment with bench_core.

    python docs/make/peers.py [--only NAME ...] [--views 200] [--work DIR] [--out docs/voxelizer.md] [--page-only]

Each peer gets an environment and a process of its own; none is a dependency of this project, and nothing of them is
kept but what is measured and drawn. Exit codes: 0 written, 2 bad input, 3 could not measure, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from comparison.catalogue import PEERS, SUBJECTS
from comparison.processes import ProcessError

CHECKOUT = Path(__file__).resolve().parents[2]
RECORD = "measured.json"


class BadInput(Exception):
    """One line for the user."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(message)


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The options, checked."""
    parser = Parser(prog="peers.py", description="Compare the voxelizer with its peers; write docs/voxelizer.md.")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "docs" / "voxelizer.md", help="the page")
    parser.add_argument("--views", type=int, default=200, help="views per case (default: 200)")
    parser.add_argument("--work", type=Path, help="keep the environments here, and use those that are here")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these peers, of all")
    parser.add_argument("--page-only", action="store_true", help="measure nothing, write the page again")
    options = parser.parse_args(arguments)
    known = [peer.name for peer in PEERS]
    for name in options.only:
        if name not in known:
            raise BadInput(f"unknown peer {name!r}: choose from {', '.join(known)}")
    if options.views < 1:
        raise BadInput(f"--views must be at least 1, not {options.views}")
    if not options.out.resolve().parent.is_dir():
        raise BadInput(f"--out: there is no folder {options.out.parent}")
    return options


def write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_bytes(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def work_folder(kept: Path | None) -> Iterator[Path]:
    """The folder of the environments; a temporary one unless the user named one."""
    if kept is not None:
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"--work: {kept}: {error.strerror}") from None
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bench_core-peers-") as folder:
        yield Path(folder)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure, and leave record and pictures in the page's folder."""
    from comparison.pictures import png
    from comparison.run import Run, measure_all

    with work_folder(options.work) as work:
        run = Run(work, CHECKOUT, options.views, lambda line: print(line, file=sys.stderr, flush=True))
        record = measure_all(run, options.only)
    folder.mkdir(exist_ok=True)
    for subject in SUBJECTS:
        for arm in subject.pictures:
            # The page shows none of an earlier run.
            (folder / f"{subject.picture(arm)}.png").unlink(missing_ok=True)
    for name, values in run.pictures.items():
        write(folder / f"{name}.png", png(values))
    write(folder / RECORD, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    return record


def recorded(file: Path) -> dict[str, Any]:
    """What an earlier run measured."""
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"--page-only: {file}: {error.strerror}") from None
    except ValueError as error:
        raise BadInput(f"--page-only: {file} is no JSON: {error}") from None
    return record


def run(arguments: list[str]) -> None:
    """Do what the command line says."""
    options = parsed(arguments)
    from comparison.page import render

    folder = options.out.with_suffix("")
    record = recorded(folder / RECORD) if options.page_only else measure(options, folder)
    write(options.out, render(record, folder.name).encode())
    print(options.out)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run(sys.argv[1:])
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"{error}: run this with the Python of an environment that has bench_core (make venv)", file=sys.stderr)
        return 2
    except (ProcessError, OSError) as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""python -m bench_core prepare: structure files to a store of origins and atoms, once."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from bench_core.commands.data_folder import default_folder, prepare_with_progress, summary
from bench_core.commands.output import say, show
from bench_core.errors import StoreError
from bench_core.origins.layout import read_manifest
from bench_core.origins.prepare import check_folder, is_prepared
from bench_core.structures import embedded_structures

HELP = "read structure files and write the packed store that views are drawn from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--structures",
        type=Path,
        metavar="DIR",
        help="folder of .cif, .mmcif, .pdb, .ent files, also as .gz (default: the embedded 14)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="store folder (default: $BENCH_CORE_DATA, else the user's cache)"
    )
    parser.add_argument("--force", action="store_true", help="replace a store of other structures by the embedded ones")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def run(arguments: argparse.Namespace) -> int:
    out = arguments.out or default_folder()
    check_folder(out)
    if arguments.structures is None and not arguments.force:
        _spare_other_structures(out)
    prepared = prepare_with_progress(arguments.structures, out)
    if arguments.json:
        show(json.dumps(dataclasses.asdict(prepared) | {"path": str(prepared.path)}))
    else:
        say(summary(prepared))
    return 0


def _spare_other_structures(out: Path) -> None:
    """Refuse to replace what somebody prepared from files of their own by the default."""
    if not is_prepared(out):
        return
    try:
        present = set(read_manifest(out)["inputs"])
    except StoreError:
        return  # damaged, or of another version: nothing that could be used
    if present - set(embedded_structures()):
        raise StoreError(
            f"{out} holds a store of {len(present)} other structures: give --structures DIR, another --out, or --force"
        )

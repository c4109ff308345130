"""python -m bench_core prepare: structure files to a store of origins and atoms, once."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from bench_core.commands.data_folder import default_folder, prepare_with_progress, say, summary

HELP = "read structure files and write the packed store that views are drawn from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--structures", type=Path, metavar="DIR", help="folder of .cif, .cif.gz, .pdb files (default: the embedded 14)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="store folder (default: $BENCH_CORE_DATA, else the user's cache)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def run(arguments: argparse.Namespace) -> int:
    prepared = prepare_with_progress(arguments.structures, arguments.out or default_folder())
    if arguments.json:
        print(json.dumps(dataclasses.asdict(prepared) | {"path": str(prepared.path)}))
    else:
        say(summary(prepared))
    return 0

"""bench summary: one compact picture of what a benchmark run left behind.

Reads memray captures, load*.json and asv's results; writes record.json first, then prints from it.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness import environment
from bench_harness.config import Config, load_config
from bench_harness.errors import ExitCode, MissingPackageError, NothingMeasuredError, UsageError
from bench_harness.git import git_output
from bench_harness.history import asv_results, load_files, selection
from bench_harness.memory import memray_files
from bench_harness.record import FILE_NAME, Record, utc_now
from bench_harness.report import summary_text
from bench_harness.run_folders import (
    folder_name,
    foreign_record,
    keep_record,
    refuse_foreign_record,
    run_folder,
    safe_name,
)

ASV_CONFIG = "asv.conf.json"


@dataclass
class Gathered:
    """Everything found, as it goes into the record; `complete` is False where a file could not be used."""

    results: dict[str, Any] = field(default_factory=lambda: {"headlines": [], "history": [], "load": []})
    warnings: list[str] = field(default_factory=list)
    workers: dict[str, Any] | None = None
    artifacts: dict[str, Path] = field(default_factory=dict)
    complete: bool = True

    def is_empty(self) -> bool:
        """Tell whether not one number was found."""
        values = [row["value"] for row in self.results["headlines"]]
        values += [value["value"] for row in self.results["history"] for value in row["values"]]
        processes = self.results.get("memory", {}).get("processes")
        return not (self.results["load"] or processes or any(value is not None for value in values))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench summary`."""
    parser.add_argument(
        "run_folder",
        nargs="?",
        type=Path,
        metavar="RUN_FOLDER",
        help="folder with memray/*.bin and load*.json (default: the newest below profiles/ that has some)",
    )
    parser.add_argument("--asv-config", type=Path, metavar="FILE", help=f"default: {ASV_CONFIG}, if it is there")
    parser.add_argument("--commit", metavar="HASH", help="show the asv results of this commit (default: HEAD)")
    parser.add_argument("--machine", metavar="NAME", help="show the asv results of this machine (default: this one)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write record.json here (default: RUN_FOLDER)")
    parser.add_argument("--json", action="store_true", help="print the record, one JSON object, and nothing else")


def run(args: argparse.Namespace) -> int:
    """Gather, write the record, print it."""
    started, clock = utc_now(), time.perf_counter()
    config = load_config()
    if args.run_folder is not None and not args.run_folder.is_dir():
        raise UsageError(f"{args.run_folder}: no such folder; give a run folder below {config.profiles.name}/")
    folder = args.run_folder or newest_run(config.profiles)
    conditions, plugin_warnings = environment.collect()
    if folder is not None and (folder / FILE_NAME).exists() and not foreign_record(folder, "summary"):
        # What lies here was measured when it was first summed up, not now: at that commit, on that machine.
        earlier = Record.read(folder)
        conditions, started, plugin_warnings = earlier.environment, earlier.started, []
    found = gather(args, config, folder, conditions)
    found.warnings += plugin_warnings
    if found.is_empty():
        raise NothingMeasuredError(_nothing_found(folder, config, found.warnings))
    out = args.out or folder or summary_folder(config.profiles, conditions)
    refuse_foreign_record(out, "summary")
    record = Record(
        command="summary",
        argv=args.argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=found.complete,
        environment=conditions,
        warnings=found.warnings,
        workers=found.workers,
        artifacts={name: Path(os.path.relpath(path, out)).as_posix() for name, path in found.artifacts.items()},
        results=found.results,
    )
    written = keep_record(record, out, config.profiles)
    if args.json:
        print(json.dumps(written.to_json(), allow_nan=False))
    else:
        summary_text.print_summary(written, os.path.relpath(out))
    return ExitCode.FINE


def newest_run(profiles: Path) -> Path | None:
    """Return the newest run folder with captures or load files, leaving out those another command recorded."""
    folders = [folder for folder in profiles.glob("*/*") if folder.is_dir() and _has_something(folder)]
    # Names begin with the UTC time; the folder of the target must not decide the order.
    return max(
        (folder for folder in folders if not foreign_record(folder, "summary")),
        key=lambda folder: folder.name,
        default=None,
    )


def _has_something(folder: Path) -> bool:
    return bool(load_files.find_load_files(folder) or memray_files.find_captures(folder / "memray"))


def summary_folder(profiles: Path, conditions: dict[str, Any]) -> Path:
    """Return the folder for a summary of asv results alone: the same one again for the same commit and machine."""
    commit, machine = conditions["git"]["commit"], conditions["machine"]
    ending = folder_name(utc_now(), commit, machine).partition("-")[2]
    same = sorted((profiles / safe_name("summary")).glob(f"*Z-{ending}"))
    return same[-1] if same else run_folder("summary", profiles, commit=commit, machine=machine)


def gather(args: argparse.Namespace, config: Config, folder: Path | None, conditions: dict[str, Any]) -> Gathered:
    """Read everything there is to read; of asv's results, those of the conditions' commit and machine."""
    found = Gathered()
    _gather_asv(found, args, config, conditions)
    if folder is not None:
        _gather_load(found, folder)
        _gather_memory(found, folder)
    return found


def _gather_asv(found: Gathered, args: argparse.Namespace, config: Config, conditions: dict[str, Any]) -> None:
    path = args.asv_config or Path(ASV_CONFIG)
    if args.asv_config is None and not path.is_file():
        if args.commit or args.machine:
            raise UsageError(f"--commit and --machine choose asv results, but there is no {ASV_CONFIG} here")
        return
    try:
        results = asv_results.AsvResults.load(path)
    except MissingPackageError as error:
        found.warnings.append(f"asv results left out: {error}")
        found.complete = False
        return
    found.complete &= not results.warnings
    found.warnings += results.warnings
    commit = (conditions.get("git") or {}).get("commit") or git_output(path.parent, "rev-parse", "HEAD")
    _select(found, results, args, config, conditions.get("machine") or environment.machine_label(), commit)


def _select(
    found: Gathered,
    results: asv_results.AsvResults,
    args: argparse.Namespace,
    config: Config,
    here: str,
    head: str | None,
) -> None:
    shown = config.summary
    machine = selection.choose_machine(results, here, args.machine, found.warnings)
    commit = selection.choose_commit(results, machine, args.commit, head, found.warnings)
    if commit is None:
        return
    found.artifacts["asv"] = results.folder
    found.results["headlines"] = selection.headline_rows(results, commit, shown.headlines)
    found.results["history"] = selection.history_rows(
        results, shown.landmarks, commit, machine, shown.history, found.warnings
    )
    found.warnings += selection.missing_warnings(results, commit, (*shown.headlines, *shown.history))


def _gather_load(found: Gathered, folder: Path) -> None:
    rows, warnings = load_files.read_load_files(folder)
    found.results["load"] = rows
    found.warnings += warnings
    found.complete &= not warnings
    found.artifacts |= {Path(row["file"]).stem: folder / row["file"] for row in rows}


def _gather_memory(found: Gathered, folder: Path) -> None:
    captures = folder / "memray"
    if not memray_files.find_captures(captures):
        return
    try:
        table = memray_files.read_folder(captures)
    except MissingPackageError as error:
        found.warnings.append(f"memray captures left out: {error}")
        found.complete = False
        return
    found.artifacts["memray"] = captures
    found.results["memory"] = table.to_json()
    found.workers = table.workers()
    found.warnings += table.warnings()
    found.complete &= not table.warnings()


def _nothing_found(folder: Path | None, config: Config, warnings: list[str]) -> str:
    where = os.path.relpath(folder) if folder else f"{config.profiles.name}/*/*"
    said = f" ({'; '.join(warnings)})" if warnings else ""
    return (
        f"nothing measured: no memray/*.bin, no load*.json in {where} and no asv results{said}; run a benchmark first"
    )

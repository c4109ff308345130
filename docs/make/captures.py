"""Make the named captures of profiles/captures/ again: three points of the project's history, profiled by cProfile.

    python docs/make/captures.py [NAME ...]

Commit first: a record says from which commit it is, and whether files were changed. Each capture is what
`bench profile --out profiles/captures/NAME docs/make/captured_loader.py NAME --batches 16 --batch-size 1` leaves, made
small enough to be committed: at most 300 kB, where importing torch alone leaves a megabyte of statistics.

- The files of single processes go.
- merged.prof keeps the functions of the own library, those that a worker called, and what has 0.5 % of the time; calls
  and own time of the rest are in one row, "[rest]", which stands for them among callers too.
- record.json keeps the functions that were called in the steady state and what has 0.5 % of the time, and counts what
  it leaves out.
- Paths in merged.prof become those of the texts: no folder of this machine is in it.

Exit codes: 0 written, 2 bad input, 3 could not measure.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_harness.profiles import statistics
from bench_harness.profiles.artifacts import PROCESSES
from bench_harness.profiles.own_code import OwnCode
from bench_harness.profiles.statistics import Entry, Function, Profile
from bench_harness.record import Record
from bench_harness.run_index import update_index
from bench_harness.segments import write_atomically

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = Path("profiles", "captures")
SCRIPT = Path("docs", "make", "captured_loader.py")
NAMES = ("initial_naive", "early_filter", "closed_form")
AMOUNT = ("--batches", "16", "--batch-size", "1")
LIMIT_BYTES = 300_000
LEAST_SHARE = 5e-3
LEAST_STEADY_SHARE = 5e-4  # of functions of other people's libraries, in the record
REST: Function = ("~", 0, "[rest]")
NOTE = (
    f"cut to be committed: without functions under {LEAST_SHARE:.1%} that only ran before the steady state, and those "
    f"of other libraries under {LEAST_STEADY_SHARE:.2%}; what is not of the own library and no worker called is "
    "[rest] in merged.prof"
)


class CouldNotMeasure(Exception):
    """One line for the user."""


def make(name: str) -> None:
    """Make one capture, in place of what is there.

    Raises:
        CouldNotMeasure: the profiled program failed, or the capture is too large.
    """
    folder = CHECKOUT / FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "bench_harness", "profile", "--engine", "cprofile", "--out", str(FOLDER / name)]
    done = subprocess.run([*command, str(SCRIPT), name, *AMOUNT], cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise CouldNotMeasure(f"{name}: bench profile ended with {done.returncode}")
    shrink(folder, OwnCode(folder=CHECKOUT))
    bytes_ = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if bytes_ > LIMIT_BYTES:
        raise CouldNotMeasure(f"{name}: {bytes_} bytes are more than {LIMIT_BYTES}: raise LEAST_SHARE")
    print(f"{FOLDER / name}: {bytes_ / 1e3:.0f} kB")


def shrink(folder: Path, own: OwnCode) -> None:
    """Cut a run folder of cProfile down to what is committed; the record says so."""
    record = Record.read(folder)
    profiles = {row["label"]: row["files"].get("prof") for row in record.results["processes"] if row["role"] != "main"}
    in_workers = {f for path in profiles.values() if path for f in statistics.load_profile(folder / path)}
    whole = statistics.load_profile(folder / "merged.prof")
    kept = frozenset(f for f in in_workers | _weighty(whole) | {f for f in whole if own.is_own(f[0])} if f in whole)
    small = relocated(cut(whole, kept), own)
    write_atomically(folder / "merged.prof", statistics.profile_bytes(small))
    shutil.rmtree(folder / PROCESSES)
    for row in record.results["processes"]:
        row["files"] = {}
    record.results["functions"], left_out = shortened(record.results["functions"])
    for key, value in left_out.items():
        record.results["functions_left_out"][key] += value
    record.warnings.append(NOTE)
    record.write(folder)


def _weighty(profile: Profile) -> set[Function]:
    total_s = sum(entry.times[2] for entry in profile.values())
    return {function for function, entry in profile.items() if entry.times[2] >= LEAST_SHARE * total_s}


def cut(profile: Profile, kept: frozenset[Function]) -> Profile:
    """Return a profile with one row, REST, for all functions that are not in `kept`.

    The sums of calls and of own time stay. The cumulative time of REST is its own time: those of functions that call
    one another cannot be added up.
    """
    parts: list[Profile] = []
    for function, entry in profile.items():
        callers = statistics.add({caller if caller in kept else REST: _entry(times)} for caller, times in _edges(entry))
        edges = {caller: sums.times for caller, sums in callers.items()}
        if function in kept:
            parts.append({function: Entry(entry.times, edges)})
        else:
            primitive, calls, own_s, _ = entry.times
            parts.append({REST: Entry((primitive, calls, own_s, own_s), edges)})
    return statistics.add(parts)


def _entry(times: statistics.Times) -> Entry:
    return Entry(times, {})


def _edges(entry: Entry) -> list[tuple[Function, statistics.Times]]:
    return list(entry.callers.items())


def relocated(profile: Profile, own: OwnCode) -> Profile:
    """Return a profile with the paths that texts show."""

    def moved(function: Function) -> Function:
        file, line, name = function
        return own.shown(file), line, name

    return statistics.add(
        {moved(function): Entry(entry.times, {moved(caller): times for caller, times in entry.callers.items()})}
        for function, entry in profile.items()
    )


def shortened(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Mapping[str, float]]:
    """Return the rows of a record that stay, and the sums of the others."""
    kept = [
        row
        for row in rows
        if row["share"] >= LEAST_SHARE or (row["steady_calls"] and (row["own"] or row["share"] >= LEAST_STEADY_SHARE))
    ]
    lost_s = sum(row["tottime_s"] for row in rows) - sum(row["tottime_s"] for row in kept)
    return kept, {"rows": len(rows) - len(kept), "tottime_s": lost_s}


def main(arguments: list[str]) -> int:
    """Make what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description="Make the named captures of profiles/captures/ again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    names = parser.parse_args(arguments).names or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    try:
        for name in names:
            make(name)
    except CouldNotMeasure as error:
        print(f"captures.py: {error}", file=sys.stderr)
        return 3
    update_index(CHECKOUT / "profiles")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

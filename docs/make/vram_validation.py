"""Compare predictions of `bench vram` to the CPU allocator's own peak, case by case, and print docs/vram.md's table.

Run from the root of the repository: python docs/make/vram_validation.py [--only held_out] [--json]
"""

import argparse
import json
import shlex
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_harness.commands import vram
from bench_harness.report import units
from bench_harness.vram import processes
from bench_harness.vram.prediction import Job

MODELS = Path(__file__).parents[2] / "tests" / "bench_harness" / "vram_models"


def cases(only: str | None) -> list[tuple[str, str, Job]]:
    """Return (tuned or held_out, flags, job) of every case."""
    parser = argparse.ArgumentParser()
    vram.configure(parser)
    found = []
    for line in (MODELS / "cases.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or (only and not line.startswith(only)):
            continue
        group, _, flags = line.partition(" ")
        job = vram.job_of(parser.parse_args(shlex.split(flags)))
        found.append((group, flags.strip(), replace(job, target=str(MODELS / job.target))))
    return found


def compared(only: str | None) -> list[dict[str, Any]]:
    """Predict and measure every case, each in a process of its own."""
    rows = []
    chosen = cases(only)
    threads = processes.prepare(chosen[0][2].target)
    for group, flags, job in chosen:
        job = replace(job, threads=threads)
        predicted, measured = processes.predicted(job)["peak_bytes"], processes.measured(job)["measured_bytes"]
        rows.append(
            {"group": group, "flags": flags, "predicted_bytes": predicted, "measured_bytes": measured}
            | {"ratio": predicted / measured}
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown, with the median and the worst difference of each group."""
    lines = ["| | case | predicted | measured | ratio |", "|---|---|---:|---:|---:|"]
    for row in rows:
        sizes = f"{units.size(row['predicted_bytes'])} | {units.size(row['measured_bytes'])}"
        lines.append(f"| {row['group'].replace('_', ' ')} | `{row['flags']}` | {sizes} | {row['ratio']:.4f} |")
    for group in dict.fromkeys(row["group"] for row in rows):
        off = [abs(row["ratio"] - 1) for row in rows if row["group"] == group]
        said = f"median difference {statistics.median(off):.2%}, worst {max(off):.2%}"
        lines.append(f"| {group.replace('_', ' ')} | **{len(off)} cases: {said}** | | | |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or with --json the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("tuned", "held_out"), help="leave out the other group")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    rows = compared(args.only)
    print(json.dumps(rows) if args.json else table(rows))


if __name__ == "__main__":
    sys.exit(main())

"""What a figure means nothing without: processor, versions, commit, date."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

VARIANT_FLAGS = {"baseline": "", "avx2": "avx2", "avx512": "avx512f"}
"""The SIMD variants of the kernel, and the flag of a CPU that has what it needs."""


def cpu_info() -> dict[str, str]:
    """Model and flags, as Linux tells them; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return {"model name": platform.processor() or platform.machine(), "flags": ""}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def variants_of_cpu() -> list[str]:
    """Those of `VARIANT_FLAGS` that this CPU could run."""
    flags = {"", *cpu_info().get("flags", "").split()}
    return [name for name, flag in VARIANT_FLAGS.items() if flag in flags]


def git(checkout: Path, *arguments: str) -> str:
    """What git says; nothing outside a checkout."""
    done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def commit_of(checkout: Path) -> str:
    """Commit, and whether the sources of the voxelizer differ from it."""
    edited = git(checkout, "status", "--porcelain", "--", "csrc", "bench_core", "setup.py")
    return (git(checkout, "rev-parse", "--short=12", "HEAD") or "unknown") + (" with edits" if edited else "")


def compiler() -> str:
    """First line of what the C compiler says it is."""
    command = [*os.environ.get("CC", "cc").split(), "--version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "no C compiler"
    return (done.stdout.splitlines() or ["unknown compiler"])[0]


def gather(checkout: Path, n_views: int) -> dict[str, Any]:
    """The conditions of this run."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": cpu_info().get("model name", platform.machine()),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": commit_of(checkout),
        "compiler": compiler(),
        "views": n_views,
        "variants_of_cpu": variants_of_cpu(),
        "load": round(os.getloadavg()[0], 2),
    }

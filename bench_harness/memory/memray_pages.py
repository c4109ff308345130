"""memray's own pages, per process: flame graphs over time and of leaks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench_harness.memory.memray_table import ProcessAllocations

KINDS = {"temporal": "--temporal", "leaks": "--leaks"}
_TIMEOUT_S = 600


@dataclass
class Pages:
    """The pages that were written, by name ("temporal: main"), and a line for each that was not."""

    files: dict[str, Path] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def page_command(capture: Path, kind: str, page: Path) -> list[str]:
    """Return the command of memray that writes a page, which needs no network to be read.

    Args:
        kind: of KINDS.
    """
    flags = [KINDS[kind], "--no-web", "--force", "--output", str(page)]
    return [sys.executable, "-m", "memray", "flamegraph", *flags, str(capture)]


def write_pages(
    folder: Path, processes: Iterable[ProcessAllocations], out: Path, kinds: Iterable[str] = tuple(KINDS)
) -> Pages:
    """Write the pages of each process into `out`, as KIND-LABEL.html: about 4.5 MB each."""
    out.mkdir(parents=True, exist_ok=True)
    pages, kinds = Pages(), tuple(kinds)
    for process in processes:
        # A capture with --aggregate has neither times nor what was left.
        for kind in kinds if process.allocations is not None else ():
            page = out / f"{kind}-{process.label.replace(' ', '-').replace('/', '-')}.html"
            problem = _write(page_command(folder / process.capture, kind, page))
            if problem is None:
                pages.files[f"{kind}: {process.label}"] = page
            else:
                pages.warnings.append(f"memray: no page {page.name}: {problem}")
    return pages


def _write(command: list[str]) -> str | None:
    """Run a command of memray's; return what is wrong, in one line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"not done in {_TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"

"""Files of a merged run: merged ones always, those of single processes while the size of a capture allows."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from bench_harness.errors import MissingPackageError
from bench_harness.profiles import statistics, text
from bench_harness.profiles.flame_page import render_page
from bench_harness.profiles.merged import Merged
from bench_harness.profiles.phases import Captured
from bench_harness.profiles.pruning import fitting
from bench_harness.profiles.speedscope import speedscope_document
from bench_harness.profiles.statistics import Folded
from bench_harness.run_folders import safe_name
from bench_harness.segments import FOLDER, write_atomically

BUDGET_BYTES = 5_000_000  # of a whole run's folder
RECORD_BYTES = 500_000  # kept free for the record and what else is written there
STACKS_BYTES = 1_500_000  # of a merged file of stacks
PROCESSES = "processes"


def write_artifacts(merged: Merged, folder: Path, *, keep_all: bool = False) -> None:
    """Write the files of a merged run, and note them in `merged`.

    Args:
        merged: what to write; its artifacts, files, left_out and warnings are filled.
        folder: of the run.
        keep_all: write the files of every process and keep all raw dumps, however large the folder grows.
    """
    for process in merged.processes:
        merged.files.setdefault(process.label, {})
    _write(merged, folder, "text", "merged.txt", text.merged_text(merged))
    _write(merged, folder, "lib_text", "merged.lib.txt", text.merged_text(merged, only_own=True))
    _write_profiles(merged, folder)
    _write_stacks(merged, folder)
    room = None if keep_all else BUDGET_BYTES - RECORD_BYTES - _size(folder)
    for process in merged.processes:
        if process.has_data:
            room = _write_process(merged, process, folder, room)
    if merged.left_out:
        merged.warnings.append(
            f"files of single processes left out: {len(merged.left_out)} (the run would have grown beyond "
            f"{BUDGET_BYTES / 1e6:.3g} MB; --keep-all writes them)"
        )


def _write_profiles(merged: Merged, folder: Path) -> None:
    total = statistics.add(process.profile for process in merged.processes if process.profile is not None)
    if total:  # pstats refuses an empty file
        write_atomically(folder / "merged.prof", statistics.profile_bytes(total))
        merged.artifacts["merged"] = "merged.prof"


def _write_stacks(merged: Merged, folder: Path) -> None:
    stacks = {process.label: process.stacks for process in merged.processes if process.stacks is not None}
    if not stacks:
        return
    # A run whose processes used different engines has both files; the profile comes first then.
    key = "speedscope" if "merged" in merged.artifacts else "merged"
    _write_fitting(merged, folder, key, "merged.speedscope.json", stacks, lambda kept: _document(kept, folder.name))
    if merged.engine == "pyinstrument":
        try:
            _write_fitting(merged, folder, "html", "merged.html", stacks, lambda kept: _page(merged, kept, folder.name))
        except MissingPackageError as error:
            merged.warnings.append(f"merged.html was not written: {error}")


def _write_fitting(
    merged: Merged,
    folder: Path,
    key: str,
    name: str,
    stacks: Mapping[str, Folded],
    render: Callable[[Mapping[str, Folded]], str],
) -> None:
    content, was_cut = fitting(stacks, render, STACKS_BYTES)
    _write(merged, folder, key, name, content)
    if was_cut:
        merged.warnings.append(f"{name}: rare stacks were cut, their time is in [rare stacks] of their callers")


def _document(stacks: Mapping[str, Folded], name: str) -> str:
    return json.dumps(speedscope_document(stacks, name), separators=(",", ":"))


def _page(merged: Merged, stacks: Mapping[str, Folded], title: str) -> str:
    states = [process.segment.state for process in merged.processes if process.segment.state is not None]
    return render_page(
        stacks,
        title=title,
        seconds=sum(sum(folded.values()) for folded in stacks.values()),
        cpu_s=sum(state.cpu_s for state in states),
        interval_s=min((each.interval_s for each in merged.processes if each.interval_s), default=0.001),
    )


def _write(merged: Merged, folder: Path, key: str, name: str, content: str) -> None:
    write_atomically(folder / name, _encoded(content))
    merged.artifacts[key] = name


def _write_process(merged: Merged, process: Captured, folder: Path, room: int | None) -> int | None:
    """Write the files of one process as far as there is room; return what is left of it."""
    (folder / PROCESSES).mkdir(exist_ok=True)
    for kind, (name, content) in _files_of(merged, process).items():
        path = f"{PROCESSES}/{name}"
        encoded = content()
        if room is not None and len(encoded) > room:
            merged.left_out.append(f"{path}: {len(encoded)} bytes, {max(0, room)} left")
            continue
        write_atomically(folder / path, encoded)
        merged.files[process.label][kind] = path
        room = None if room is None else room - len(encoded)
    return room


def _files_of(merged: Merged, process: Captured) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Return the name and the content of each file of a process; small and telling ones first."""
    stem = safe_name(process.label)
    profile, stacks = process.profile, process.stacks
    files: dict[str, tuple[str, Callable[[], bytes]]] = {
        "lib_text": (f"{stem}.lib.txt", lambda: _encoded(text.process_text(merged, process, only_own=True))),
        "text": (f"{stem}.txt", lambda: _encoded(text.process_text(merged, process))),
    }
    if profile:
        files["prof"] = (f"{stem}.prof", lambda: statistics.profile_bytes(profile))
    if stacks is not None:
        own = {process.label: stacks}
        files["speedscope"] = (f"{stem}.speedscope.json", lambda: _document(own, process.label).encode())
    return files


def _size(folder: Path) -> int:
    """Return the bytes in a run's folder without its segments: those are removed once the record is written."""
    raw = folder / FOLDER
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and raw not in path.parents)


def _encoded(text: str) -> bytes:
    """Return text as UTF-8; a file name may hold bytes that are none."""
    return text.encode(errors="backslashreplace")

"""Merge what the captured processes of a run left in its folder: main and every worker, and who is missing."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench_harness.errors import NothingMeasuredError
from bench_harness.profiles.artifacts import write_artifacts
from bench_harness.profiles.log_events import count_log_events
from bench_harness.profiles.merged import ROLES, Merged
from bench_harness.profiles.own_code import OwnCode
from bench_harness.profiles.phases import PHASES, Captured, Phase, read_process
from bench_harness.profiles.waiting import Account, add_accounts
from bench_harness.run_folders import safe_name
from bench_harness.segments import FOLDER, Role, Segment, read_segments, signal_name


def merge(
    folder: Path,
    *,
    roots: Iterable[str | os.PathLike[str]] = (),
    log_functions: Iterable[str] = (),
    text_head: Iterable[str] = (),
    working_folder: Path | None = None,
    keep_all: bool = False,
) -> Merged:
    """Merge the segments of a run and write its artifacts, all but record.json, into its folder.

    What a killed process leaves damaged or unfinished is told in `warnings` and `workers`, never an error.

    Args:
        folder: of the run; its segments lie in the folder `segments` of it. They stay, but for raw dumps that would
            make the run too large: such a run cannot be merged again.
        roots: files and folders that are the user's own library, relative to `working_folder`; default: all that is
            not the standard library or installed.
        log_functions: further functions whose calls are log events, as module/file.py:function.
        text_head: lines for the head of texts, such as the command and the conditions.
        working_folder: where the target ran; default: the present one. Paths are shown relative to it.
        keep_all: write the files of every process, however large the run's folder grows.

    Raises:
        NothingMeasuredError: there are no segments.
    """
    segments = read_segments(folder / FOLDER) if (folder / FOLDER).is_dir() else []
    if not segments:
        raise NothingMeasuredError(f"{folder / FOLDER}: no process was captured; did the target start at all?")
    processes = [read_process(segment, label) for segment, label in zip(segments, labels_of(segments), strict=True)]
    own_code = OwnCode(tuple(map(str, roots)), working_folder or Path.cwd())
    states = [segment.state for segment in segments if segment.state is not None]
    profiles = [process.profile for process in processes if process.profile is not None]
    merged = Merged(
        engine=states[0].engine if states else None,
        processes=processes,
        phases={name: phases for name, role in ROLES if (phases := _phases(processes, role))} | _threads(processes),
        workers=workers_of(processes),
        own_code=own_code,
        warnings=[*warnings_of(processes), *(f"own library: {each}" for each in own_code.missing())],
        log_events=count_log_events(profiles, log_functions) if profiles else None,
        text_head=list(text_head),
    )
    write_artifacts(merged, folder, keep_all=keep_all)
    return merged


def labels_of(segments: Sequence[Segment]) -> list[str]:
    """Return a label for each segment that no other has, as a file either."""
    taken: set[str] = set()
    labels = []
    for segment in segments:
        label = segment.identity.label()
        if safe_name(label) in taken:
            label = f"{label}-{segment.identity.serial}"
        taken.add(safe_name(label))
        labels.append(label)
    return labels


def _phases(processes: Iterable[Captured], role: Role) -> dict[Phase, Account]:
    of_role = [process.phases for process in processes if process.identity.role == role]
    found = {phase: [phases[phase] for phases in of_role if phase in phases] for phase in PHASES}
    return {phase: add_accounts(accounts) for phase, accounts in found.items() if accounts}


def _threads(processes: Sequence[Captured]) -> dict[str, dict[Phase, Account]]:
    """Return where the time of the other threads went: "main threads", "workers threads", "processes threads"."""
    found = {}
    for name, role in ROLES:
        of_role = [process.threads for process in processes if process.identity.role == role]
        phases = {phase: [threads[phase] for threads in of_role if phase in threads] for phase in PHASES}
        if any(phases.values()):
            found[f"{name} threads"] = {phase: add_accounts(each) for phase, each in phases.items() if each}
    return found


def workers_of(processes: Iterable[Captured]) -> dict[str, Any]:
    """Return how many workers were started and delivered, and who is missing, as a record has it."""
    started = [process for process in processes if process.identity.role != "main"]
    missing = [_missing(process) for process in started if not process.is_final]
    return {"expected": len(started), "delivered": len(started) - len(missing), "missing": missing}


def _missing(process: Captured) -> dict[str, Any]:
    identity = process.identity
    return {
        **{name: getattr(identity, name) for name in ("rank", "loader", "worker", "epoch", "pid", "name")},
        "reason": _reason(process),
        "partial": process.has_data,
    }


def _reason(process: Captured) -> str:
    state, code = process.segment.state, process.segment.exit_code
    if code is not None and code < 0:
        return f"killed by {signal_name(-code)}"
    if process.damaged and not process.has_last_dump:
        return "its last dump is damaged" if process.has_data else "what it left is damaged"
    if state is None:
        return "started, and left no state"
    if state.final:
        return f"ended ({state.reason}) without statistics"
    return "ended without a last dump" if state.reason == "running" else state.reason


def warnings_of(processes: Sequence[Captured]) -> list[str]:
    """Return what the processes tell, and which of them are partial, one line each."""
    warnings = _told(processes)
    for process in processes:
        warnings += process.damaged
        if process.has_data and not process.is_final:
            end = (
                "functions still open then are not counted"
                if process.profile is not None
                else "what came later is lost"
            )
            warnings.append(f"{process.label} is partial: captured up to its last dump; {end}")
        elif process.identity.role == "main" and not process.is_final:
            warnings.append(f"{process.label} left nothing that can be read: {_reason(process)}")
    return warnings


def _told(processes: Iterable[Captured]) -> list[str]:
    """Return what the processes tell themselves, each line once: every worker may have the same to say."""
    by_line: dict[str, list[str]] = {}
    for process in processes:
        state = process.segment.state
        for line in dict.fromkeys([] if state is None else state.warnings):
            by_line.setdefault(line, []).append(process.label)
    return [f"{_first_of(labels)}: {line}" for line, labels in by_line.items()]


def _first_of(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} more"

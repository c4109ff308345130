"""Sampled stacks as files of speedscope (https://www.speedscope.app), and the ones that py-spy writes."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_harness.errors import RecordError
from bench_harness.profiles.statistics import Folded, Function
from bench_harness.profiles.waiting_functions import THREAD_FILE
from bench_harness.segments import Stacks

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_PROFILE_NAME = re.compile(
    r'Process (?P<pid>\d+)(?: Thread (?P<thread>\d+|0x[0-9a-fA-F]+))?(?: "(?P<name>.*)")?', re.DOTALL
)
# py-spy puts every process under one of its parent: these frames are no functions.
_PROCESS_FRAME = re.compile(r'process \d+:".*', re.DOTALL)


def speedscope_document(stacks: Mapping[str, Folded], name: str) -> dict[str, Any]:
    """Return a document with one profile per process, by its label; they share their frames."""
    frames: dict[Function, int] = {}
    profiles = [_profile(label, folded, frames) for label, folded in stacks.items()]
    return {
        "$schema": SCHEMA,
        "exporter": "bench_harness",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name, "file": file, "line": line} for file, line, name in frames]},
        "profiles": profiles,
    }


def _profile(label: str, folded: Folded, frames: dict[Function, int]) -> dict[str, Any]:
    # Sorted, so that equal callers lie side by side: there is no order of time in folded stacks.
    stacks = sorted(folded)
    return {
        "type": "sampled",
        "name": label,
        "unit": "seconds",
        "startValue": 0,
        "endValue": sum(folded.values()),
        "samples": [[frames.setdefault(function, len(frames)) for function in stack] for stack in stacks],
        "weights": [folded[stack] for stack in stacks],
    }


def stacks_by_process(path: Path) -> dict[int, Stacks]:
    """Read what `py-spy record --subprocesses --function --format speedscope` wrote: the stacks of each process.

    Threads other than the main one lie under a frame `thread NAME`. Without --function the line of a frame is not that
    of its definition, and one function counts as several.

    Raises:
        RecordError: no such file, or not as py-spy writes it; names it.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return _by_process(document)
    except (OSError, UnicodeDecodeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise RecordError(f"{path}: not a speedscope file of py-spy ({error or type(error).__name__})") from error


def _by_process(document: Any) -> dict[int, Stacks]:
    frames = document["shared"]["frames"]
    shared = [(str(each["name"]), each.get("file") or "", each.get("line") or 0) for each in frames]
    found: dict[int, Stacks] = {}
    for profile in document["profiles"]:
        match = _PROFILE_NAME.fullmatch(profile["name"])
        if match is None:
            raise ValueError(f"profile {profile['name']!r} names no process")
        stacks = found.setdefault(int(match["pid"]), Stacks(0.0, [], [], []))
        _append(stacks, profile, shared, _thread_frame(match))
    return found


def _thread_frame(match: re.Match[str]) -> tuple[str, str, int] | None:
    """Return the frame to put around the stacks of a thread, None for the main one: on Linux its number is the pid."""
    pid, thread, name = match["pid"], match["thread"], match["name"]
    if name == "MainThread" or thread in (None, pid):
        return None
    return f"thread {name or thread}", THREAD_FILE, 0


def _append(
    stacks: Stacks, profile: Any, shared: list[tuple[str, str, int]], thread: tuple[str, str, int] | None
) -> None:
    """Add the samples of a thread to its process; equal ones are folded."""
    indices = {frame: index for index, frame in enumerate(stacks.frames)}
    known = {tuple(sample): position for position, sample in enumerate(stacks.samples)}
    for sample, weight in zip(profile["samples"], profile["weights"], strict=True):
        frames = [frame for frame in (shared[index] for index in sample) if not _PROCESS_FRAME.fullmatch(frame[0])]
        frames = frames if thread is None else [thread, *frames]
        numbers = tuple(indices.setdefault(frame, len(indices)) for frame in frames)
        if numbers not in known:
            known[numbers] = len(stacks.samples)
            stacks.samples.append(list(numbers))
            stacks.weights_s.append(0.0)
        stacks.weights_s[known[numbers]] += float(weight)
        stacks.interval_s = min(stacks.interval_s or float(weight), float(weight))
    stacks.frames[:] = list(indices)

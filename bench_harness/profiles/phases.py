"""What each process did in each phase: set-up, the first batch, the steady state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench_harness.errors import RecordError
from bench_harness.profiles import statistics
from bench_harness.profiles.statistics import Cost, Folded, Profile
from bench_harness.profiles.waiting import BACKGROUND, Account, account_of_profile, account_of_stacks, add_accounts
from bench_harness.profiles.waiting_functions import is_start_of_process
from bench_harness.segments import PROFILE, Identity, Segment

Phase = Literal["setup", "first", "steady"]
WITHOUT_DATA = ("none", "py-spy")  # engines that capture nothing from inside a process
PHASES: tuple[Phase, ...] = ("setup", "first", "steady")


@dataclass
class Captured:
    """One process of a run, read.

    Args:
        label: unique in the run, and fit for a file name.
        profile: all of its statistics; None for sampled stacks, and where nothing readable was left.
        stacks: all of its samples, likewise.
        phases: where the time of each phase went; a process without batches is all set-up.
        seconds: how long each phase lasted.
        threads: where the time of its other threads went, waiting left out.
        has_last_dump: whether the file of the whole could be read, and not only one frozen at a boundary.
        damaged: what could not be read, one line each.
    """

    label: str
    segment: Segment
    profile: Profile | None = None
    stacks: Folded | None = None
    interval_s: float | None = None
    phases: dict[Phase, Account] = field(default_factory=dict)
    seconds: dict[Phase, float] = field(default_factory=dict)
    threads: dict[Phase, Account] = field(default_factory=dict)
    has_last_dump: bool = False
    damaged: list[str] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        """Who it is."""
        return self.segment.identity

    @property
    def has_data(self) -> bool:
        """Whether anything was captured."""
        return self.profile is not None or self.stacks is not None

    @property
    def is_final(self) -> bool:
        """Whether the dump of its end is there, and can be read; an engine that captures nothing leaves no data."""
        state = self.segment.state
        if state is None or not state.final:
            return False
        return self.has_last_dump or state.engine in WITHOUT_DATA

    @property
    def whole(self) -> Account:
        """Where its time went, over all phases."""
        return add_accounts(self.phases.values())


def read_process(segment: Segment, label: str) -> Captured:
    """Read what a process left; what is damaged is told in `damaged`, and the rest used."""
    captured = Captured(label, segment, seconds=_seconds(segment))
    dumps = _dumps(_paths(segment), captured)
    if not dumps:
        return captured
    captured.has_last_dump = "whole" in dumps
    # A process killed between a boundary and its next dump: the boundary is the later one.
    whole = max(dumps.values(), key=statistics.size)
    if any(path.name.endswith(PROFILE) for path in _paths(segment).values()):
        captured.profile = whole
    else:
        captured.stacks = whole
    captured.phases = _phases(captured, dumps, whole)
    if captured.profile is not None:
        captured.threads = _threads(captured)
    return captured


def _threads(captured: Captured) -> dict[Phase, Account]:
    found = _dumps(captured.segment.threads, captured)
    if not found:
        return {}
    whole = max(found.values(), key=statistics.size)
    # Where a boundary has no file of threads, there were none yet.
    none_yet: dict[str, Any] = {name: {} for name in captured.segment.boundaries if name not in captured.segment.threads}
    phases = _phases(captured, {**none_yet, **found}, whole, together=True)
    for account in phases.values():
        account.leave_out(BACKGROUND, account.waiting_s)
        account.waiting.clear()
    return phases


def _paths(segment: Segment) -> dict[str, Path]:
    paths = dict(segment.boundaries)
    return paths if segment.data is None else {**paths, "whole": segment.data}


def _dumps(paths: Mapping[str, Path], captured: Captured) -> dict[str, Any]:
    found = {name: _dump(path, captured) for name, path in paths.items()}
    return {name: dump for name, dump in found.items() if dump is not None}


def _dump(path: Path, captured: Captured) -> Any:
    try:
        if path.name.endswith(PROFILE):
            return statistics.load_profile(path)
        stacks = statistics.load_stacks(path)
    except RecordError as error:
        captured.damaged.append(str(error))
        return None
    captured.interval_s = stacks.interval_s
    folded = statistics.fold(stacks)
    return folded if captured.identity.role == "main" else _without_parent(folded)


def _without_parent(folded: Folded) -> Folded:
    """Return stacks without the frames of the process that forked this one: no time of theirs passes here."""
    own: Folded = {}
    for stack, weight in folded.items():
        starts = (index for index in range(len(stack) - 1, -1, -1) if is_start_of_process(stack[index]))
        kept = stack[next(starts, 0) :]
        own[kept] = own.get(kept, 0.0) + weight
    return own


def _phases(
    captured: Captured, dumps: Mapping[str, Any], whole: Any, *, together: bool = False
) -> dict[Phase, Account]:
    """Return the account of each phase: what is between two boundaries counts to the phase that begins with them.

    `together`: several threads are added up, whose calls pass at the same time.
    """
    ends: list[tuple[Phase, Any]] = [(name, dumps[name]) for name in ("setup", "first") if name in dumps]
    following: Phase = "steady" if "first" in dumps else "first" if "setup" in dumps else "setup"
    phases: dict[Phase, Account] = {}
    before: Any = {}
    for name, dump in [*ends, (following, whole)]:
        phases[name] = _account(captured, statistics.subtract(dump, before), captured.seconds.get(name), together)
        before = dump
    return phases


def _account(captured: Captured, part: Any, seconds: float | None, together: bool) -> Account:
    role = captured.identity.role
    if captured.stacks is not None:
        return account_of_stacks(part, role)
    account = account_of_profile(part, role)
    if seconds is not None:
        account.functions = {
            function: _capped(cost, seconds * (cost.calls or 1) if together else seconds)
            for function, cost in account.functions.items()
        }
    return account


def _capped(cost: Cost, seconds: float) -> Cost:
    """Limit a cumulative time to that of its phase: a call that began in an earlier one brings that time along."""
    return Cost(cost.calls, cost.own_s, max(cost.own_s, min(cost.total_s, seconds)))


def _seconds(segment: Segment) -> dict[Phase, float]:
    if segment.state is None:
        return {}
    ends, frozen = segment.state.phases_s, segment.state.frozen_s
    wall = segment.state.wall_s
    setup = min(ends.get("setup", wall), wall)
    first = max(setup, min(ends.get("first", wall), wall))
    # A dump at a boundary took time of the phase after it, with many functions more than a batch does.
    own = {"first": first - setup - frozen.get("setup", 0.0), "steady": wall - first - frozen.get("first", 0.0)}
    return {"setup": setup, "first": max(0.0, own["first"]), "steady": max(0.0, own["steady"])}

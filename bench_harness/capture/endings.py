"""Who of a run died, and of what: the evidence of its segments, put before bench_harness.memory.deaths."""

import dataclasses
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_harness.capture.pipeline.layout import read_fetched
from bench_harness.capture.runtime import ENDED_BY_PARENT
from bench_harness.environment import cgroup_limit_bytes
from bench_harness.memory.deaths import Death, Evidence, explain
from bench_harness.memory.oom_kills import OomKills
from bench_harness.segments import Segment, read_segments, signal_number

_WHO = ("rank", "loader", "worker", "epoch", "pid", "name")


@dataclasses.dataclass(frozen=True)
class LastSample:
    """The last that a sampler saw of a process's memory: bytes, their kind (USS, PSS, RSS), when, and since what."""

    memory_bytes: int
    memory_kind: str = "USS"
    memory_at_s: float | None = None
    memory_since: str = "the run began"


def deaths_of(
    folder: Path,
    oom_kills: OomKills,
    *,
    main_signal: str | None = None,
    samples: dict[int, LastSample] | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each process that ended before its time: who it is, its serial, and its `cause`.

    Args:
        folder: of the segments.
        oom_kills: counted during the run.
        main_signal: what killed the main process, whose exit code no process of the run could see.
        samples: by pid, for commands that sampled; else what the processes themselves left is told.
    """
    segments = read_segments(folder)
    for segment in segments:
        if main_signal and segment.identity.role == "main" and segment.exit_code is None:
            segment.exit_code = -signal_number(main_signal)
    killed = sum(segment.exit_code == -signal.SIGKILL for segment in segments)
    rows = []
    for segment in segments:
        evidence = _evidence(folder, segment, segments, oom_kills, killed)
        sample = (samples or {}).get(segment.identity.pid or 0)
        if sample is not None:
            evidence = dataclasses.replace(evidence, **dataclasses.asdict(sample))
        death = _explained(segment, evidence)
        if death is not None:
            rows.append(_row(segment, death))
    return rows


def _explained(segment: Segment, evidence: Evidence) -> Death | None:
    # Main's own exception and exit code are told anyway, by Python and by the shell: what killed it is not.
    if segment.identity.role == "main" and (segment.exit_code or 0) >= 0:
        return None
    return explain(segment, evidence)


def _evidence(
    folder: Path, segment: Segment, segments: Sequence[Segment], oom_kills: OomKills, killed: int
) -> Evidence:
    mains = [each.state for each in segments if each.identity.role == "main" and each.state is not None]
    evidence = Evidence(
        oom_kills=oom_kills,
        limit_bytes=cgroup_limit_bytes(),
        killed=killed,
        ended_by_parent=(folder / f"{segment.identity.serial}{ENDED_BY_PARENT}").exists(),
        main_exception=next((state.exception for state in mains if state.exception), None),
    )
    try:
        fetched = read_fetched(segment.pipeline) if segment.pipeline is not None else None
    except OSError:
        fetched = None
    if fetched is None:
        return evidence
    return dataclasses.replace(
        evidence,
        batches=fetched.batches,
        last_batch=fetched.last_batch,
        fetching=fetched.fetching,
        items=fetched.items,
        item_count=fetched.item_count,
    )


def _row(segment: Segment, death: Death) -> dict[str, Any]:
    identity = segment.identity
    who = {name: getattr(identity, name) for name in _WHO}
    return {"serial": identity.serial, "role": identity.role, **who, "cause": dataclasses.asdict(death)}


def with_causes(workers: dict[str, Any], deaths: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return `workers` of a record with all `deaths`, and the cause of each in its row of `missing`."""
    causes = {(row["rank"], row["pid"], row["loader"], row["epoch"]): row["cause"] for row in deaths}
    missing = []
    for row in workers["missing"]:
        cause = causes.get((row["rank"], row["pid"], row["loader"], row["epoch"]))
        missing.append(row if cause is None else row | {"cause": cause})
    return {**workers, "missing": missing, "deaths": list(deaths)} if deaths else workers | {"missing": missing}

"""What the end of a run that was watched says: who hung, who died, and whether there was anything to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_harness.memory.hazards.findings import Finding


@dataclass(frozen=True)
class Ended:
    """How a run for a diagnosis ended.

    Args:
        code: exit code as a shell reports it; signal: the name of what killed the target.
        exception: one line about the exception that ended it.
        hung: who came no further, in words; then the target was ended by us.
        deaths: rows of capture.endings.deaths_of.
        has_workers: whether a DataLoader with workers was iterated.
        unseen: names of loaders with workers that could not be looked at.
    """

    code: int = 0
    signal: str | None = None
    exception: str | None = None
    hung: Sequence[str] = ()
    deaths: Sequence[Mapping[str, Any]] = ()
    has_workers: bool = True
    unseen: Sequence[str] = ()


def check_ended(ended: Ended) -> list[Finding]:
    """Return what is to be said about the end of a run."""
    found = [_hung(ended)] if ended.hung else _died(ended) or _failed(ended)
    if ended.unseen:
        why = "whether it is fine is not known: see the warnings"
        do = "report it, with the warnings"
        found.append(Finding("workers", "fatal", f"not looked at: {', '.join(ended.unseen)}", why, do))
    if not ended.has_workers and not ended.hung and not ended.code:
        why = "threads, sharing and limits matter where workers load data; nothing of it could be seen"
        do = "give arguments by which the target loads data in workers"
        found.append(Finding("workers", "note", "no DataLoader with workers was iterated", why, do))
    return found


def _hung(ended: Ended) -> Finding:
    why = "the target would wait for ever; it was ended here"
    do = "what is said below about threads; `py-spy dump --pid PID` shows where a process waits; --patience S"
    return Finding("hang", "fatal", "; ".join(ended.hung), why, do)


def _died(ended: Ended) -> list[Finding]:
    return [
        Finding(
            "death",
            "fatal",
            f"{_who(row)} died ({row['cause']['kind']}): {row['cause']['text']}",
            "the run ends with it",
            row["cause"].get("remedy") or "see what it printed",
        )
        for row in ended.deaths
    ]


def _who(row: Mapping[str, Any]) -> str:
    if row["role"] == "main":
        return "main"
    worker = "" if row.get("worker") is None else f" worker {row['worker']}"
    return f"{row.get('loader') or row.get('name') or 'a process'}{worker}"


def _failed(ended: Ended) -> list[Finding]:
    if not ended.code:
        return []
    how = f"killed by {ended.signal}" if ended.signal else f"exit code {ended.code}"
    seen = f"the target failed: {how}" + (f", {ended.exception}" if ended.exception else "")
    return [Finding("run", "fatal", seen, "what comes later could not be looked at", "see what it printed")]

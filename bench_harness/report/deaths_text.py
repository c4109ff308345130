"""Why processes ended before their time, in words: for the reports of every command that runs a target."""

from collections.abc import Iterable, Mapping
from typing import Any


def lines(workers: Mapping[str, Any]) -> Iterable[str]:
    """Yield what is known about each process of `workers` of a record that died, and what to try."""
    for row in workers.get("deaths") or []:
        cause = row["cause"]
        yield f"{_who(row)} died ({cause['kind']}): {cause['text']}"
        if cause.get("remedy"):
            yield f"  try: {cause['remedy']}"


def _who(row: Mapping[str, Any]) -> str:
    if row.get("role") == "main":
        return "main"
    who = [row.get("loader") or row.get("name") or "process"]
    who += [f"{name} {row[name]}" for name in ("worker", "epoch", "pid") if row.get(name) is not None]
    who += [f"of rank {row['rank']}"] if row.get("rank") else []
    return " ".join(map(str, who))

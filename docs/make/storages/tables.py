"""The tables of the page, from measured.json."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from storages.reasons import REASONS
from storages.runs import METHODS, SIZES, WORKERS, key

PHASES = ("before", "training", "validation")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> str:
    """Return Markdown; all but the first columns, of which `right` are numbers, are aligned to the left."""
    rule = ["---"] + ["---:"] * right + ["---"] * (len(header) - 1 - right)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def megabytes(value: float) -> str:
    """Return bytes as whole decimal megabytes."""
    return f"{value / 1e6:,.0f}"


def pss(told: Mapping[str, Any]) -> str:
    """Return the tree's PSS in each phase; what was left out is named."""
    if not told:
        return "-"
    parts = [megabytes(told[phase]["pss_bytes"]) for phase in PHASES if phase in told]
    if "skipped_needs_bytes" in told:
        parts.append(f"({told['skipped_needs_bytes'] / 1e9:.0f} GB)")
    return " → ".join(parts)


def uss(told: Mapping[str, Any]) -> str:
    """Return what a training worker holds for itself, at the end of the epoch."""
    if "training" not in told:
        return "-"
    return megabytes(statistics.fmean(told["training"]["worker_uss_bytes"]))


def rss(told: Mapping[str, Any]) -> str:
    """Return the sum of RSS before and after training, which tells nothing."""
    return megabytes(told["training"]["rss_bytes"]) if "training" in told else "-"


def size_table(results: Mapping[str, Any], size: str) -> str:
    """One size, both start methods."""
    header = ["storage"]
    for method in METHODS:
        header += [f"{method}: tree PSS", "USS per worker", "sum of RSS"]
    rows = []
    for kind in REASONS:
        told = [results.get(key(kind, size, method), {}) for method in METHODS]
        if any(told):
            rows.append([kind, *(cell for one in told for cell in (pss(one), uss(one), rss(one)))])
    return table(header, rows, right=6)


def reason_table(results: Mapping[str, Any]) -> str:
    """What a row costs under fork in the full size, and why."""
    rows = []
    for kind, why in REASONS.items():
        told = results.get(key(kind, "full", "fork"), {})
        grown = "-"
        if "training" in told:
            nothing = results[key("nothing", "full", "fork")]
            own = (growth(told) - growth(nothing)) / WORKERS / SIZES["full"]
            grown = f"{own:,.0f}" if abs(own) >= 0.5 else "0"
        rows.append([kind, grown, why])
    return table(["storage", "B per row and worker", "why"], rows, right=1)


def growth(told: Mapping[str, Any]) -> float:
    """By how many bytes PSS of the tree grew in training."""
    return float(told["training"]["pss_bytes"] - told["before"]["pss_bytes"])

"""The page: the template's prose, and the tables of what was measured."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storages.runs import SIZES, WORKERS
from storages.tables import reason_table, size_table

TEMPLATE = Path(__file__).with_name("page.md")
COMMAND = "python docs/make/worker_memory.py"
PICTURE = "tree-pss.png"


def largest_size(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the largest size that was measured, and the title of its picture."""
    size = [name for name in SIZES if any(f"| {name} |" in run for run in record["results"])][-1]
    return size, f"{SIZES[size]:,} rows, {WORKERS} + {WORKERS} workers"


def render(record: Mapping[str, Any], folder: str) -> str:
    """Return the whole page; `folder` is where its picture is, relative to it."""
    conditions, results = record["conditions"], record["results"]
    _, title = largest_size(record)
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        {name: conditions[name] for name in ("date", "cpu", "cores", "kernel", "python")},
        packages=", ".join(f"{name} {version}" for name, version in conditions["packages"].items()),
        sources=_sources(results),
        memory=f"{conditions['memory_bytes'] / 1e9:.0f} GB",
        command=COMMAND,
        workers=WORKERS,
        picture=f"![tree PSS by storage, {title}]({folder}/{PICTURE})",
        tables="\n\n".join(
            f"### {name}: {SIZES[name]:,} rows\n\n{size_table(results, name)}" for name in _sizes(results)
        ),
        reasons=reason_table(results),
        **_origins(record.get("origins")),
    )


def _sources(results: Mapping[str, Any]) -> str:
    """Return the versions of examples/storages that were measured; of a second one, which storages."""
    kinds: dict[str, list[str]] = {}
    for name, told in results.items():
        of_this = kinds.setdefault(told["source"], [])
        kind = name.partition(" | ")[0]
        if kind not in of_this:
            of_this.append(kind)
    first, *others = sorted(kinds, key=lambda source: -len(kinds[source]))
    return "".join([f"`{first}`", *(f"; {' and '.join(map(repr, kinds[each]))}: `{each}`" for each in others)])


def _sizes(results: Mapping[str, Any]) -> list[str]:
    return [name for name in reversed(SIZES) if any(f"| {name} |" in run for run in results)]


def _origins(measured: Mapping[str, Any] | None) -> dict[str, str]:
    if measured is None:
        return dict.fromkeys(("n_origins", "n_tags", "store_size", "net_uss", "store_source"), "(not measured)")
    return {
        "n_origins": f"{measured['origins']:,}",
        "n_tags": f"{measured['tags']:,}",
        "store_size": f"{measured['store_bytes'] / 1e6:,.0f} MB",
        "store_source": measured["source"],
        "net_uss": f"{round(measured['net_uss_bytes'] / 1e6, 2) + 0.0:.2f} MB",
    }

"""The page: the template's prose, the tables of a record, and who is who."""

from __future__ import annotations

import string
from pathlib import Path

from comparison.cases import STRUCTURES
from comparison.catalogue import BENCH_CORE, PEERS
from comparison.measurement import BUDGET_S
from comparison.tables import (
    Record,
    difference_table,
    floor_table,
    kernel_notes,
    kernel_table,
    speed_notes,
    speed_table,
    table,
)

TEMPLATE = Path(__file__).with_name("page.md")
COMMAND = "python docs/make/peers.py"
PICTURES_PER_ROW = 4


def render(record: Record, folder: str) -> str:
    """The whole page; `folder` is where its pictures are, relative to it."""
    conditions = record["conditions"]
    template = string.Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(
        {name: conditions[name] for name in ("date", "commit", "cpu", "cores", "system", "compiler", "load", "views")},
        command=COMMAND,
        budget_s=f"{BUDGET_S:g}",
        structures=", ".join(STRUCTURES),
        speed_table=speed_table(record),
        speed_notes=speed_notes(record),
        kernel_table=kernel_table(record),
        kernel_notes=kernel_notes(record),
        model_table=model_table(),
        pictures=picture_tables(record, folder),
        floor_table=floor_table(record),
        difference_table=difference_table(record),
        failures=failure_list(record),
        version_table=version_table(record),
    )


def model_table() -> str:
    """What each package computes."""
    rows = [[p.name, p.version or "this one", p.licence, p.model, p.note] for p in (BENCH_CORE, *PEERS)]
    return table(["package", "version", "licence", "value of a voxel, per atom", "besides"], rows)


def picture_tables(record: Record, folder: str) -> str:
    """The slices that were drawn, a few a row."""
    shown = [
        (f"![{p.name}, {arm}]({folder}/{p.picture(arm)}.png)", f"**{p.name}**: {caption}")
        for p in (BENCH_CORE, *PEERS)
        for arm, caption in p.pictures.items()
        if p.picture(arm) in record["pictures"]
    ]
    rows = [shown[i : i + PICTURES_PER_ROW] for i in range(0, len(shown), PICTURES_PER_ROW)]
    return "\n\n".join(table([image for image, _ in row], [[caption for _, caption in row]]) for row in rows)


def failure_list(record: Record) -> str:
    """Who is missing."""
    said = {name: message.replace("`", "'") for name, message in record["failures"].items()}
    lines = [f"- **{name}** failed: `{message}`" for name, message in said.items()]
    lines += [f"- {name} was left out of this run." for name in record["left_out"]]
    return "\n".join(lines) or "- none in this run."


def version_table(record: Record) -> str:
    """What ran where."""
    rows = [
        [name, ", ".join(f"{package} {version}" for package, version in about["versions"].items())]
        for name, about in record["workers"].items()
    ]
    return table(["process", "versions"], rows)

"""The tables of figures: a record of measurements as Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from comparison.catalogue import CORE, FLOOR, OURS, PEERS, SIDE_BY_SIDE
from comparison.conditions import VARIANT_FLAGS

BARS = {"baseline": (85, 70, 100), "avx2": (250, 190, 250), "avx512": (300, 220, 300)}
"""Ratio to the core that each variant must reach: 24³ at r = h/2, 21³ at r = h/2, radii of the elements."""

BAR_CASES = ((24, "r = h/2", 0), (21, "r = h/2", 1), (24, "r = 1.0-1.7 Å", 2), (21, "r = 1.0-1.7 Å", 2))
RATIOS_AGREE = 0.1
"""Median of ratios and ratio of medians are both shown where they differ by more than this."""

Record = dict[str, Any]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: text columns to the left, those whose heading ends in a space to the right."""
    rule = ["---:" if head.endswith(" ") else "---" for head in heads]
    lines = [[head.strip() for head in heads], rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(value: float) -> str:
    """Three digits, without an exponent: 1.23, 12.3, 123, 1,230."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}"
    return f"{value:.3g}"


def us(value: float) -> str:
    """A time."""
    return f"{figure(value)} µs"


def times(ratio: float) -> str:
    """A ratio; whole numbers from 10 on."""
    return f"{ratio:.1f}x" if ratio < 10 else f"{ratio:,.0f}x"


def apart_cases(record: Record) -> list[Record]:
    """The cases in which all were timed."""
    return [case for case in record["cases"] if case.get("apart")]


def find(case: Record, subject: str, arm: str) -> Record:
    """The result of an arm; nothing where it was not measured."""
    found = [row for row in case["apart"] if (row["subject"], row["arm"]) == (subject, arm)]
    return found[0] if found else {}


def speed_table(record: Record) -> str:
    """A row per arm, a column per case."""
    measured = apart_cases(record)
    arms = list(dict.fromkeys((r["subject"], r["arm"]) for c in measured for r in c["apart"] if r["subject"] != FLOOR))
    heads = ["package", "what was timed", *(f"{case['name']} " for case in measured)]
    rows = [
        [subject, arm_name(subject, arm), *(speed_cell(find(c, subject, arm)) for c in measured)]
        for subject, arm in arms
    ]
    return table(heads, rows)


def arm_name(subject: str, arm: str) -> str:
    """How the page calls an arm."""
    return f"`voxelize_atoms`, {arm} maths" if subject == OURS else arm


def speed_cell(row: Record) -> str:
    """Time and ratio."""
    if "median_us" not in row:
        return "failed" if row else "-"
    reference = (row["subject"], row["arm"]) == (OURS, "float64")
    return us(row["median_us"]) if reference else f"{us(row['median_us'])}, {times(row['ratio'])}"


def speed_notes(record: Record) -> str:
    """Atoms per view, and what to know of single cells."""
    measured = apart_cases(record)
    counts = "; ".join(f"{case['atoms_per_view']:.0f} at {case['name']}" for case in measured)
    notes = [f"Atoms per view, on average: {counts}."]
    notes += [note for case in measured for row in case["apart"] for note in notes_on(row, case, record)]
    notes += usual_radii_notes(measured)
    return "\n".join(f"- {note}" for note in notes)


def usual_radii_notes(measured: list[Record]) -> list[str]:
    """Peers of models that are made for van der Waals radii, against ours at the radius that it is made for."""
    notes = []
    for ours_at, theirs_at in itertools.permutations(measured, 2):
        ours = find(ours_at, OURS, "float64")
        if ours_at["grid"] == theirs_at["grid"] and ours_at["radii"] == "r = h/2" and "median_us" in ours:
            ratios = [
                f"{row['subject']} ({row['arm']}) {times(row['median_us'] / ours['median_us'])}"
                for row in theirs_at["apart"]
                if row["subject"] not in (OURS, FLOOR, PEERS[0].name) and "median_us" in row
            ]
            notes.append(f"Each at its usual radius, ours h/2, theirs in {theirs_at['name']}: {', '.join(ratios)}.")
    return notes


def notes_on(row: Record, case: Record, record: Record) -> list[str]:
    """Fewer views, ratios that do not agree, an error."""
    who = f"{row['subject']} ({row['arm']}), {case['name']}"
    if "median_us" not in row:
        return [f"{who}: {row['failure']}."]
    notes = []
    if row["views"] < record["conditions"]["views"]:
        notes.append(f"{who}: the first {row['views']} views only, and ours on the same ones.")
    if row["subject"] != FLOOR and abs(row["ratio_by_view"] / row["ratio"] - 1) > RATIOS_AGREE:
        notes.append(f"{who}: the median of the ratios of single views is {times(row['ratio_by_view'])}.")
    return notes


def one_process(record: Record, grid: int, radii: str) -> Record:
    """What was measured beside the core for a grid and radii."""
    found = [c["one_process"] for c in record["cases"] if (c["grid"], c["radii"]) == (grid, radii)]
    return found[0] if found else {}


def kernel_table(record: Record) -> str:
    """A row per variant and precision, a column per case that has a bar."""
    columns = [(one_process(record, grid, radii), bar) for grid, radii, bar in BAR_CASES]
    names = {(c["grid"], c["radii"]): c["name"] for c in record["cases"]}
    heads = ["kernel", "maths", *(f"{names.get((grid, radii), '')} " for grid, radii, _ in BAR_CASES)]
    arms = list(dict.fromkeys(row["arm"] for column, _ in columns for row in column.get("rows", [])))
    if not arms:
        return f"Not measured in this run ({record['failures'].get(SIDE_BY_SIDE.name, 'left out')})."
    names_of = {arm: (PEERS[0].name, arm) if arm == CORE else arm.split() for arm in arms}
    rows = [[*names_of[arm], *(kernel_cell(column, arm, bar) for column, bar in columns)] for arm in arms]
    return table(heads, rows)


def kernel_cell(column: Record, arm: str, bar: int) -> str:
    """Time, ratio and bar; of the core its time."""
    row = next((row for row in column.get("rows", []) if row["arm"] == arm), {})
    if "ratio" not in row:
        return "failed" if row else "-"
    if arm == CORE:
        return us(row["median_us"])
    least = BARS.get(arm.split()[0], BARS["baseline"])[bar]
    verdict = "met" if row["ratio"] >= least else "**missed**"
    return f"{us(row['median_us'])}, **{times(row['ratio'])}** (bar {least}x: {verdict})"


def kernel_notes(record: Record) -> str:
    """Which rows there are not, and why."""
    shown = [case for case in record["cases"] if (case["grid"], case["radii"]) in {bar[:2] for bar in BAR_CASES}]
    rows = [(case["name"], row) for case in shown for row in case["one_process"].get("rows", [])]
    notes = [f"{row['arm']}, {name}: {row['failure']}." for name, row in rows if "failure" in row]
    notes += [
        f"{name}: the first {row['views']} views only."
        for name, row in rows
        if row["arm"] == CORE and row.get("views", 0) < record["conditions"]["views"]
    ]
    if any(row["arm"].endswith(" float32") for _, row in rows):
        notes.append("float32 maths is for r <= h/2 only.")
    return "\n".join(f"- {note}" for note in notes + missing_kernels(record))


def missing_kernels(record: Record) -> list[str]:
    """What this CPU or this build lacks, and what is in use."""
    about = record["workers"].get(SIDE_BY_SIDE.name, record["workers"].get(OURS, {}))
    built = about.get("variants", [])
    if not built:
        return [f"This build has one kernel, `{about.get('in_use', 'unknown')}`, held to the bar of `baseline`."]
    notes = []
    for name in VARIANT_FLAGS:
        if name not in built:
            lacks = "this build" if name in record["conditions"]["variants_of_cpu"] else "this CPU"
            notes.append(f"No row for `{name}`: {lacks} lacks it.")
    return [*notes, f"`voxelize_atoms` chose `{about['in_use']}` by itself."]


def floor_table(record: Record) -> str:
    """Zeroing, splat and ours at r = h/2."""
    measured = [
        case for case in apart_cases(record) if case["radii"] == "r = h/2" and "median_us" in find(case, FLOOR, "splat")
    ]
    precisions = list(dict.fromkeys(r["arm"] for c in measured for r in c["apart"] if r["subject"] == OURS))
    if not measured:
        return f"Not measured in this run ({record['failures'].get(FLOOR, 'failed')})."
    heads = ["image", "zeroing ", "zeroing and 8 adds ", *(f"ours, {p} maths " for p in precisions)]
    rows = []
    for case in measured:
        splat_us = find(case, FLOOR, "splat")["median_us"]
        ours_us = [find(case, OURS, precision)["median_us"] for precision in precisions]
        cells = [f"{us(our_us)}, of which {splat_us / our_us:.0%}" for our_us in ours_us]
        rows.append([case["name"], us(find(case, FLOOR, "zero")["median_us"]), us(splat_us), *cells])
    return table(heads, rows)


def difference_table(record: Record) -> str:
    """Largest differences to the core, float32 images by precision of the maths, then float64 images."""
    measured = [case for case in record["cases"] if case["one_process"].get("differences")]
    if not measured:
        return f"Not measured in this run ({record['failures'].get(SIDE_BY_SIDE.name, 'left out')})."
    heads = [
        "image",
        "views ",
        "float32 image, float64 maths ",
        "float32 image, float32 maths ",
        "float64 image, float64 maths ",
    ]
    kinds = (" float64", " float32", " image")
    rows = []
    for case in measured:
        found = case["one_process"]["differences"]
        worst = [max((v for arm, v in found.items() if arm.endswith(kind)), default=None) for kind in kinds]
        cells = ["-" if value is None else f"{value:.1e}" for value in worst]
        rows.append([case["name"], str(case["one_process"]["difference_views"]), *cells])
    return table(heads, rows)

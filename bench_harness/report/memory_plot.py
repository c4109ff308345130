"""The picture of `bench memory`: what each process of the tree held over time, stacked, with the phases shaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_harness.errors import UsageError
from bench_harness.optional import require

_MAIN, _OTHERS = "#333333", "#bbbbbb"
# A colour for each pool of workers (Okabe and Ito, for all eyes), its workers in turn darker and lighter.
_POOLS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")


def draw_memory(results: Mapping[str, Any], title: str, *paths: Path) -> None:
    """Draw the timeline of a record into files, whose endings say the format: .png, .svg.

    Raises:
        UsageError: a file cannot be written.
    """
    require("matplotlib", "plot")
    figure = require("matplotlib.figure").Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    timeline = results["timeline"]
    roles = {row["label"]: row for row in results["processes"]}
    series = timeline["processes"]
    axes.stackplot(
        timeline["time_s"],
        [[size / 1e9 for size in each["pss_bytes"]] for each in series],
        colors=_colours([roles.get(each["label"], {}) for each in series]),
        linewidth=0.3,
        edgecolor="white",
    )
    _shade(axes, results["phases"])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("s")
    axes.set_ylabel("PSS, GB")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    _legend(axes, [roles.get(each["label"], {}) for each in series])
    for path in paths:
        _save(figure, path)


def _pool(row: Mapping[str, Any]) -> str:
    role = row.get("role", "other")
    return f"workers of {row.get('loader')}" if role == "worker" else role


def _pool_colours(rows: list[Mapping[str, Any]]) -> dict[str, str]:
    pools = [pool for pool in dict.fromkeys(map(_pool, rows)) if pool.startswith("workers")]
    colours = {pool: _POOLS[number % len(_POOLS)] for number, pool in enumerate(pools)}
    return {"main": _MAIN, "other": _OTHERS, **colours}


def _colours(rows: list[Mapping[str, Any]]) -> list[Any]:
    lighter = require("matplotlib.colors").to_rgba
    colours = _pool_colours(rows)
    return [lighter(colours[_pool(row)], 0.75 if (row.get("worker") or 0) % 2 else 1.0) for row in rows]


def _shade(axes: Any, phases: list[Mapping[str, Any]]) -> None:
    top = axes.get_ylim()[1]
    for number, phase in enumerate(phases):
        if number % 2:
            axes.axvspan(phase["start_s"], phase["end_s"], color="#000000", alpha=0.06, linewidth=0, zorder=0)
        if len(phases) <= 16:
            axes.text(phase["start_s"], top, f" {phase['name']}", rotation=90, fontsize=6, va="top", ha="left")


def _legend(axes: Any, rows: list[Mapping[str, Any]]) -> None:
    patch = require("matplotlib.patches").Patch
    colours = _pool_colours(rows)
    shown = [pool for pool in colours if pool in set(map(_pool, rows))]
    axes.legend(
        handles=[patch(color=colours[pool], label=pool) for pool in shown],
        frameon=False,
        fontsize=8,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),  # beside: the areas fill the whole width
    )


def _save(figure: Any, path: Path) -> None:
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        figure.savefig(temporary, dpi=110)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{path}: {error}") from error

"""The picture of a sweep over workers: throughput, CPU per sample and memory, each with an axis of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_harness.errors import UsageError
from bench_harness.optional import require
from bench_harness.report.vram_plot import COLOURS

_PANELS = (("throughput", "batches/s"), ("CPU of loading", "ms per sample"), ("memory, main + workers", "GB"))


def draw_sweep(sweep: Mapping[str, Any], title: str, path: Path) -> None:
    """Draw results["sweep"] into `path`, whose ending says the format.

    Raises:
        UsageError: nothing was measured, the format is unknown to matplotlib, or the file cannot be written.
    """
    rows = [row for row in sweep["rows"] if row["batches_per_s"] is not None]
    if not rows:
        raise UsageError(f"--plot {path}: no run of the sweep could be measured")
    require("matplotlib", "plot")
    figure = require("matplotlib.figure").Figure(figsize=(9, 3.2), layout="constrained")
    for axes, (name, unit) in zip(figure.subplots(1, 3), _PANELS, strict=True):
        axes.set_title(name, loc="left", fontsize=9)
        axes.set_ylabel(unit)
        axes.set_xlabel("num_workers")
        axes.spines[["top", "right"]].set_visible(False)
    for number, prefetch in enumerate(dict.fromkeys(row["prefetch"] for row in rows)):
        series = [row for row in rows if row["prefetch"] == prefetch]
        _draw_series(figure.axes, series, COLOURS[number % len(COLOURS)], prefetch)
    _mark(figure.axes, sweep)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(temporary, dpi=150)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"--plot {path}: {error}") from error


def _draw_series(panels: Sequence[Any], rows: Sequence[Mapping[str, Any]], colour: str, prefetch: int | None) -> None:
    label = None if prefetch is None else f"prefetch_factor={prefetch}"
    workers = [row["workers"] for row in rows]
    rates = [row["batches_per_s"] for row in rows]
    intervals = [row["interval"] or (row["batches_per_s"],) * 2 for row in rows]
    errors = [
        [rate - low for rate, (low, _) in zip(rates, intervals, strict=True)],
        [high - rate for rate, (_, high) in zip(rates, intervals, strict=True)],
    ]
    panels[0].errorbar(workers, rates, yerr=errors, marker="o", capsize=3, color=colour, label=label)
    for axes, key, scale in ((panels[1], "cpu_s_per_sample", 1e3), (panels[2], "memory_bytes", 1e-9)):
        known = [(row["workers"], row[key] * scale) for row in rows if row[key] is not None]
        axes.plot([x for x, _ in known], [y for _, y in known], marker="o", color=colour, label=label)


def _mark(panels: Sequence[Any], sweep: Mapping[str, Any]) -> None:
    """Draw the recommendation and the limit of memory; leave the axes at zero, so that heights compare."""
    for axes in panels:
        axes.set_ylim(bottom=0)
        if sweep["recommended_num_workers"] is not None:
            axes.axvline(sweep["recommended_num_workers"], color="#999999", linestyle=":", zorder=0)
    peak = max((row["memory_bytes"] or 0 for row in sweep["rows"]), default=0)
    # A limit far above all that is used would flatten the curve.
    if sweep["limit_bytes"] is not None and sweep["limit_bytes"] < 4 * peak:
        panels[2].axhline(sweep["limit_bytes"] / 1e9, color="#D55E00", linestyle="--")
    if panels[0].get_legend_handles_labels()[1]:
        panels[0].legend(frameon=False, fontsize=8)

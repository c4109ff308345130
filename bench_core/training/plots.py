"""Loss and accuracy of runs against steps and against wall clock: the figure that compares architectures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_core.errors import RunError
from bench_core.training.runs import Run, joined_log

WINDOW = 20
PANELS = (
    ("direction", "loss", "cross-entropy"),
    ("direction", "accuracy", "accuracy"),
    ("frame", "loss", "mean squared displacement / Å²"),
    ("frame", "rmsd_A", "RMSD / Å"),
)
"""(mode, quantity, axis label): runs of different modes have different losses."""
LINES = ("-", "--", ":", "-.")
"""Of the first ten runs, the second ten and so on, which have the same colours."""
CLOCKS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))


def plot_runs(run_folders: Sequence[str | Path], out: str | Path, window: int = WINDOW) -> Path:
    """Draw runs into a picture: a row per quantity, a column against steps and one against wall clock.

    Faint lines are single training steps, lines the mean of the last `window` of them, dots held-out examples.

    Args:
        run_folders: the runs' folders, which `train --list` names.
        out: where the picture goes; its ending says of what kind (.png, .svg, .pdf).

    Returns:
        The path of the picture.

    Raises:
        RunError: no run, a folder that is none, runs that logged nothing, or a kind of picture that is unknown.
    """
    runs = [Run.read(Path(folder)) for folder in run_folders]
    logs = {run.id: joined_log(run) for run in runs}
    if not any(logs.values()):
        raise RunError(f"nothing to draw: {len(runs)} runs with no steps")
    figure = _figure(runs, logs, window)
    path = Path(out)
    temporary = path.with_name(f".partial-{path.name}")
    try:
        figure.savefig(temporary)
    except ValueError as error:
        raise RunError(f"{path} cannot be drawn: {error}".partition("\n")[0]) from None
    temporary.replace(path)
    return path


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Return the mean of each value and the up to `window` - 1 before it."""
    # Each sum anew: one that runs along would keep what a huge loss has rounded away.
    parts = [values[max(0, i + 1 - window) : i + 1] for i in range(len(values))]
    return [math.fsum(part) / len(part) for part in parts]


def series(log: list[dict[str, float]], name: str, clock: str) -> tuple[list[float], list[float]]:
    """Return (clock, value) of the rows of a log that have a value of this name."""
    rows = [row for row in log if name in row]
    return [row[clock] for row in rows], [row[name] for row in rows]


def _figure(runs: list[Run], logs: dict[str, list[dict[str, float]]], window: int) -> Any:
    from matplotlib.figure import Figure

    modes = {run.record["options"]["mode"] for run in runs if logs[run.id]}
    panels = [panel for panel in PANELS if panel[0] in modes]
    figure = Figure(figsize=(11, 3.0 * len(panels) + 0.7 + 0.2 * len(runs)), layout="constrained")
    axes = figure.subplots(len(panels), 2, squeeze=False, sharex="col", sharey="row")
    longest_s = max(row["wall_s"] for log in logs.values() for row in log)
    unit_s, unit = [clock for clock in CLOCKS if longest_s >= 2 * clock[0] or clock[0] == 1.0][-1]
    shown = {}
    for row, (mode, quantity, label) in zip(axes, panels, strict=True):
        row[0].set_ylabel(label)
        for number, run in enumerate(runs):
            if run.record["options"]["mode"] == mode:
                how: dict[str, Any] = {"color": f"C{number % 10}", "window": window}
                how["linestyle"] = LINES[number // 10 % len(LINES)]
                shown[_label(run)] = _draw(row[0], logs[run.id], quantity, "step", 1.0, **how)
                _draw(row[1], logs[run.id], quantity, "wall_s", unit_s, **how)
    axes[-1][0].set_xlabel("steps")
    axes[-1][1].set_xlabel(f"wall clock of training / {unit}")
    title = f"faint: single training steps; line: mean of the last {window}; dots: held-out examples"
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", title=title, fontsize="small", title_fontsize="small"
    )
    return figure


def _draw(
    axis: Any,
    log: list[dict[str, float]],
    quantity: str,
    clock: str,
    unit: float,
    *,
    color: str,
    linestyle: str,
    window: int,
) -> Any:
    x, y = series(log, f"train_{quantity}", clock)
    x = [value / unit for value in x]
    axis.plot(x, y, color=color, alpha=0.2, linewidth=0.7)
    marker = "_" if len(x) == 1 else ""  # a line of one step would not be seen
    (line,) = axis.plot(x, smoothed(y, window), color=color, linestyle=linestyle, marker=marker)
    x, y = series(log, f"val_{quantity}", clock)
    axis.plot([value / unit for value in x], y, "o", color=color, markersize=4, markeredgecolor="white")
    return line


def _label(run: Run) -> str:
    options = run.record["options"]
    resumed = len(run.record["segments"]) - 1
    told = f"{options['arch']}, {options['backend']}, seed {options['seed']}, {run.state()}"
    return told + (f", resumed {resumed}x" if resumed else "") + f" [{run.id[-6:]}]"

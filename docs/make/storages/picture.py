"""The picture of the page: tree PSS by storage, before workers, after training, after validation."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from storages.reasons import REASONS
from storages.runs import METHODS, WORKERS, key

COLOURS = {"before": "#999999", "training": "#0072B2", "validation": "#E69F00"}
LABELS = {
    "before": "before the first worker",
    "training": f"+ an epoch of {WORKERS} training workers",
    "validation": f"+ {WORKERS} validation workers",
}


def draw(results: Mapping[str, Any], size: str, title: str) -> bytes:
    """Return the PNG of one size, a panel per start method."""
    from matplotlib.figure import Figure

    kinds = [kind for kind in REASONS if any(key(kind, size, method) in results for method in METHODS)][::-1]
    figure = Figure(figsize=(9, 0.8 + 0.26 * len(kinds)), layout="constrained")
    for axes, method in zip(figure.subplots(1, 2, sharey=True, sharex=True), METHODS, strict=True):
        for place, kind in enumerate(kinds):
            _bar(axes, place, results.get(key(kind, size, method), {}))
        axes.set_title(method, loc="left", fontsize=9)
        axes.set_xlabel("GB, PSS of all processes")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
    handles = [figure.axes[0].barh([0], [0], color=colour) for colour in COLOURS.values()]
    figure.axes[0].legend(handles, list(LABELS.values()), frameon=False, fontsize=8, loc="lower right")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    return stream.getvalue()


def _bar(axes: Any, place: int, told: Mapping[str, Any]) -> None:
    """Draw what a phase added to the one before; less than nothing is drawn as nothing."""
    reached = 0.0
    for phase, colour in COLOURS.items():
        if phase in told:
            value = told[phase]["pss_bytes"] / 1e9
            axes.barh(place, max(0.0, value - reached), left=reached, color=colour)
            reached = max(reached, value)
    said = f" {reached:.1f}" if reached else ""
    if "skipped_needs_bytes" in told:
        said += f" would need {told['skipped_needs_bytes'] / 1e9:.0f} GB"
    axes.text(reached, place, said, va="center", fontsize=7)

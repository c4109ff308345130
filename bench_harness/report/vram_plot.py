"""The bar picture of `bench vram`: one bar per module, one colour per kind, at the peak."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_harness.errors import UsageError
from bench_harness.optional import require
from bench_harness.report.vram_text import shortened

MAX_BARS = 16
# Okabe and Ito's colours: told apart by colour-blind readers, and in grey.
COLOURS = ("#0072B2", "#56B4E9", "#999999", "#D55E00", "#E69F00", "#009E73", "#F0E442", "#CC79A7")
KINDS = ("parameters", "buffers", "inputs", "gradients", "optimizer", "saved activations", "temporaries", "workspace")


def draw_vram(ledger: Mapping[str, Any], title: str, path: Path) -> None:
    """Draw the ledger into `path`, whose ending says the format.

    Raises:
        UsageError: the format is unknown to matplotlib, or the file cannot be written.
    """
    require("matplotlib", "plot")
    figure = require("matplotlib.figure").Figure(figsize=(9, 1.6 + 0.3 * min(MAX_BARS, len(ledger["modules"]))))
    axes = figure.subplots()
    rows = ledger["modules"][:MAX_BARS][::-1]
    left = [0.0] * len(rows)
    for kind, colour in zip(KINDS, COLOURS, strict=True):
        widths = [row["by_kind"].get(kind, 0) / 1e6 for row in rows]
        if any(widths):
            axes.barh(range(len(rows)), widths, left=left, color=colour, label=kind)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), [shortened(row["module"]) for row in rows])
    axes.set_xlabel("MB at the peak")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(temporary, bbox_inches="tight", dpi=150)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"--plot {path}: {error}") from error

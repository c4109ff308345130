"""The tables of `python -m bench_core models`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench_core.commands.text_tables import TextTable
from bench_core.models.comparison import ArchitectureFigures, ImageFigures, SurveyFigures

if TYPE_CHECKING:
    from bench_core.models.step_timing import StepTime

NOTHING = "-"


@dataclass(frozen=True)
class Comparison:
    """What was compared: figures of a minibatch of `batch_size`, and under which conditions its steps were timed."""

    batch_size: int
    time_s: float
    backends: tuple[str, ...]
    conditions: dict[str, Any]
    architectures: list[ArchitectureFigures]
    survey: list[SurveyFigures]


def tables_of(comparison: Comparison) -> list[TextTable]:
    """One table of the nine architectures, one of the reviewed networks, where there are any."""
    tables = []
    if comparison.architectures:
        tables.append(_architectures(comparison))
    if comparison.survey:
        tables.append(_survey(comparison))
    return tables


_ARCHITECTURE_COLUMNS: dict[str, Callable[[ArchitectureFigures], str]] = {
    "architecture": lambda row: row.name + (" *" if row.reconstructed else ""),
    "parameters": lambda row: _beside(f"{row.parameters:,}", row, "parameters", " M"),
    "TFLOP\ndense": lambda row: f"{row.step_flops['dense'] / 1e12:.2f}",
    "TFLOP\nescnn": lambda row: f"{row.step_flops['escnn'] / 1e12:.2f}",
    "s\ndense": lambda row: _seconds(row.step.get("dense")),
    "s\nescnn": lambda row: _seconds(row.step.get("escnn")),
    "s\nprinted": lambda row: f"{row.notebook.s_per_minibatch:.2g}" if row.notebook else NOTHING,
    "fwd+bwd\nGB": lambda row: _beside(_gigabytes(row.forward_backward_bytes), row, "forward_backward_GB"),
    "filter\nGB": lambda row: _beside(_gigabytes(row.largest_filter_bytes), row, "convolution_GB"),
    "Fourier\nGB": lambda row: _beside(_gigabytes(row.fourier_bytes), row, "fourier_GB"),
    "peak GB\ndense": lambda row: _gigabytes(row.peak_bytes["dense"]),
    "peak GB\nescnn": lambda row: _gigabytes(row.peak_bytes["escnn"]),
}


def _architectures(comparison: Comparison) -> TextTable:
    rows = comparison.architectures
    notes = [
        "After a slash, and as `s printed`: the notebook's figures, of a GPU that it does not name.",
        "fwd+bwd, filter, Fourier: what the notebook counted. Peak: predicted for two views, Adam, float32 on a CPU.",
        *_timing_notes(comparison, [row.step.get(backend) for row in rows for backend in comparison.backends]),
        *(f"* {row.name}: {row.notes}" for row in rows if row.reconstructed),
    ]
    title = f"A training step of {comparison.batch_size} pairs of views"
    cells = tuple(tuple(cell(row) for cell in _ARCHITECTURE_COLUMNS.values()) for row in rows)
    return TextTable(title, tuple(_ARCHITECTURE_COLUMNS), cells, tuple(notes), left=("architecture",))


_IMAGE_COLUMNS: dict[str, Callable[[ImageFigures], str]] = {
    "parameters": lambda image: f"{image.parameters:,}",
    "GFLOP": lambda image: _short(image.forward_flops / 1e9),
    "s": lambda image: _seconds(image.step),
    "peak GB": lambda image: _gigabytes(image.peak_bytes),
}


def _survey(comparison: Comparison) -> TextTable:
    headers = ("network", "image", *_IMAGE_COLUMNS, *(f"{header}\nviews" for header in _IMAGE_COLUMNS))
    images = [row.own for row in comparison.survey]
    images += [row.on_views for row in comparison.survey if not isinstance(row.on_views, str)]
    notes = [
        "GFLOP: forward, of one image. Peak: predicted with Adam in float32, without what operators take inside.",
        *_timing_notes(comparison, [image.step for image in images]),
        *_survey_notes(comparison.survey),
    ]
    title = f"The reviewed networks: a training step of {comparison.batch_size} images, theirs and views of ours"
    rows = tuple(_survey_row(row) for row in comparison.survey)
    return TextTable(title, headers, rows, tuple(notes), left=("network", "image"))


def _survey_row(row: SurveyFigures) -> tuple[str, ...]:
    shape = row.own.input_shape
    voxels = f"{shape[0]}^3" if len(set(shape)) == 1 else "x".join(map(str, shape))
    label = f" ({', '.join(row.labels)})" if row.labels else ""
    own = (cell(row.own) for cell in _IMAGE_COLUMNS.values())
    view = row.on_views
    views = (NOTHING if isinstance(view, str) else cell(view) for cell in _IMAGE_COLUMNS.values())
    return (row.name + label, f"{voxels} x {row.own.input_channels}", *own, *views)


def _survey_notes(rows: list[SurveyFigures]) -> Iterator[str]:
    for row in rows:
        if isinstance(row.on_views, str):
            yield f"Not on views: {row.on_views}"
    for row in rows:
        if row.notes:
            yield f"{row.name}: {row.notes}"


def _timing_notes(comparison: Comparison, times: list[StepTime | None]) -> Iterator[str]:
    measured = {time.how for time in times if time is not None}
    if not measured:
        why = "--time 0" if not comparison.time_s else f"--time {comparison.time_s:g} was too short for any"
        yield f"s: no step was measured ({why})."
        return
    conditions = comparison.conditions
    busy = f", at a load of {conditions['load']:.1f} before" if conditions["load"] > 0.5 * conditions["cores"] else ""
    yield f"s: of a step on this CPU, {conditions['threads']} of {conditions['cores']} cores{busy}."
    if "extrapolated" in measured:
        yield "~ extrapolated from smaller minibatches of the same network."
    if "scaled" in measured:
        yield "~~ scaled by FLOP from other networks of the same kind, not measured."
    if None in times:
        yield "- nothing of the same kind was measured in the time given."


def _beside(ours: str, row: ArchitectureFigures, printed: str, unit: str = "") -> str:
    """Our figure, and the notebook's where it has one."""
    if row.notebook is None:
        return ours
    return f"{ours} / {getattr(row.notebook, printed):g}{unit}"


def _seconds(time: StepTime | None) -> str:
    if time is None:
        return NOTHING
    return {"measured": "", "extrapolated": "~", "scaled": "~~"}[time.how] + _short(time.seconds)


def _gigabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.2f}"


def _short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

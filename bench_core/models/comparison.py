"""The figures of the comparison tables: of the nine architectures, and of the reviewed networks."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench_core.models import closed_forms
from bench_core.models.building import build
from bench_core.models.closed_forms_dense import dense_peak_bytes, dense_step_flops
from bench_core.models.notebook_figures import NOTEBOOK_FIGURES, NotebookFigures
from bench_core.models.survey import on_views
from bench_core.models.tables import VIEWS, Architecture

if TYPE_CHECKING:
    from bench_core.models.step_timing import Candidate, StepTime

Say = Callable[[str], None]

FLOPS_PER_FILTER_BYTE = 100
"""What a step does with every filter, whatever the batch, takes as long as so many operations for each of its bytes."""


@dataclass(frozen=True)
class ArchitectureFigures:
    """Of a view-pair network and one training step of a minibatch of pairs; {backend: ...} where backends differ."""

    name: str
    reconstructed: bool
    notes: str
    parameters: int
    step_flops: Mapping[str, int]
    forward_backward_bytes: int
    largest_filter_bytes: int
    fourier_bytes: int
    peak_bytes: Mapping[str, int]
    step: Mapping[str, StepTime]
    notebook: NotebookFigures | None


@dataclass(frozen=True)
class ImageFigures:
    """Of a network for single images of one size and one training step of a minibatch of them.

    `forward_flops` is of one image.
    """

    input_channels: int
    input_shape: tuple[int, ...]
    parameters: int
    forward_flops: int
    peak_bytes: int
    step: StepTime | None


@dataclass(frozen=True)
class SurveyFigures:
    """Of a reviewed network on images of its own, and on our views; or why these do not fit."""

    name: str
    labels: tuple[str, ...]
    notes: str
    own: ImageFigures
    on_views: ImageFigures | str


def backends() -> tuple[str, ...]:
    """The backends that are installed."""
    return ("dense", "escnn") if importlib.util.find_spec("escnn") else ("dense",)


def architecture_figures(
    tables: Iterable[Architecture], batch: int = 16, time_s: float = 0.0, say: Say = lambda text: None
) -> list[ArchitectureFigures]:
    """Count what can be counted from the tables, and time steps for about `time_s` seconds; 0 needs no torch.

    Raises:
        ModelError: a table has other rows than convolutions of regular copies.
    """
    counted = [_counted(table, batch) for table in tables]
    if not time_s:
        return counted
    from bench_core.models.step_timing import time_steps

    candidates = [_pair_candidate(table, backend) for table in tables for backend in backends()]
    times = time_steps(candidates, batch, time_s, say)
    return [
        replace(row, step={backend: time for (name, backend), time in times.items() if name == row.name})
        for row in counted
    ]


def survey_figures(
    tables: Iterable[Architecture], batch: int = 16, time_s: float = 0.0, say: Say = lambda text: None
) -> list[SurveyFigures]:
    """Build the reviewed networks, count them without memory, and time steps for about `time_s` seconds."""
    figures: list[SurveyFigures] = []
    candidates: list[Candidate] = []
    for table in tables:
        say(f"counting {table.name}")
        view = on_views(table)
        own = _image_figures(table, batch)
        candidates.append(_image_candidate(table, own, batch, "own"))
        if isinstance(view, str):
            fitted: ImageFigures | str = view
        else:
            fitted = _image_figures(view, batch)
            candidates.append(_image_candidate(view, fitted, batch, "views"))
        figures.append(SurveyFigures(table.name, _labels(table), table.notes, own, fitted))
    if not time_s:
        return figures
    from bench_core.models.step_timing import time_steps

    times = time_steps(candidates, batch, time_s, say)
    return [_timed(row, times) for row in figures]


def _counted(table: Architecture, batch: int) -> ArchitectureFigures:
    return ArchitectureFigures(
        name=table.name,
        reconstructed=table.reconstructed,
        notes=table.notes,
        parameters=closed_forms.parameters(table),
        step_flops={"dense": dense_step_flops(table, batch), "escnn": closed_forms.training_step_flops(table, batch)},
        forward_backward_bytes=closed_forms.forward_backward_bytes(table, batch),
        largest_filter_bytes=closed_forms.largest_filter_bytes(table),
        fourier_bytes=closed_forms.fourier_bytes(table, batch),
        peak_bytes={"dense": dense_peak_bytes(table, batch), "escnn": closed_forms.cpu_peak_bytes(table, batch)},
        step={},
        notebook=NOTEBOOK_FIGURES.get(table.name),
    )


def _pair_candidate(table: Architecture, backend: str) -> Candidate:
    from bench_core.models.step_timing import Candidate

    step_flops = dense_step_flops if backend == "dense" else closed_forms.training_step_flops
    peak = dense_peak_bytes if backend == "dense" else closed_forms.cpu_peak_bytes
    flops = step_flops(table, 2) - step_flops(table, 1)
    memory_bound = FLOPS_PER_FILTER_BYTE * closed_forms.filters_bytes(table)
    return Candidate(
        table.name,
        backend,
        build=lambda: build(table, backend),
        input_shape=(VIEWS, table.input_channels, *table.input_shape),
        fixed_flops=step_flops(table, 1) - flops + memory_bound,
        flops=flops,
        peak_bytes=lambda batch: peak(table, batch),
    )


def _image_figures(table: Architecture, batch: int) -> ImageFigures:
    from bench_core.models.plain import forward_flops
    from bench_core.models.simulated_memory import step_peak_bytes
    from bench_core.models.survey_networks import image_network

    network = image_network(table)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    image = table.input_channels, table.input_shape
    flops = forward_flops(network.to("meta"), *image)
    return ImageFigures(*image, parameters, flops, step_peak_bytes(network, *image, batch), None)


def _image_candidate(table: Architecture, figures: ImageFigures, batch: int, image: str) -> Candidate:
    from bench_core.models.step_timing import Candidate
    from bench_core.models.survey_networks import image_network

    return Candidate(
        f"{table.name} ({image})",
        "steerable" if table.steerable else "plain",  # far from each other in speed
        build=lambda: image_network(table),
        input_shape=(table.input_channels, *table.input_shape),
        fixed_flops=FLOPS_PER_FILTER_BYTE * closed_forms.FLOAT32_BYTES * figures.parameters,
        flops=3 * figures.forward_flops,
        peak_bytes=lambda size: figures.peak_bytes * size / batch,
    )


def _timed(row: SurveyFigures, times: Mapping[tuple[str, str], StepTime]) -> SurveyFigures:
    by_name = {name: time for (name, _), time in times.items()}
    own = replace(row.own, step=by_name.get(f"{row.name} (own)"))
    if isinstance(row.on_views, str):
        return replace(row, own=own)
    return replace(row, own=own, on_views=replace(row.on_views, step=by_name.get(f"{row.name} (views)")))


def _labels(table: Architecture) -> tuple[str, ...]:
    names = ("steerable", "port", "completed", "reconstructed")
    return tuple(name for name in names if getattr(table, name))

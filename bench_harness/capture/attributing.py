"""Before the first workers of a captured process, note whose objects lie where; in each worker, what it copied."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_harness.errors import AttributionError
from bench_harness.memory.attribution import layouts
from bench_harness.memory.attribution.before_fork import before_fork
from bench_harness.memory.attribution.copied_pages import worker_ends

FOLDER = "attribution"  # in that of the segments; in it one for each process that starts workers, by serial


def before_first_workers(segments: Path, serial: str, warn: Callable[[str], None]) -> Callable[[Any], None]:
    """Return what notes the objects of this process, given the loader whose workers start first."""

    def note(loader: Any) -> None:
        context = loader.multiprocessing_context or multiprocessing
        method = context.get_start_method()
        if method != "fork":
            warn(f"nothing to attribute: workers that start by {method} inherit no pages, each unpickles its data set")
            return
        if not layouts.IS_KNOWN:
            warn("nothing is attributed: how this Python lays out its objects is not known")
            return
        roots = {"dataset": loader.dataset, "sampler": loader.sampler, "collate_fn": loader.collate_fn}
        folder = segments / FOLDER / serial
        try:
            folder.mkdir(parents=True, exist_ok=True)
            before_fork(folder, {name: root for name, root in roots.items() if root is not None})
        except (AttributionError, OSError) as error:
            warn(f"nothing is attributed: {error}")

    return note


def note_copied(segments: Path, serial: str, warn: Callable[[str], None]) -> Callable[[], None]:
    """Return what notes, as a worker ends, which pages it copied."""

    def note() -> None:
        try:
            worker_ends(segments / FOLDER / serial.rpartition(".")[0], serial)
        except AttributionError as error:
            warn(f"its copied pages are not attributed: {error}")

    return note

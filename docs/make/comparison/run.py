"""One run of the comparison: environments, workers, every case, and the record that the page is made of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from comparison import cases, conditions
from comparison.catalogue import BENCH_CORE, CORE, FLOORS, OURS, PEERS, SIDE_BY_SIDE, Subject
from comparison.environments import make_environment
from comparison.measurement import Lane, interleave, lanes_of, largest_differences, load, slice_of
from comparison.processes import ProcessError, Worker

IMAGE_64 = ", float64 image"
"""Ends the names of the arms of same_process.py that are there for their differences, not to be timed."""

DIFFERENCE_VIEWS = 20
PICTURED_VIEW = 0
APART = ("r = h/2", "r = 1.7 Å")
"""The radii for which all are timed, each in its process."""

PICTURED_GRID, PICTURED_RADII = cases.GRIDS[1], "r = 1.7 Å"


@dataclass
class Run:
    """What is known so far; `say` gets a line of progress now and then."""

    work: Path
    checkout: Path
    n_views: int
    say: Callable[[str], None]
    workers: dict[str, Worker] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    _made: dict[str, Path | ProcessError] = field(default_factory=dict)

    def start(self, subject: Subject, stack: contextlib.ExitStack) -> None:
        """Start the worker of a subject in its environment; a failure is noted, and all else goes on."""
        try:
            python = self.python_of(subject)
            log = self.work / f"{subject.path.stem}.log"
            self.workers[subject.name] = stack.enter_context(Worker([str(python), str(subject.path)], log))
        except ProcessError as error:
            self.fail(subject.name, error)

    def python_of(self, subject: Subject) -> Path:
        """The interpreter of a subject's environment, which is made once, or fails once."""
        if subject.environment not in self._made:
            self.say(f"{subject.name}: environment")
            try:
                self._made[subject.environment] = make_environment(self.work, subject, self.checkout)
            except ProcessError as error:
                self._made[subject.environment] = error
        made = self._made[subject.environment]
        if isinstance(made, ProcessError):
            raise made
        return made

    def fail(self, name: str, error: ProcessError) -> None:
        """Note the first failure of a subject; the page is not to show where somebody's folders are."""
        message = str(error).replace(str(self.work), "WORK").replace(str(self.checkout), "CHECKOUT")
        self.failures.setdefault(name, message)
        self.say(f"{name}: {message}")

    def lanes(self, subjects: Sequence[Subject], case_file: Path) -> list[Lane]:
        """The arms of the workers that can still draw."""
        lanes: list[Lane] = []
        for subject in subjects:
            if subject.name in self.workers and subject.name not in self.failures:
                worker = self.workers[subject.name]
                try:
                    lanes += lanes_of(subject.name, worker, load(worker, case_file))
                except ProcessError as error:
                    self.fail(subject.name, error)
        return lanes

    def note_failures(self, lanes: Sequence[Lane]) -> None:
        """A worker that is gone draws no more; an arm that raised is a failure of its row alone."""
        for lane in lanes:
            if lane.failure is not None and not lane.worker.alive:
                self.fail(lane.subject, ProcessError(lane.failure))


def measure_apart(run: Run, subjects: Sequence[Subject], case_file: Path) -> list[dict[str, Any]]:
    """Time all subjects on one case, each in its process; ours first."""
    lanes = run.lanes(subjects, case_file)
    if not lanes or lanes[0].subject != OURS:
        raise ProcessError(f"{OURS} cannot be measured: {run.failures.get(OURS, 'it has no arm')}")
    interleave(lanes, run.n_views)
    run.note_failures(lanes)
    if lanes[0].failure is not None:
        raise ProcessError(f"{OURS} cannot be measured: {lanes[0].failure}")
    return [lane.result(lanes[0]) for lane in lanes]


def measure_in_one_process(run: Run, case_file: Path) -> dict[str, Any]:
    """Time every variant of ours beside the core, and compare their images."""
    arms = run.lanes([SIDE_BY_SIDE], case_file)
    lanes = [lane for lane in arms if not lane.arm.endswith(IMAGE_64)]
    if not lanes:
        return {}
    interleave(lanes, run.n_views)
    run.note_failures(lanes)
    n_views = min(run.n_views, DIFFERENCE_VIEWS)
    return {"rows": beside(lanes), "differences": differences(run, arms, n_views), "difference_views": n_views}


def differences(run: Run, lanes: Sequence[Lane], n_views: int) -> dict[str, float]:
    """Largest differences to the core, of float32 images to its float32 image and of float64 images likewise."""
    arms = [lane.arm for lane in lanes if lane.failure is None and not lane.arm.startswith(CORE)]
    found: dict[str, float] = {}
    try:
        for reference, wide in ((CORE, False), (CORE + IMAGE_64, True)):
            alike = [arm for arm in arms if arm.endswith(IMAGE_64) == wide]
            found |= largest_differences(lanes[0].worker, reference, alike, n_views)
    except ProcessError as error:
        run.fail(SIDE_BY_SIDE.name, error)
    return found


def beside(lanes: Sequence[Lane]) -> list[dict[str, Any]]:
    """The core by itself, then each lane of ours with the core's ratio to it, over the views that both drew."""
    core, *ours = lanes
    rows = [core.result(core)]
    for lane in ours:
        row = lane.result(core)
        if "ratio" in row:
            against = core.result(lane)
            row |= {"ratio": against["ratio"], "ratio_by_view": against["ratio_by_view"]}
        rows.append(row)
    return rows


def draw_pictures(run: Run, subjects: Sequence[Subject]) -> None:
    """Draw the slice of the page with every arm that has a picture; the case must be loaded."""
    index = PICTURED_GRID.length_voxels // 2
    for subject in subjects:
        for arm in subject.pictures:
            if subject.name in run.workers and subject.name not in run.failures:
                name = subject.picture(arm)
                try:
                    worker, file = run.workers[subject.name], run.work / f"{name}.npy"
                    run.pictures[name] = slice_of(worker, arm, PICTURED_VIEW, 0, index, file)
                except ProcessError as error:
                    run.fail(subject.name, error)


def measure_case(run: Run, grid: cases.Grid, radii: str, apart: Sequence[Subject]) -> dict[str, Any]:
    """All that is measured of one grid and one set of radii."""
    image = cases.image_of(grid, radii)
    name = cases.case_name(image, radii)
    case_file = run.work / f"case-{grid.length_voxels}-{list(cases.RADII_A).index(radii)}.npz"
    n_atoms = cases.write_case(case_file, image, run.n_views)
    run.say(name)
    case: dict[str, Any] = {"name": name, "grid": grid.length_voxels, "radii": radii, "atoms_per_view": n_atoms}
    if radii in APART:
        case["apart"] = measure_apart(run, apart, case_file)
        if (grid, radii) == (PICTURED_GRID, PICTURED_RADII):
            draw_pictures(run, apart)
    case["one_process"] = measure_in_one_process(run, case_file)
    return case


def measure_all(run: Run, only: Sequence[str]) -> dict[str, Any]:
    """Measure everything, or the peers in `only`, and return the record.

    Raises:
        ProcessError: ours cannot be measured, so there is nothing to compare with.
    """
    at_start = conditions.gather(run.checkout, run.n_views)
    chosen = [peer for peer in PEERS if not only or peer.name in only]
    apart = [BENCH_CORE, *chosen, FLOORS]
    side_by_side = [SIDE_BY_SIDE] if SIDE_BY_SIDE.environment in (peer.environment for peer in chosen) else []
    with contextlib.ExitStack() as stack:
        for subject in (*apart, *side_by_side):
            run.start(subject, stack)
            if OURS in run.failures:
                raise ProcessError(f"{OURS} cannot be measured: {run.failures[OURS]}")
        measured = [measure_case(run, grid, radii, apart) for grid in cases.GRIDS for radii in cases.RADII_A]
        abouts = {name: worker.about for name, worker in run.workers.items()}
    return {
        "conditions": at_start,
        "workers": abouts,
        "cases": measured,
        "failures": run.failures,
        "left_out": [peer.name for peer in PEERS if peer not in chosen],
        "pictures": sorted(run.pictures),
    }

"""How many examples and steps fit into a day: the budget to draw up before training."""

from __future__ import annotations

from typing import NamedTuple

EXAMPLES_PER_PARAMETER = 10.0
"""A rule of thumb: as many distinct examples as this times the parameters, or more."""


class Row(NamedTuple):
    """What fits into the time with one assumption on loading and one number of epochs."""

    loading: str
    """"measured", or "none": if examples cost nothing."""
    epochs: int
    distinct_examples: int
    steps: int
    """Over all epochs."""
    step_s: float
    examples_per_parameter_ratio: float | None
    """Distinct examples per parameter of the model; None where those are not known."""


def seconds_per_step(step_s: float, example_s: float, batch_size: int, workers: int) -> float:
    """Return how long a step takes with its loading: one after the other without workers, else whichever is slower."""
    loading_s = batch_size * example_s
    return max(step_s, loading_s / workers) if workers else step_s + loading_s


def budget(
    hours: float,
    step_s: float,
    example_s: float,
    batch_size: int,
    workers: int = 0,
    parameters: int | None = None,
    epochs: tuple[int, ...] = (1, 10, 100),
) -> list[Row]:
    """Return what fits into `hours` for each number of epochs, with measured and with no loading time.

    Args:
        step_s: seconds of forward, backward and update for a batch.
        example_s: seconds that one process needs to make an example.
    """
    rows = []
    for loading, cost_s in (("measured", example_s), ("none", 0.0)):
        each_s = seconds_per_step(step_s, cost_s, batch_size, workers)
        steps = int(hours * 3600 / each_s * (1 + 1e-12))
        for n in epochs:
            distinct = steps * batch_size // n
            ratio = distinct / parameters if parameters else None
            rows.append(Row(loading, n, distinct, steps, each_s, ratio))
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as lines of text under a header."""
    lines = [f"{'loading':<9} {'epochs':>6} {'examples':>12} {'steps':>11} {'s/step':>9} {'examples/parameter':>19}"]
    for row in rows:
        ratio = row.examples_per_parameter_ratio
        told = "unknown" if ratio is None else f"{ratio:.3g} {'ok' if ratio >= EXAMPLES_PER_PARAMETER else '< 10'}"
        figures = f"{row.epochs:>6} {row.distinct_examples:>12,} {row.steps:>11,} {row.step_s:>9.4g}"
        lines.append(f"{row.loading:<9} {figures} {told:>19}")
    return "\n".join(lines)

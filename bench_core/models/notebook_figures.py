"""What the notebook of the channel comparison printed about each architecture: the figures to stand beside ours.

Measured in 2023 on a GPU that it does not name, at 16 view pairs per minibatch. GB are decimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class NotebookFigures:
    """One architecture's printed figures, and how long its model was trained.

    Args:
        parameters: in millions, as rounded there.
        s_per_minibatch: printed as this or as its reciprocal, to one digit.
        forward_backward_GB: activations, as torchinfo counted them.
        convolution_GB: the largest expanded filter.
        fourier_GB: the largest tensor of samples on the rotation grid, and its copy.
        steps: minibatches trained; None where no trajectory is listed.
        epochs: passes trained.
    """

    parameters: float
    s_per_minibatch: float
    forward_backward_GB: float
    convolution_GB: float
    fourier_GB: float
    steps: int | None = None
    epochs: int | None = None


NOTEBOOK_FIGURES: Mapping[str, NotebookFigures] = MappingProxyType(
    {
        "arch_0": NotebookFigures(1.2, 1 / 6, 0.3, 0.3, 0.1),
        "arch_1_width_14_kernel_3": NotebookFigures(7.2, 2, 5.8, 1.8, 1.2, 62_799, 313),
        "arch_1_width_7_kernel_3": NotebookFigures(4.0, 1 / 2, 2.9, 0.9, 0.6, 252_999, 252),
        "arch_1_width_14_kernel_5": NotebookFigures(5.5, 3, 2.3, 4.2, 0.8, 49_999, 499),
        "arch_1_width_7_kernel_5": NotebookFigures(3.5, 1, 1.1, 2.1, 0.4, 249_999, 499),
        "arch_2_width_14_repeats_4": NotebookFigures(3.2, 2, 7.4, 0.4, 1.2, 56_399, 281),
        "arch_2_width_7_repeats_1": NotebookFigures(1.7, 1 / 3, 1.8, 0.4, 0.6, 499_999, 499),
        "arch_3_width_14_repeats_4": NotebookFigures(2.7, 2, 9.9, 0.4, 1.2, 99_999, 499),
        "arch_3_width_7_repeats_1": NotebookFigures(1.4, 1 / 5, 1.2, 0.4, 0.6, 628_449, 314),
    }
)
"""Name -> figures, under the names of `ARCHITECTURES`."""

"""He initialization of escnn's layers without walking over every weight.

escnn describes each of the millions of weights of a wide layer by a dictionary and counts. The standard deviations
repeat from one pair of fields to the next, so those of one pair are enough: same values, same random numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch


def he_initialize(layer: Any) -> None:
    """Draw the weights of an escnn R3Conv or Linear whose fields are of one kind on either side, from torch's RNG.

    Gives exactly what `escnn.nn.init.generalized_he_init` gives. A bias stays 0.
    """
    deviations = pair_deviations(layer.basisexpansion, len(layer.in_type))
    with torch.no_grad():
        weights = layer.weights
        weights.copy_((torch.randn_like(weights).view(-1, len(deviations)) * deviations).view(-1))


def pair_deviations(expansion: Any, input_fields: int) -> torch.Tensor:
    """Return the standard deviation (B,) of each weight between one input field and one output field.

    The weights that reach one output irrep from the input irreps of one degree share a variance, and the degrees have
    equal parts in it. As in escnn 1.0.11, whose standard deviations are one over the square root of the counts.
    """
    (pair,) = expansion._representations_pairs
    block = getattr(expansion, f"block_expansion_{expansion._escape_pair(pair)}")
    paths = [(element["in_irrep"], element["out_irrep_idx"]) for element in block.get_basis_info()]
    elements = Counter(paths)
    degrees = Counter(output for _, output in elements)
    counts = [degrees[output] * elements[degree, output] * input_fields for degree, output in paths]
    return torch.tensor([1.0 / math.sqrt(count) for count in counts])

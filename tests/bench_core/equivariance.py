"""What tests of equivariance share: the rotations of the cube, images turned by them, and how far logits follow.

pytest has this folder on its path (`pythonpath` in pyproject.toml).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from bench_core.frames import CUBE_FACES

CUBE_ROTATIONS = np.rint(Rotation.create_group("O").as_matrix()).astype(int)


def rotated(x: torch.Tensor, rotation: np.ndarray) -> torch.Tensor:
    """Return images (..., L, L, L), axes x, y, z, turned by a rotation: what was at p is at R p."""
    source, sign = np.abs(rotation).argmax(axis=1), rotation.sum(axis=1)
    first = x.dim() - 3
    turned = x.permute(*range(first), *(first + int(axis) for axis in source))
    return turned.flip([first + axis for axis in range(3) if sign[axis] < 0])


def faces_after(rotation: np.ndarray) -> list[int]:
    """For each face of the cube, the face that the rotation takes there."""
    return [int(np.argmax(CUBE_FACES @ (rotation.T @ face))) for face in CUBE_FACES]


def settled(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """Return the model in eval mode with batch-norm statistics of x."""
    with torch.no_grad():
        model.train()(x), model(x)
    return model.eval()


def spread(logits: torch.Tensor) -> float:
    """How far the logits of an example lie from their mean, at most."""
    return float((logits - logits.mean(dim=1, keepdim=True)).abs().max())


def equivariance_error(model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> float:
    """The largest difference between logits of rotated views and rotated logits of views, relative to their spread."""
    with torch.no_grad():
        logits = model(x)
        turned = model(torch.cat([rotated(x, rotation) for rotation in CUBE_ROTATIONS]))
    expected = torch.cat([logits[:, faces_after(rotation)] for rotation in CUBE_ROTATIONS])
    return float((turned - expected).abs().max()) / spread(logits)

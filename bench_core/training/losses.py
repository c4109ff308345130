"""What is minimised and reported: cross-entropy, mean squared displacement of frames, Wilson's interval."""

from __future__ import annotations

import math

import torch

WILSON_Z = 1.959963984540054
"""Two-sided 95 % of a normal distribution."""


def mean_squared_displacement_A2(predicted: torch.Tensor, target: torch.Tensor, radius_A: float) -> torch.Tensor:
    """Return how far two frames take the points of a ball apart: mean of |F x - F' x|^2 over the ball, (B,), Å^2.

    With R, t the rotation and translation of F and x uniform in a ball of radius r around 0, E[x] = 0 and
    E[x x^T] = (r^2 / 5) I, so that E|(R - R') x + t - t'|^2 = |t - t'|^2 + (r^2 / 5) ||R - R'||_F^2 (Jenkinson,
    "Measuring transformation error by RMS deviation", FMRIB report TR99MJ1, 1999). R need not be a rotation.

    Args:
        predicted, target: (B, 4, 4) frames acting on column vectors; only their upper three rows count.
        radius_A: radius of the ball, Å.
    """
    difference = predicted[:, :3].float() - target[:, :3].float()
    turned = difference[:, :, :3].square().sum(dim=(1, 2))
    moved = difference[:, :, 3].square().sum(dim=1)
    return moved + radius_A**2 / 5 * turned


def pair_loss(output: torch.Tensor, y: torch.Tensor, mode: str, ball_radius_A: float) -> torch.Tensor:
    """Return the mean loss of a batch: cross-entropy of (B, 6) logits, or mean squared displacement of frames, Å^2."""
    if mode == "direction":
        return torch.nn.functional.cross_entropy(output, y)
    return mean_squared_displacement_A2(output, y, ball_radius_A).mean()


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion (Wilson, J. Am. Stat. Assoc. 22, 209, 1927); (0, 1) of none."""
    if not trials:
        return 0.0, 1.0
    z2 = WILSON_Z**2
    p = successes / trials
    centre = p + z2 / (2 * trials)
    half = WILSON_Z * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    low, high = (centre - half) / (1 + z2 / trials), (centre + half) / (1 + z2 / trials)
    return max(0.0, low), min(1.0, high)

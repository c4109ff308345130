"""Modules of the reviewed networks, by name."""

from __future__ import annotations

from torch import nn

from bench_core.errors import ModelError
from bench_core.models.dense.single_images import SteerableNetwork
from bench_core.models.plain import build_plain
from bench_core.models.survey import ORIGINALS_2D, SURVEY
from bench_core.models.tables import Architecture


def survey_network(name: str) -> nn.Module:
    """Build a reviewed network: images (B, C, voxels along each axis) of its own size to (B, features).

    Raises:
        ModelError: no network of the survey has that name.
    """
    table = SURVEY.get(name) or ORIGINALS_2D.get(name)
    if table is None:
        raise ModelError(f"no network {name!r} in the survey: choose one of {', '.join((*SURVEY, *ORIGINALS_2D))}")
    return image_network(table)


def image_network(architecture: Architecture) -> nn.Module:
    """Build a table, plain or steerable, as a network for single images.

    Raises:
        ModelError: its images have other than one to three dimensions, or its band limit no rotations that are shipped.
    """
    return SteerableNetwork(architecture) if architecture.steerable else build_plain(architecture)

"""From a name or a table to a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core.errors import ModelError
from bench_core.models.architectures import ARCHITECTURES
from bench_core.models.tables import Architecture, SteerableConv

if TYPE_CHECKING:
    from torch import nn

BACKENDS = ("dense", "escnn")


def build(
    architecture: str | Architecture,
    backend: str = "dense",
    *,
    mode: str = "direction",
    recompute: bool | None = None,
    **overrides: Any,
) -> nn.Module:
    """Return the view-pair network of an architecture: x (B, 2, C, L, L, L) to logits (B, 6) or frames (B, 4, 4).

    Both backends have the same weights, and outputs and gradients that agree to about 1e-6; from the same torch seed
    they start from the same weights too. `bench_core.models.conversion` takes a state from one to the other.

    Args:
        architecture: a name in `ARCHITECTURES`, or a steerable table.
        backend: "dense", plain torch; or "escnn", stock escnn, which must be installed.
        mode: "direction" or "frame", as of `OriginPairs`.
        recompute: expand filters again in the backward pass instead of keeping them (default: yes; dense only).
        **overrides: of the table: `width`, `kernel`, `band_limit`, `hidden` ..., see `Architecture.with_`.

    Raises:
        ModelError: unknown name, backend, mode or override, or a layer that does not fit or has no such network.
    """
    table = find_architecture(architecture)
    if overrides:
        table = table.with_(**overrides)
    if not any(isinstance(layer, SteerableConv) for layer in table.layers):
        raise ModelError(
            f"{table.name}: no SteerableConv, which view-pair networks are made of; survey_networks.image_network "
            "builds plain tables for single images"
        )
    if backend not in BACKENDS:
        raise ModelError(f"backend {backend!r} is unknown: choose one of {', '.join(BACKENDS)}")
    if backend == "dense":
        from bench_core.models.dense.networks import DenseClassifier

        return DenseClassifier(table, mode, recompute=recompute is not False)
    if recompute is not None:
        raise ModelError("the escnn backend always keeps its filters: leave recompute out, or use backend dense")
    from bench_core.models.stock.networks import StockClassifier

    return StockClassifier(table, mode)


def find_architecture(
    architecture: str | Architecture, tables: Mapping[str, Architecture] = ARCHITECTURES
) -> Architecture:
    """Return the table of a name; a table is returned as it is.

    Raises:
        ModelError: there is no such name; the message has them all.
    """
    if isinstance(architecture, Architecture):
        return architecture
    if architecture not in tables:
        raise ModelError(f"no architecture {architecture!r}: choose one of {', '.join(tables)}")
    return tables[architecture]

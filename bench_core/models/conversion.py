"""States of one backend as states of the other. Names and shapes differ, numbers do not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from bench_core.errors import ModelError
from bench_core.models.so3.kernels import regular_degrees, size_of

_NORM = re.compile(r"(?P<layer>.*\.norm\.)(?P<field>regular_\[[^.]*\]_)?(?P<name>\w+)")
_PER_FIELD = ("weight", "bias", "running_mean", "running_var")


def to_dense(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the dense state of a stock escnn model's (`StockClassifier.state_dict()`).

    Raises:
        ModelError: an entry that no such state has, for example an expanded filter of a model saved by other means.
    """
    return {_dense_name(name): _to_dense(name, value) for name, value in state.items()}


def to_escnn(state: Mapping[str, Tensor], band_limit: int = 2) -> dict[str, Tensor]:
    """Return the stock escnn state of a dense model's (`DenseClassifier.state_dict()`).

    Raises:
        ModelError: an entry that no such state has.
    """
    return {_escnn_name(name, band_limit): _to_escnn(name, value, band_limit) for name, value in state.items()}


def _dense_name(name: str) -> str:
    match = _NORM.fullmatch(name)
    if match:
        return match["layer"] + match["name"]
    return _known(name)


def _to_dense(name: str, value: Tensor) -> Tensor:
    match = _NORM.fullmatch(name)
    if match is None:
        return value.unsqueeze(-1) if _is_bias(name) else value
    if match["name"] == "running_mean":
        return value[:, :1]
    return value[:, 0] if match["name"] in ("weight", "running_var") else value


def _escnn_name(name: str, band_limit: int) -> str:
    match = _NORM.fullmatch(name)
    if match is None:
        return _known(name)
    irreps = "|".join(f"({degree},)" for degree in range(band_limit + 1))
    return match["layer"] + (f"regular_[{irreps}]_" if match["name"] in _PER_FIELD else "") + match["name"]


def _to_escnn(name: str, value: Tensor, band_limit: int) -> Tensor:
    match = _NORM.fullmatch(name)
    if match is None:
        return value.squeeze(-1) if _is_bias(name) else value
    if match["name"] == "running_mean":
        mean = value.new_zeros(len(value), size_of(regular_degrees(band_limit)))
        mean[:, :1] = value
        return mean
    return value.unsqueeze(-1) if match["name"] in ("weight", "running_var") else value


def _is_bias(name: str) -> bool:
    """Whether an entry is the bias of fields; a frame head's output is a plain torch layer in both backends."""
    return name.endswith(".bias") and not name.endswith(_PLAIN)


_PLAIN = ("head.frame.weight", "head.frame.bias")


def _known(name: str) -> str:
    if not name.endswith((".weights", ".bias", *_PLAIN)):
        raise ModelError(f"no weights, bias or statistics: {name}; save models with state_dict() of this package")
    return name

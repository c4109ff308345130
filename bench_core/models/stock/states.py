"""State dicts of escnn models without what can be computed: bases, Fourier matrices and expanded filters.

Stock escnn saves them all, and the keys depend on whether the model trains or not. Here a state holds the parameters
and the statistics of batch norms, whichever mode the model is in, and one loads into the other.
"""

from __future__ import annotations

from typing import Any

from torch import nn

STATISTICS = ("_running_mean", "_running_var", "num_batches_tracked")


def keep_states_small(model: nn.Module) -> None:
    """Make `model.state_dict()` leave constants out, and `model.load_state_dict()` do without them."""
    model.register_state_dict_post_hook(_drop_constants)  # type: ignore[no-untyped-call]
    model.register_load_state_dict_pre_hook(_add_constants)  # type: ignore[no-untyped-call]
    model.register_load_state_dict_post_hook(_expand_again)  # type: ignore[no-untyped-call]


def _constants(model: nn.Module) -> dict[str, Any]:
    """Return the buffers that are no statistics, by name."""
    return {name: buffer for name, buffer in named_buffers(model) if not name.endswith(STATISTICS)}


def named_buffers(model: nn.Module, prefix: str = "") -> list[tuple[str, Any]]:
    """Return all buffers. `model.named_buffers` skips those of bases that escnn calls equal to an earlier one."""
    buffers = [(prefix + name, buffer) for name, buffer in model._buffers.items() if buffer is not None]
    for name, child in model._modules.items():
        if child is not None:
            buffers += named_buffers(child, f"{prefix}{name}.")
    return buffers


def _drop_constants(model: nn.Module, state: dict[str, Any], prefix: str, local_metadata: Any) -> None:
    for name in _constants(model):
        state.pop(prefix + name, None)


def _add_constants(model: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
    state.update({prefix + name: buffer for name, buffer in _constants(model).items()})


def _expand_again(model: nn.Module, incompatible_keys: Any) -> None:
    """Expand the filters that an evaluating model keeps from its weights, which have changed."""
    if not model.training:
        model.train()  # a convolution that evaluates already keeps its filter
        model.eval()

"""What operators hold inside themselves on the CPU, where a watcher of operators cannot see it.

One rule per operator: (arguments, results, threads) -> bytes beside arguments and results, at most. Source of the
rules: the allocator events of single operators, recorded with torch.profiler (torch 2.13, 1 thread, AVX-512); the
reason of each stands beside it. An operator without a rule holds nothing, or nothing worth a rule: less than 100 kB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from bench_harness.vram import onednn_convolution as onednn

aten = torch.ops.aten
Rule = Callable[[tuple[Any, ...], Any, int], int]


class CpuWorkspace:
    """The rules for a number of threads; called as recorder.WorkspaceRule."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __call__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
        rule = RULES.get(func)
        # Rules read positional arguments; the operators they are for are called with them by torch itself.
        return max(0, rule(args, result, self.threads)) if rule is not None else 0


def nothing(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    """Return 0: the rule of a device whose workspaces are not modelled."""
    return 0


def result_bytes(func: Any, args: tuple[Any, ...]) -> dict[int, int]:
    """Return the true bytes of those results, by position, whose fake has another size."""
    if func is not aten.mkldnn_rnn_layer.default:
        return {}
    # The saved state of a recurrent layer is an empty tensor in torch's shape rule. oneDNN keeps the gates of every
    # step there, and states, cells and their gradients: 6 rows as wide as the wider of input and state, 5 of the state.
    (steps, batch, width), hidden = args[0].shape, args[10]
    rows = 6 * _leading_dimension(max(width, hidden)) + 5 * _leading_dimension(hidden)
    return {3: 4 * batch * (steps * _leading_dimension(4 * hidden) + (steps + 1) * rows)}


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size() if isinstance(tensor, torch.Tensor) else 0


def _copy_bytes(tensor: Any) -> int:
    """Return the bytes of a contiguous copy, where one has to be made."""
    return 0 if not isinstance(tensor, torch.Tensor) or tensor.is_contiguous() else _bytes(tensor)


def _sum_of_results(result: Any) -> int:
    return sum(_bytes(leaf) for leaf in tree_leaves(result))


def _convolution(args: tuple[Any, ...], result: Any, threads: int) -> int:
    source, weight = args[0], args[1]
    transposed = args[6]
    conv = _sizes(source, weight, result, args)
    copies = _copy_bytes(source) + _copy_bytes(weight)
    if not transposed:
        return copies + onednn.forward_bytes(conv, threads)
    held = onednn.input_gradient_bytes(conv, threads) - _bytes(result)
    return copies + held + (0 if conv.strided or conv.pointwise else _bytes(result))


def _convolution_backward(args: tuple[Any, ...], result: Any, threads: int) -> int:
    gradient, source, weight = args[0], args[1], args[2]
    transposed = args[7]
    conv = _sizes(source, weight, gradient, (*args[:2], None, *args[4:]))
    conv = replace(conv, unrolled=1 if transposed else None)
    copies = sum(map(_copy_bytes, (gradient, source, weight)))
    of_image = onednn.forward_bytes(conv, threads) + _bytes(source) if transposed else 0
    of_image = of_image or onednn.input_gradient_bytes(conv, threads)
    # First the input's gradient, then with it in hand the filter's.
    first = of_image if result[0] is not None else 0
    second = _bytes(result[0]) + (onednn.filter_gradient_bytes(conv, threads) if result[1] is not None else 0)
    return copies + max(first, second + _bytes(result[2])) - _sum_of_results(result)


def _sizes(source: Any, weight: Any, target: Any, args: tuple[Any, ...]) -> onednn.Convolution:
    """Return the sizes of the plain convolution that maps source to target, or, transposed, target to source."""
    stride, dilation, transposed, groups = tuple(args[3]), tuple(args[5]), args[6], args[8]
    small, large = (target, source) if transposed else (source, target)
    kernel = onednn.sides(weight.shape)
    return onednn.Convolution(
        batch=source.shape[0],
        channels_in=small.shape[1],
        channels_out=large.shape[1],
        image=onednn.sides(small.shape),
        result=onednn.sides(large.shape),
        kernel=kernel,
        stride=stride,
        groups=groups,
        item_bytes=source.element_size(),
        padded=max(args[4]) > 0,
        supported=_onednn_computes(source.dtype),
        block=16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else 8,
        plain_sides=max(stride) == 1 and max(dilation) == 1 and max(kernel) <= 3,
    )


def _onednn_computes(dtype: torch.dtype) -> bool:
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _matrices(*places: int) -> Rule:
    # BLAS wants rows or columns without gaps; an expanded gradient (of a sum) has neither and is copied.
    def rule(args: tuple[Any, ...], result: Any, threads: int) -> int:
        return max(_unfit_matrix_bytes(args[place]) for place in places)

    return rule


def _unfit_matrix_bytes(matrix: torch.Tensor) -> int:
    rows, columns = matrix.shape[-2:]
    by_row, by_column = matrix.stride()[-2:]
    fits = (by_column == 1 and by_row >= max(1, columns)) or (by_row == 1 and by_column >= max(1, rows))
    return 0 if fits else rows * columns * matrix.element_size()


def _mixed_types(args: tuple[Any, ...], result: Any, threads: int) -> int:
    # Elementwise operators convert whole operands to the common type first.
    tensors = [item for item in args[:2] if isinstance(item, torch.Tensor) and item.dim()]
    others = [item for item in tensors if item.dtype != result.dtype and result.is_floating_point()]
    return sum(int(item.numel() * result.element_size()) for item in others)


def _widened(args: tuple[Any, ...], result: Any, threads: int) -> int:
    # Means of half precision are taken of a float32 copy.
    source: torch.Tensor = args[0]
    return source.numel() * 4 if source.element_size() == 2 else 0


def _layer_norm_backward(args: tuple[Any, ...], result: Any, threads: int) -> int:
    return _copy_bytes(args[0]) + _copy_bytes(args[1]) + 2 * threads * _bytes(result[1])


def _batch_norm_backward(args: tuple[Any, ...], result: Any, threads: int) -> int:
    # One more image, in which the gradient of the mean is spread out.
    return _bytes(result[0]) + _copy_bytes(args[0])


def _flash_attention(args: tuple[Any, ...], result: Any, threads: int) -> int:
    queries: int = args[0].shape[2]
    keys: int = args[1].shape[2]
    size: int = args[0].shape[3]
    rows, columns = _attention_tile(queries), min(512, keys)
    return 4 * threads * (rows * columns + 2 * rows + rows * size)


def _flash_attention_backward(args: tuple[Any, ...], result: Any, threads: int) -> int:
    queries: int = args[1].shape[2]
    keys: int = args[2].shape[2]
    return _copy_bytes(args[0]) + 8 * threads * _attention_tile(queries) * min(512, keys)


def _attention_tile(queries: int) -> int:
    return 256 if queries >= 768 else 64 if queries >= 192 else min(32, queries)


def _safe_softmax(args: tuple[Any, ...], result: Any, threads: int) -> int:
    source: torch.Tensor = args[0]
    return source.numel()  # which entries are -inf, a byte each


def _rnn_layer(args: tuple[Any, ...], result: Any, threads: int) -> int:
    return _rnn_scratch_bytes(args)


def _rnn_layer_backward(args: tuple[Any, ...], result: Any, threads: int) -> int:
    # The gradient of the output is made contiguous; sizes that oneDNN pads are computed apart from the result.
    widths: list[int] = [matrix.shape[1] for matrix in args[1:3]]
    padded = [_leading_dimension(width) for width in widths]
    apart = 4 * sum(padded) * args[1].shape[0] if padded != widths else 0
    return _rnn_scratch_bytes(args) + int(apart) + _copy_bytes(args[10])


def _rnn_scratch_bytes(args: tuple[Any, ...]) -> int:
    # Both matrices packed, and the gates of every step.
    (steps, batch), gates = args[0].shape[:2], _leading_dimension(args[1].shape[0])
    return 4 * gates * int(steps * batch + sum(matrix.shape[1] for matrix in args[1:3]))


def _leading_dimension(width: int) -> int:
    # oneDNN aligns rows to 64 bytes and steps aside from multiples of 1 kB.
    aligned = -(-width // 16) * 16
    return aligned + 16 if aligned % 256 == 0 else aligned


def _embedding_backward(args: tuple[Any, ...], result: Any, threads: int) -> int:
    return _copy_bytes(args[0])


def _bernoulli(args: tuple[Any, ...], result: Any, threads: int) -> int:
    # MKL draws integers; they are then copied into the result.
    drawn: torch.Tensor = result
    return 4 * drawn.numel() if drawn.element_size() >= 4 else 0


MIXING = (aten.add.Tensor, aten.add_.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.mul_.Tensor, aten.div.Tensor)
RULES: dict[Any, Rule] = {
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: _convolution_backward,
    aten.mm.default: _matrices(0, 1),
    aten.bmm.default: _matrices(0, 1),  # copied one matrix at a time
    aten.addmm.default: _matrices(1, 2),
    aten.baddbmm.default: _matrices(1, 2),
    aten.native_batch_norm_backward.default: _batch_norm_backward,
    aten.native_layer_norm_backward.default: _layer_norm_backward,
    aten._scaled_dot_product_flash_attention_for_cpu.default: _flash_attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _flash_attention_backward,
    aten._safe_softmax.default: _safe_softmax,
    aten.mkldnn_rnn_layer.default: _rnn_layer,
    aten.mkldnn_rnn_layer_backward.default: _rnn_layer_backward,
    aten.embedding_dense_backward.default: _embedding_backward,
    aten.bernoulli_.float: _bernoulli,
    aten.mean.dim: _widened,
    **dict.fromkeys(MIXING, _mixed_types),
}

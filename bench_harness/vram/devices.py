"""The allocator and the workspaces of a device, as far as they are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# One block of torch's CUDA allocator is a multiple of this.
CUDA_BLOCK_BYTES = 512
# What torch reserves for cuBLAS at the first matrix product, by default (CUBLAS_WORKSPACE_CONFIG :4096:2:16:8).
CUBLAS_BYTES = 2 * 4096 * 1024 + 8 * 16 * 1024


@dataclass(frozen=True)
class DeviceRules:
    """`validated` is whether predictions were compared to this allocator's own peak (docs/vram.md)."""

    workspace_bytes: Callable[..., int]
    round_up: Callable[[int], int]
    validated: bool


def rules(device: str, threads: int) -> DeviceRules:
    """Return the rules of `cpu` or `cuda`."""
    from bench_harness.vram.workspace import CpuWorkspace

    if device == "cpu":
        return DeviceRules(CpuWorkspace(threads), lambda size_bytes: size_bytes, validated=True)
    return DeviceRules(CublasWorkspace(), cuda_block_bytes, validated=False)


def cuda_block_bytes(size_bytes: int) -> int:
    """Return the bytes of the block that torch's CUDA allocator hands out."""
    return -(-size_bytes // CUDA_BLOCK_BYTES) * CUDA_BLOCK_BYTES


class CublasWorkspace:
    """The one workspace of CUDA that is known without measuring: kept from the first matrix product on.

    What cuDNN takes depends on the algorithm it picks, and is left out.
    """

    PRODUCTS = ("aten.mm.", "aten.addmm.", "aten.bmm.", "aten.baddbmm.")

    def __init__(self) -> None:
        self._in_use = False

    def __call__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
        self._in_use = self._in_use or str(func).startswith(self.PRODUCTS)
        return CUBLAS_BYTES if self._in_use else 0

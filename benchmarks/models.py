"""What does a view-pair network cost before it trains, and what do its layers cost?

Two backends side by side: `dense`, our own layers, and `escnn`, stock. Everything of escnn's is skipped where it is not
installed. How long training steps take, and the memory they need: `models_in_training`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented

from .base import Suite, once, subject

BACKENDS = ["dense", "escnn"]
THREADS = 2
SMALLEST = "arch_0"
DEEPEST = "arch_3_width_14_repeats_4"
BATCH_SIZE = 4
VIEWS = 2


def needed_for(backend: str) -> None:
    """Use `THREADS` threads; skip a backend that this commit lacks, or whose packages are not installed."""
    subject("bench_core.models", "build")
    if backend == "escnn":
        import_escnn = subject("bench_core.models.stock.importing", "import_escnn")
        try:
            import_escnn()
        except subject("bench_core.errors", "ModelError") as error:
            raise SkipNotImplemented(str(error)) from None
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)


class Construction(Suite):
    """From a name to a network: the first one of a process, which computes its constants, and another one."""

    params = (BACKENDS,)
    param_names = ("backend",)
    repeat = (2, 20, 1.0)

    @once
    def setup(self, backend: str) -> None:
        needed_for(backend)
        self.build = subject("bench_core.models", "build")

    def track_first_of_a_process_s(self, backend: str) -> float:
        """Wall time of importing the backend and constructing in a process of its own, torch being imported."""
        code = "import time, torch; start = time.perf_counter(); from bench_core.models import build; "
        code += f"build({SMALLEST!r}, backend={backend!r}); print(time.perf_counter() - start)"
        command = [sys.executable, "-W", "ignore", "-c", code]
        return float(subprocess.run(command, check=True, capture_output=True).stdout)

    def time_another(self, backend: str) -> None:
        self.build(SMALLEST, backend=backend)

    track_first_of_a_process_s.unit = "seconds"  # type: ignore[attr-defined]


class Bookkeeping(Suite):
    """What is done with all parameters at once, of the network with the most layers: no arithmetic to speak of."""

    params = (BACKENDS,)
    param_names = ("backend",)
    repeat = (2, 400, 1.0)

    @once
    def setup(self, backend: str) -> None:
        needed_for(backend)
        if backend == "escnn":
            table = subject("bench_core.models", "ARCHITECTURES")[DEEPEST]
            self.model = subject("bench_core.models.stock.networks", "StockClassifier")(table, initialize=False)
        else:
            self.model = subject("bench_core.models", "build")(DEEPEST)

    def time_zero_grad(self, backend: str) -> None:
        self.model.zero_grad()

    def time_list_parameters(self, backend: str) -> None:
        list(self.model.parameters())

    def track_state_dict_bytes(self, backend: str) -> float:
        return float(sum(value.numel() * value.element_size() for value in self.model.state_dict().values()))

    track_state_dict_bytes.unit = "bytes"  # type: ignore[attr-defined]


class Layer(Suite):
    """The two steps of a layer of arch_0 that torch has no operation for, each with its backward pass.

    Expansion: weights to the filter of the last layer, 40 to 50 fields (1400 to 1750 channels) of 3^3 voxels. Fourier
    activation: the first layer's, 10 fields on 9^3 voxels, both views of a batch of 4.
    """

    params = (["expansion", "Fourier activation"], BACKENDS)
    param_names = ("step", "backend")
    repeat = (2, 400, 1.0)

    @once
    def setup(self, step: str, backend: str) -> None:
        needed_for(backend)
        import torch

        layers = subject("bench_core.models", "build")(SMALLEST, backend=backend).encoder.layers
        if step == "expansion":
            self.input, self.step = expansion(layers[-1].conv, backend)
        else:
            self.input, self.step = fourier_activation(layers[0].nonlinearity, backend)
        self.output = self.step()
        self.cotangent = torch.rand_like(self.output)

    def time_step(self, step: str, backend: str) -> None:
        self.step()

    def time_its_gradient(self, step: str, backend: str) -> None:
        import torch

        torch.autograd.grad(self.output, self.input, self.cotangent, retain_graph=True)


def expansion(conv: Any, backend: str) -> tuple[Any, Callable[[], Any]]:
    """Return the weights of a convolution, and a function that makes its filter of them."""
    if backend == "dense":
        return conv.weights, conv.expand
    return conv.weights, lambda: conv.expand_parameters()[0]


def fourier_activation(nonlinearity: Any, backend: str) -> tuple[Any, Callable[[], Any]]:
    """Return the fields of both views, and a function that rectifies them: at once, or view by view as stock does."""
    import torch

    x = torch.randn(VIEWS * BATCH_SIZE, 10 * 35, 9, 9, 9, requires_grad=True)
    if backend == "dense":
        return x, lambda: nonlinearity.alone(x)
    fields = nonlinearity.in_type
    return x, lambda: torch.cat([nonlinearity(fields(view)).tensor for view in x.chunk(VIEWS)])

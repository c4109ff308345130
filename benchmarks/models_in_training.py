"""How long does a training step take, and how much memory does it need, with either backend?

Network, Adam, cross entropy, random views of 21^3 voxels in 4 channels; 2 threads. `dense bf16` is the dense network
under autocast to bfloat16, on processors that compute in it.

Steps that are timed one network after the other compare badly on a busy machine. `StepRatio` takes them in turn, for
ten minutes, and is skipped unless it is asked for:

    BENCH_CORE_LONG=1 python -m asv run --bench StepRatio --attribute rounds=1 --show-stderr ...
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented

from .base import Suite, subject
from .models import BACKENDS, BATCH_SIZE, VIEWS, needed_for

ARCHITECTURES = ["arch_0", "arch_3_width_7_repeats_1"]
CONTENDERS = [*BACKENDS, "dense bf16"]
Measured = dict[tuple[Any, ...], dict[str, float]]


class Network:
    """A network with its optimizer and a batch; its weights are random, or those of a state."""

    def __init__(self, architecture: str, contender: str, batch_size: int, state: Any = None) -> None:
        backend, *bfloat16 = contender.split()
        needed_for(backend)
        self.autocast = in_bfloat16 if bfloat16 else contextlib.nullcontext
        self.autocast()
        import torch

        self.model = subject("bench_core.models", "build")(architecture, backend=backend)
        if state is not None:
            self.model.load_state_dict(state)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.give(batch_size)

    def give(self, batch_size: int) -> None:
        """Draw another batch."""
        import torch

        self.views = torch.rand(batch_size, VIEWS, 4, 21, 21, 21)
        self.labels = torch.arange(batch_size) % 6

    def forward(self) -> Any:
        with self.autocast():
            return self.model(self.views)

    def step(self) -> None:
        """Take one step of training."""
        import torch

        self.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(self.forward(), self.labels).backward()
        self.optimizer.step()


def in_bfloat16() -> Any:
    """Return the context of autocast to bfloat16; skip where the processor would only imitate it."""
    import torch

    able = torch.cpu.get_capabilities()
    if not able.get("avx512_bf16") and not able.get("amx_bf16"):
        raise SkipNotImplemented("this processor has neither avx512_bf16 nor amx_bf16")
    return torch.autocast("cpu", torch.bfloat16)


class Step(Suite):
    """The first training step, on a batch of 2, under the profiler: its peak, from the events of the CPU's allocator,
    with what is there before it. Then steps, and forward passes in training mode, of a batch of 4: the better of two.
    """

    params = (ARCHITECTURES, CONTENDERS)
    param_names = ("architecture", "contender")

    def setup_cache(self) -> Measured:
        return measured_in(measure_steps, [(a, c) for a in ARCHITECTURES for c in CONTENDERS])

    setup_cache.timeout = 900  # type: ignore[attr-defined]

    def setup(self, measured: Measured, architecture: str, contender: str) -> None:
        self.figures = figures_of(measured, architecture, contender)

    def track_training_step_s(self, measured: Measured, architecture: str, contender: str) -> float:
        return self.figures["step_s"]

    def track_forward_s(self, measured: Measured, architecture: str, contender: str) -> float:
        return self.figures["forward_s"]

    def track_peak_bytes(self, measured: Measured, architecture: str, contender: str) -> float:
        return self.figures["peak_bytes"]

    track_training_step_s.unit = "seconds"  # type: ignore[attr-defined]
    track_forward_s.unit = "seconds"  # type: ignore[attr-defined]
    track_peak_bytes.unit = "bytes"  # type: ignore[attr-defined]


class StepRatio(Suite):
    """How many times as long a step of stock escnn takes, measured in turn in one process: the same weights and batch
    size, one step each to warm up, then three of each, and their medians.

    CPU time counts threads that wait for others while the machine is busy: OMP_WAIT_POLICY=passive makes them sleep.
    """

    params = (ARCHITECTURES, [4, 16], ["dense", "dense bf16"])
    param_names = ("architecture", "batch_size", "contender")

    def setup_cache(self) -> Measured:
        wanted = [(a, n) for a in ARCHITECTURES for n in (4, 16)] if os.environ.get("BENCH_CORE_LONG") else []
        return measured_in(measure_ratios, wanted)

    setup_cache.timeout = 3600  # type: ignore[attr-defined]

    def setup(self, measured: Measured, architecture: str, batch_size: int, contender: str) -> None:
        if not measured:
            raise SkipNotImplemented("takes ten minutes: BENCH_CORE_LONG=1 asks for it")
        self.figures = figures_of(measured, architecture, batch_size)
        if f"{contender}, wall" not in self.figures:
            raise SkipNotImplemented(f"{contender} cannot run here")

    def track_step_ratio_of_escnn_to_dense(
        self, measured: Measured, architecture: str, batch_size: int, contender: str
    ) -> float:
        return self.figures[f"{contender}, wall"]

    def track_step_cpu_ratio_of_escnn_to_dense(
        self, measured: Measured, architecture: str, batch_size: int, contender: str
    ) -> float:
        return self.figures[f"{contender}, cpu"]


class PredictedMemory(Suite):
    """What the closed forms say of the peak that `Step` measures."""

    params = (ARCHITECTURES, BACKENDS)
    param_names = ("architecture", "backend")

    def setup(self, architecture: str, backend: str) -> None:
        stock = subject("bench_core.models.closed_forms", "cpu_peak_bytes")
        dense = subject("bench_core.models.closed_forms_dense", "dense_peak_bytes")
        self.predict = dense if backend == "dense" else stock
        self.table = subject("bench_core.models", "ARCHITECTURES")[architecture]

    def track_predicted_peak_bytes(self, architecture: str, backend: str) -> float:
        return float(self.predict(self.table, 2))

    track_predicted_peak_bytes.unit = "bytes"  # type: ignore[attr-defined]


def measured_in(measure: Callable[..., dict[str, float]], wanted: list[tuple[Any, ...]]) -> Measured:
    """Measure all that can be measured here: asv takes a skip in `setup_cache` for a failure."""
    measured: Measured = {}
    for parameters in wanted:
        with contextlib.suppress(SkipNotImplemented):
            measured[parameters] = measure(*parameters)
    return measured


def figures_of(measured: Measured, *parameters: Any) -> dict[str, float]:
    """Return what was measured; skip what could not be."""
    if parameters not in measured:
        raise SkipNotImplemented("this commit has no such network, escnn is not installed, or no bfloat16 in hardware")
    return measured[parameters]


def measure_steps(architecture: str, contender: str) -> dict[str, float]:
    import torch

    from bench_harness.vram.real_step import cpu_peak_bytes
    from bench_harness.vram.training_step import Recipe

    network = Network(architecture, contender, 2)
    recipe = Recipe(precision="bf16-mixed" if "bf16" in contender else "32", steps=1)
    peak_bytes = cpu_peak_bytes(network.model, [network.views], recipe)
    network.give(BATCH_SIZE)
    step_s = min(seconds(network.step)[0] for _ in range(2))
    with torch.no_grad():
        forward_s = min(seconds(network.forward)[0] for _ in range(2))
    return {"peak_bytes": float(peak_bytes), "step_s": step_s, "forward_s": forward_s}


def measure_ratios(architecture: str, batch_size: int, pairs: int = 3) -> dict[str, float]:
    """Return, for each contender and clock, the median over that of stock escnn, upside down."""
    networks = equal_networks(architecture, batch_size)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in networks}
    for network in networks.values():
        network.step()
    for _ in range(pairs):
        for name, network in networks.items():
            taken[name].append(seconds(network.step))
    ratios = {}
    for clock, which in (("wall", 0), ("cpu", 1)):
        medians = {name: median(times[which] for times in taken[name]) for name in networks}
        ratios.update({f"{name}, {clock}": medians["escnn"] / medians[name] for name in networks})
    return ratios


def equal_networks(architecture: str, batch_size: int) -> dict[str, Network]:
    """Return a network of each contender that can run here, of equal weights; skip without stock escnn."""
    networks = {"escnn": Network(architecture, "escnn", batch_size)}
    state = subject("bench_core.models.conversion", "to_dense")(networks["escnn"].model.state_dict())
    for contender in ("dense", "dense bf16"):
        with contextlib.suppress(SkipNotImplemented):
            networks[contender] = Network(architecture, contender, batch_size, state)
    return networks


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """Return wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu

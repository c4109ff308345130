"""Use of the GPUs while a target runs, asked of NVIDIA's driver once a second from outside of the target."""

import statistics
import threading
from typing import Any

from bench_harness.errors import MissingPackageError
from bench_harness.optional import require


class GpuSampler:
    """Samples utilisation and memory of every GPU that NVML shows, in a thread of its own.

    Utilisation is NVML's: the share of its last sample period in which any kernel ran, not how full the GPU was.

    Args:
        interval_s: between samples.
        nvml: a module like pynvml, for tests; by default the one that is installed.
    """

    def __init__(self, interval_s: float = 1.0, nvml: Any = None) -> None:
        self._interval_s = interval_s
        self._nvml = nvml
        self._handles: list[Any] = []
        self._samples: list[list[tuple[int, int]]] = []
        self._reason: str | None = "the sampler was not started"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin sampling, where there is something to sample; never raises."""
        try:
            self._nvml = self._nvml or require("pynvml", "gpu")
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
        except MissingPackageError as error:
            self._reason = str(error)
            return
        except Exception as error:  # NVML's errors are made at run time, one class per code
            self._reason = f"NVML does not answer: {error}"
            return
        self._reason = None if self._handles else "NVML shows no GPU"
        self._samples = [[] for _ in self._handles]
        if self._handles:
            self._thread = threading.Thread(target=self._run, name="gpu-sampler", daemon=True)
            self._thread.start()

    def stop(self) -> dict[str, Any]:
        """End sampling; return {"devices": [...]} or {"devices": None, "reason": why there is nothing}."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            devices = [self._summary(number) for number in range(len(self._handles))]
            self._nvml.nvmlShutdown()
            if any(device["samples"] for device in devices):
                return {"devices": devices, "reason": self._reason}
        return {"devices": None, "reason": self._reason or "the target ended before the first sample"}

    def _run(self) -> None:
        # The first sample comes after one interval: before it the target has not begun.
        try:
            while not self._stop.wait(self._interval_s):
                for handle, samples in zip(self._handles, self._samples, strict=True):
                    used = self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu
                    samples.append((used, self._nvml.nvmlDeviceGetMemoryInfo(handle).used))
        except Exception as error:
            self._reason = f"NVML stopped answering: {error}"

    def _summary(self, number: int) -> dict[str, Any]:
        samples, name = self._samples[number], self._nvml.nvmlDeviceGetName(self._handles[number])
        memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handles[number])
        shares = [used / 100 for used, _ in samples]
        return {
            "device": number,
            "name": name.decode() if isinstance(name, bytes) else name,
            "samples": len(samples),
            "interval_s": self._interval_s,
            "utilisation_mean": statistics.fmean(shares) if shares else None,
            "utilisation_max": max(shares, default=None),
            "idle_share": sum(share == 0 for share in shares) / len(shares) if shares else None,
            "memory_peak_bytes": max((size for _, size in samples), default=None),
            "memory_total_bytes": memory.total,
        }

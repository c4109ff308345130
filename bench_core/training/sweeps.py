"""What loading costs with each setting of the loader: workers, minibatch size, float16 images, page-locked memory.

One setting is changed at a time. All settings take turns within each repeat, so that a machine that slows down slows
all of them down.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from bench_core.datasets import OriginPairs
from bench_core.grid import ImageSpec
from bench_core.loaders import iterate, make_loader
from bench_core.origins import OriginStore
from bench_core.training.data import HalfInputs

LEAST_TURNS = 4
NEEDS_CUDA = "not applicable: no CUDA here, and page-locked memory is for copies to a GPU"


@dataclass(frozen=True)
class Setting:
    """How the loader is made."""

    workers: int = 2
    batch_size: int = 16
    float16_inputs: bool = False
    pin_memory: bool = False


class Sample(NamedTuple):
    """Seconds per example of one repeat: waiting for batches, copying (and widening) them, the step, and all."""

    load_s: float
    transfer_s: float
    step_s: float
    total_s: float


@dataclass(frozen=True)
class Swept:
    """One row: which setting was changed to what, and its samples (none where it does not apply here)."""

    changed: str
    value: Any
    setting: Setting
    samples: tuple[Sample, ...]
    note: str = ""

    def median(self, name: str) -> float | None:
        """Return the median over the repeats of one part, seconds per example."""
        values = [getattr(sample, name) for sample in self.samples]
        return statistics.median(values) if values else None

    def as_json(self) -> dict[str, Any]:
        medians = {name: self.median(name) for name in Sample._fields}
        samples = [sample._asdict() for sample in self.samples]
        changed = {"changed": self.changed, "value": self.value, "setting": asdict(self.setting)}
        return changed | {"median": medians, "samples": samples, "note": self.note}


class Loading:
    """What is loaded, and what is done with it: the store's pairs, a device, and a step of training or none."""

    def __init__(
        self,
        store: OriginStore,
        image: ImageSpec,
        device: str = "cpu",
        step: Callable[[Any], None] | None = None,
        *,
        mode: str = "direction",
        start_method: str = "fork",
        timeout_s: float = 300.0,
    ) -> None:
        self.store, self.image, self.mode = store, image, mode
        self.device = torch.device(device)
        self.step = step
        self.start_method, self.timeout_s = start_method, timeout_s

    def sample(self, setting: Setting, examples: int, seed: int) -> Sample:
        """Load at least `examples` examples with a setting, after the batches that fill the loader's queue.

        Workers deliver at the same time, so that every second of two batches seems to cost nothing: as many batches
        are measured as fall to each worker `LEAST_TURNS` times or more.
        """
        turn = max(1, setting.workers)
        measured = turn * max(LEAST_TURNS, -(-examples // (setting.batch_size * turn)))
        first = 1 + 2 * setting.workers
        batches = self._batches(setting, measured + first, seed)
        for _ in range(first):
            self._use(next(batches))
        spent = np.zeros(3)
        start = time.perf_counter()
        for _ in range(measured):
            before = time.perf_counter()
            batch = next(batches)
            spent += [time.perf_counter() - before, *self._use(batch)]
        total_s = time.perf_counter() - start
        batches.close()
        n = measured * setting.batch_size
        load_s, transfer_s, step_s = (spent / n).tolist()
        return Sample(load_s, transfer_s, step_s, total_s / n)

    def _batches(self, setting: Setting, n_batches: int, seed: int) -> Any:
        size = n_batches * setting.batch_size
        pairs: Any = OriginPairs(self.store, self.image, self.mode, size, seed)
        return iterate(
            make_loader(
                HalfInputs(pairs) if setting.float16_inputs else pairs,
                setting.batch_size,
                setting.workers,
                self.start_method,
                timeout_s=self.timeout_s,
                pin_memory=setting.pin_memory,
            )
        )

    def _use(self, batch: Any) -> tuple[float, float]:
        """Copy a batch to the device as float32 and do the step; return the seconds of both."""
        x, y = batch
        start = time.perf_counter()
        batch = x.to(self.device, non_blocking=True).float(), y.to(self.device, non_blocking=True)
        self._wait()
        copied = time.perf_counter()
        if self.step is not None:
            self.step(batch)
            self._wait()
        return copied - start, time.perf_counter() - copied

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def settings(base: Setting, **values: list[Any]) -> Iterator[tuple[str, Any, Setting]]:
    """Yield (what is changed, to what, the setting) for each value of each field, the base's own among them."""
    for name, choices in values.items():
        for value in sorted({getattr(base, name), *choices}):
            yield name, value, replace(base, **{name: value})


def sweep(
    loading: Loading,
    base: Setting,
    values: dict[str, list[Any]],
    *,
    repeats: int = 5,
    examples: int = 64,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Swept]:
    """Measure every setting `repeats` times, in turns, in an order drawn anew for each repeat.

    Args:
        values: for each field of `Setting`, what to try.
        examples: per setting and repeat, at least.
        tell: called with (repeats done, repeats in all).
    """
    rows = list(settings(base, **values))
    different = list(dict.fromkeys(setting for _, _, setting in rows if _applies(setting, loading.device)))
    samples: dict[Setting, list[Sample]] = {setting: [] for setting in different}
    rng = np.random.default_rng(seed)
    for repeat in range(repeats):
        for i in rng.permutation(len(different)):
            samples[different[i]].append(loading.sample(different[i], examples, seed + repeat))
        tell(repeat + 1, repeats)
    return [
        Swept(name, value, setting, tuple(samples.get(setting, ())), "" if setting in samples else NEEDS_CUDA)
        for name, value, setting in rows
    ]


def _applies(setting: Setting, device: torch.device) -> bool:
    return device.type == "cuda" or not setting.pin_memory


def table(rows: list[Swept], base: Setting) -> str:
    """Return the rows as text: milliseconds per example, medians, the spread of the whole, the ratio to the base."""
    header = f"{'setting':<20} {'load':>9} {'transfer':>9} {'step':>9} {'all':>9}  {'least to most':<19} {'ratio':>6}"
    lines = ["milliseconds per example, median of the repeats; * is the base", header]
    base_s = next((row.median("total_s") for row in rows if row.setting == base), None)
    for row in rows:
        name = f"{row.changed} {row.value}{'*' if row.setting == base else ''}"
        if not row.samples:
            lines.append(f"{name:<20} {row.note}")
            continue
        parts = " ".join(f"{1e3 * (row.median(part) or 0.0):>9.3f}" for part in Sample._fields)
        totals = [1e3 * sample.total_s for sample in row.samples]
        spread = f"{min(totals):.3f} to {max(totals):.3f}"
        ratio = f"{(row.median('total_s') or 0.0) / base_s:>6.2f}" if base_s else ""
        lines.append(f"{name:<20} {parts}  {spread:<19} {ratio}")
    return "\n".join(lines)


def draw(rows: list[Swept], out: Any) -> Any:
    """Draw the rows: a panel per setting, bars of load, transfer and step, whiskers from least to most."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row.changed for row in rows))
    figure = Figure(figsize=(3.2 * len(names), 3.6), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axis, name in zip(axes, names, strict=True):
        _panel(axis, [row for row in rows if row.changed == name])
        axis.set_xlabel(name)
    axes[0].set_ylabel("ms per example, median")
    axes[0].legend(fontsize="small")
    figure.savefig(out)
    return out


def _panel(axis: Any, rows: list[Swept]) -> None:
    places = range(len(rows))
    below = np.zeros(len(rows))
    for part, label in (("load_s", "waiting for the loader"), ("transfer_s", "transfer"), ("step_s", "training step")):
        heights = np.array([1e3 * (row.median(part) or 0.0) for row in rows])
        axis.bar(places, heights, bottom=below, label=label)
        below += heights
    for place, row in zip(places, rows, strict=True):
        totals = [1e3 * sample.total_s for sample in row.samples]
        if totals:
            axis.vlines(place, min(totals), max(totals), color="black", linewidth=1)
        else:
            axis.annotate("needs CUDA", (place, 0), rotation=90, ha="center", va="bottom", fontsize="small")
    axis.set_xticks(list(places), [str(row.value) for row in rows])

"""Hooks on torch's DataLoader: installed without importing torch, inherited by forks, dropped at the first error."""

import functools
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from bench_harness.capture.phase_marks import LIGHTNING_CALLS, follow_lightning
from bench_harness.capture.pipeline import naming, replacements
from bench_harness.capture.pipeline.context import Context
from bench_harness.capture.pipeline.imports import AfterImport
from bench_harness.capture.pipeline.layout import Ring
from bench_harness.capture.pipeline.main_side import MainSide
from bench_harness.capture.pipeline.state import STATE


def install(context: Context) -> None:
    """Watch this process's DataLoaders from now on, see Context; in a fork, for the new serial."""
    STATE.put_to_sleep()
    warn = functools.partial(_warn, context.on_warning)
    STATE.warnings.clear()
    STATE.context = replace(context, on_warning=warn)
    if STATE.broken is not None:
        STATE.give_up(RuntimeError(STATE.broken))
        return
    if context.role != "worker":
        STATE.main = STATE.fetching = MainSide(STATE.context)
        if context.marks is not None:
            context.marks.handed_out = STATE.main.handed_out
    if STATE.finder is None and not STATE.undo:
        STATE.finder = AfterImport(
            {
                "torch.utils.data.dataloader": _guarded(_patch_dataloader),
                "torch.optim.optimizer": _guarded(_patch_optimizer),
                **dict.fromkeys(LIGHTNING_CALLS, _guarded(_patch_lightning)),
            }
        )
        STATE.finder.install()


def uninstall() -> None:
    """Put everything back as it was."""
    flush()
    if STATE.finder is not None:
        STATE.finder.remove()
        STATE.finder = None
    _undo()
    STATE.broken = None
    if STATE.main is not None and STATE.main.copies is not None:
        STATE.main.copies.remove()
    STATE.put_to_sleep()


def flush() -> None:
    """Write the counters now; takes no lock, so it may be called from a signal handler."""
    for side in (STATE.main, STATE.worker):
        if side is not None:
            try:
                side.flush()
            except Exception as error:
                STATE.give_up(error)


def worker_started(serial: str) -> None:
    """Take note of the worker of a DataLoader that this thread is about to start."""
    if naming.starting.named is None or STATE.context is None:
        return
    naming.starting.workers += 1
    try:
        naming.starting.rings.append(Ring(STATE.context.path(serial)))
    except Exception as error:
        STATE.give_up(error)


def _undo() -> None:
    while STATE.undo:
        STATE.undo.pop()()


def _warn(tell: Callable[[str], None], line: str) -> None:
    if line not in STATE.warnings:
        STATE.warnings.append(line)
        tell(line)


def _guarded(patch: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def guarded(module: ModuleType) -> None:
        try:
            patch(module)
        except Exception as error:
            # Of another version of torch: with half of the hooks, nothing of what the others say would be true.
            _undo()
            STATE.broken = f"{module.__name__} is not what the hooks expect, is this another torch? {error}"
            STATE.give_up(RuntimeError(STATE.broken))

    return guarded


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an attribute by make(original), undone by `uninstall`."""
    original = getattr(owner, name)
    own = name in vars(owner)
    setattr(owner, name, functools.wraps(original)(make(original)))
    STATE.undo.append(lambda: setattr(owner, name, original) if own else delattr(owner, name))


def _patch_dataloader(module: Any) -> None:
    processing = module._MultiProcessingDataLoaderIter
    _replace(module.DataLoader, "__init__", replacements.init_replacement)
    _replace(module.DataLoader, "__iter__", replacements.iter_replacement)
    _replace(module._BaseDataLoaderIter, "__next__", replacements.next_replacement)
    _replace(processing, "_get_data", replacements.get_data_replacement)
    _replace(processing, "_process_data", replacements.process_data_replacement)
    fetch = module._utils.fetch
    _replace(fetch._BaseDatasetFetcher, "__init__", replacements.fetcher_init_replacement)
    for fetcher in (fetch._MapDatasetFetcher, fetch._IterableDatasetFetcher):
        _replace(fetcher, "fetch", replacements.fetch_replacement)
    signals = module._utils.worker.signal_handling
    _replace(signals, "_set_worker_signal_handlers", replacements.worker_begins_replacement)
    _replace(module._utils.pin_memory, "_pin_memory_loop", replacements.pin_memory_loop_replacement)


def _patch_optimizer(module: Any) -> None:
    def stepped(*_: Any) -> None:
        if STATE.main is not None:
            STATE.main.optimizer_stepped()

    STATE.undo.append(module.register_optimizer_step_post_hook(stepped).remove)


def _patch_lightning(module: Any) -> None:
    STATE.undo.append(follow_lightning(module, lambda: STATE.context.marks if STATE.context is not None else None))

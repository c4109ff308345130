"""The arguments of every DataLoader, changed for a sweep, and what torch then refuses left out, saying so."""

import inspect
from collections.abc import Callable
from typing import Any

from bench_harness.capture.pipeline.context import Overrides

# What a DataLoader refuses without workers, and its value then.
_NEEDS_WORKERS = {"prefetch_factor": None, "persistent_workers": False, "timeout": 0, "multiprocessing_context": None}


def overridden(
    signature: inspect.Signature,
    overrides: Overrides,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    warn: Callable[[str], None],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of DataLoader.__init__, without self, as they shall be.

    Raises:
        TypeError: they do not fit the signature: torch's own message is the better one.
    """
    bound = signature.bind(None, *args, **kwargs)
    arguments = bound.arguments
    if overrides.num_workers is not None:
        arguments["num_workers"] = overrides.num_workers
    workers = arguments.get("num_workers", 0)
    if overrides.prefetch_factor is not None and workers:
        arguments["prefetch_factor"] = overrides.prefetch_factor
    elif overrides.prefetch_factor is not None:
        warn("prefetch_factor is not overridden where num_workers is 0: nothing is prefetched")
    if not workers:
        for name, neutral in _NEEDS_WORKERS.items():
            if name in arguments and arguments[name] != neutral and overrides.num_workers is not None:
                warn(f"num_workers=0: {name}={arguments[name]!r} was dropped, it needs workers")
                arguments[name] = neutral
    return bound.args[1:], bound.kwargs

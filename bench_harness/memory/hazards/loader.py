"""What there is to know about a DataLoader: asked of it just before its first worker starts, and in each worker."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench_harness.memory.hazards.handles import Handle
from bench_harness.memory.hazards.machine import open_files_limit, shm_bytes, usable_cpus
from bench_harness.memory.hazards.pickled import Pickled, pickled
from bench_harness.memory.hazards.threads import Thread, other_threads
from bench_harness.memory.headroom import available_bytes


@dataclass(frozen=True)
class WorkerFacts:
    """A worker after its first fetch.

    Args:
        torch_threads: that torch may use in it.
        inherited_handles: paths of open handles of the data set that the main process opened.
        first_fetch_s: from just before the first worker of its loader was started to the end of its first fetch.
        uss_bytes: at its end: what it holds for itself.
    """

    worker: int
    torch_threads: int = 1
    inherited_handles: Sequence[str] = ()
    first_fetch_s: float | None = None
    uss_bytes: int | None = None


@dataclass(frozen=True)
class LoaderFacts:
    """A DataLoader, and the process that is about to start its workers.

    Args:
        timeout_s: its argument; 0 waits for ever.
        start_method: of its workers; sharing_strategy: how tensors come from them.
        threads: of the process, beside the main one.
        handles: open ones that can be reached from the data set.
        pickled: of the data set, collate_fn and worker_init_fn; None where workers are forked.
        open_files, open_files_limit: of the process.
        shm_free_bytes: of /dev/shm.
        cuda_initialized: whether torch has a CUDA context in the process.
        keeps_workers: whether Lightning runs the loop: it keeps the workers of all loaders alive together.
        base_pss_bytes: of the process; available_bytes: what the machine and its control groups had left then.
        memory_limit_bytes: of the control group.
        cpus: that may be used.
        batch_tensors, batch_bytes: of the last batch looked at; None without batches.
        batches: that were handed out.
        workers: those that fetched.
        others_alive: workers of other loaders that stay alive beside them; others_bytes: what they hold for themselves.
    """

    name: str
    dataset: str
    num_workers: int
    prefetch_factor: int = 2
    timeout_s: float = 0.0
    persistent_workers: bool = False
    start_method: str = "fork"
    sharing_strategy: str = "file_descriptor"
    threads: Sequence[Thread] = ()
    handles: Sequence[Handle] = ()
    pickled: Pickled | None = None
    open_files: int | None = None
    open_files_limit: int | None = None
    shm_free_bytes: int | None = None
    cuda_initialized: bool = False
    keeps_workers: bool = False
    base_pss_bytes: int | None = None
    available_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpus: int = 1
    batch_tensors: int | None = None
    batch_bytes: int | None = None
    batches: int = 0
    workers: Sequence[WorkerFacts] = field(default_factory=list)
    others_alive: int = 0
    others_bytes: int = 0

    @property
    def uss_bytes(self) -> int | None:
        """What the largest of its workers holds for itself."""
        return max((worker.uss_bytes for worker in self.workers if worker.uss_bytes), default=None)


def look_at_loader(loader: Any, name: str, handles: Sequence[Handle], *, base_pss_bytes: int | None) -> LoaderFacts:
    """Return what is known about a torch DataLoader before its workers start; changes nothing of it.

    Args:
        loader: of this process, which has imported torch.
        name: what to call it.
        handles: open ones of its data set.
        base_pss_bytes: of this process.
    """
    from bench_harness import environment

    torch: Any = sys.modules["torch"]
    method = start_method(loader)
    return LoaderFacts(
        name=name,
        dataset=type(loader.dataset).__name__,
        num_workers=loader.num_workers,
        prefetch_factor=loader.prefetch_factor or 2,
        timeout_s=loader.timeout,
        persistent_workers=bool(loader.persistent_workers),
        start_method=method,
        sharing_strategy=torch.multiprocessing.get_sharing_strategy(),
        threads=other_threads(),
        handles=handles,
        pickled=None if method == "fork" else _pickled(loader),
        open_files=_open_files(),
        open_files_limit=open_files_limit()[0],
        shm_free_bytes=shm_bytes()[1],
        cuda_initialized=bool(torch.cuda.is_initialized()),
        keeps_workers=lightning_runs(),
        base_pss_bytes=base_pss_bytes,
        available_bytes=available_bytes(),
        memory_limit_bytes=environment.cgroup_limit_bytes(),
        cpus=usable_cpus(),
    )


def start_method(loader: Any) -> str:
    """Return how the workers of a DataLoader will be started."""
    context = loader.multiprocessing_context
    if context is not None:
        return str(context.get_start_method())
    # get_start_method() would fix the method for the rest of the process; the list begins with the default.
    return multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]


def lightning_runs() -> bool:
    """Tell whether a loop of Lightning called this: a program that imports it may run loops of its own."""
    frame = sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(("lightning.pytorch.", "pytorch_lightning.")):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _pickled(loader: Any) -> Pickled:
    functions = pickled((loader.collate_fn, loader.worker_init_fn))
    return functions if functions.problem else pickled(loader.dataset)


def _open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - quick
    except OSError:
        return None


def loader_from(document: Mapping[str, Any], **known: Any) -> LoaderFacts:
    """Return the facts that were written as JSON, with what became known later."""
    nested = {
        "threads": [Thread(**each) for each in document["threads"]],
        "handles": [Handle(**each) for each in document["handles"]],
        "pickled": Pickled(**document["pickled"]) if document["pickled"] else None,
        "workers": [],
    }
    return LoaderFacts(**{**document, **nested, **known})

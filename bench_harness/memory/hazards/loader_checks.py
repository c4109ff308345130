"""What will hurt the workers of a DataLoader: one small function per hazard, over what was seen of it."""

from collections import Counter
from collections.abc import Callable

from bench_harness.memory.forecast import forecast
from bench_harness.memory.hazards.findings import Finding, Level, size
from bench_harness.memory.hazards.loader import LoaderFacts
from bench_harness.memory.hazards.threads import is_harmless

_MUCH_BYTES = 100_000_000  # of pickled data sets, over all workers
_SLOW_START_S = 2.0
_FULL, _TIGHT = 1.0, 0.5  # shares of a limit: fatal above, a warning above
_TIGHT_MEMORY = 0.8


def check_polars(facts: LoaderFacts) -> Finding | None:
    """Polars' threads do not survive a fork, and its locks do."""
    count = sum(thread.owner == "polars" for thread in facts.threads)
    if not count or facts.start_method != "fork":
        return None
    why = "a worker that calls group_by, filter or read_parquet waits for them for ever"
    do = 'DataLoader(..., multiprocessing_context="forkserver"), or no polars before the loader; to_numpy() in workers'
    return _about(facts, "polars before fork", "warning", f"{count} threads of polars run when workers fork", why, do)


def check_python_threads(facts: LoaderFacts) -> Finding | None:
    """A lock that another thread holds at the fork stays locked in the worker."""
    names = [thread.name for thread in facts.threads if thread.is_python and not is_harmless(thread)]
    if not names or facts.start_method != "fork":
        return None
    seen = f"{_counted(len(names), 'Python thread')} when workers fork: {', '.join(sorted(names)[:4])}"
    why = "what lock one of them holds at that moment stays locked in the worker, which may wait for it for ever"
    return _about(facts, "threads before fork", "warning", seen, why, "make the loader's iterator before the threads")


def check_native_threads(facts: LoaderFacts) -> Finding | None:
    """Threads of libraries are gone after a fork; OpenMP's do harm if a worker asks for them."""
    owners = Counter(thread.owner for thread in facts.threads if not thread.is_python and thread.owner != "polars")
    if not owners or facts.start_method != "fork":
        return None
    seen = ", ".join(f"{count} of {owner}" for owner, count in owners.most_common(3))
    most = max((worker.torch_threads for worker in facts.workers), default=1)
    if most == 1 or "OpenMP" not in seen:
        return _about(facts, "native threads before fork", "ok", f"{seen}; torch uses one thread in a worker")
    why = "an operation of torch in such a worker waits for the threads of the main process, which it has not"
    do = "leave torch.set_num_threads(1) of the DataLoader alone in worker_init_fn and in the data set"
    seen = f"{seen}; a worker uses {most} of torch"
    return _about(facts, "native threads before fork", "warning", seen, why, do)


def check_torch_threads(facts: LoaderFacts) -> Finding | None:
    """Threads of all workers share the CPUs."""
    if not facts.workers:
        return None
    most = max(worker.torch_threads for worker in facts.workers)
    seen = f"{most} in each of {_counted(facts.num_workers, 'worker')}, on {_counted(facts.cpus, 'CPU')}"
    if most == 1 or most * facts.num_workers <= facts.cpus:
        return _about(facts, "torch threads", "ok", seen)
    why = "threads that wait for each other's CPU make every batch slower"
    return _about(facts, "torch threads", "warning", seen, why, "torch.set_num_threads(1) in worker_init_fn")


def check_start_method(facts: LoaderFacts) -> Finding | None:
    """What a worker is given: a copy-on-write view, or a copy."""
    if facts.start_method == "fork":
        seen = "fork: workers share the data set until they write to it; counting references writes"
        return _about(facts, "start method", "ok", seen)
    found = facts.pickled
    if found is None:
        return _about(facts, "start method", "note", facts.start_method)
    if found.problem:
        why = f"{facts.start_method} must pickle the data set, collate_fn and worker_init_fn for each worker"
        do = "def instead of lambda, handles opened in the worker (__getstate__); or multiprocessing_context='fork'"
        return _about(facts, "start method", "fatal", f"{facts.start_method}: {found.problem}", why, do)
    least = "" if found.is_whole else "at least "
    seen = f"{facts.start_method}: {least}{size(found.size_bytes)} pickled for each of {facts.num_workers} workers"
    seen += f", {size(found.shared_bytes)} of tensors shared" if found.shared_bytes else ""
    if found.size_bytes * facts.num_workers < _MUCH_BYTES:
        return _about(facts, "start method", "ok", seen)
    why = f"nothing of it is shared: {least}{size(found.size_bytes * facts.num_workers)} in all, and time at each start"
    do = "a path instead of the data, opened as memmap or database in the worker; or multiprocessing_context='fork'"
    return _about(facts, "start method", "warning", seen, why, do)


def check_sharing_strategy(facts: LoaderFacts) -> Finding | None:
    """How tensors come from the workers."""
    if facts.sharing_strategy != "file_system":
        return _about(facts, "sharing strategy", "ok", facts.sharing_strategy)
    why = "files of batches stay in /dev/shm where workers are killed; nothing but a restart removes them"
    do = "set_sharing_strategy('file_descriptor'), with ulimit -n raised; or clear /dev/shm/torch_* after a kill"
    return _about(facts, "sharing strategy", "note", "file_system", why, do)


def check_handles(facts: LoaderFacts) -> Finding | None:
    """A handle opened before the fork is shared with the process that opened it."""
    if facts.start_method != "fork" or not facts.handles:
        return None
    kept = {path for worker in facts.workers for path in worker.inherited_handles}
    bad = [handle for handle in facts.handles if handle.path in kept or not facts.workers]
    if not bad:
        return _about(facts, "handles", "ok", f"{facts.handles[0].path} is opened anew in the workers")
    seen = ", ".join(f"{handle.path} ({handle.kind})" for handle in bad[:3])
    files = any("file" in handle.kind or "archive" in handle.kind for handle in bad)
    why = "all workers move one position in the file: they read each other's bytes" if files else _LOCKS
    do = "open it at first use, keyed by os.getpid(), and drop it in __getstate__"
    return _about(facts, "handles", "warning", f"opened in the main process, used in workers: {seen}", why, do)


_LOCKS = "its locks and its cache are the main process's; it is documented not to be used across a fork"


def check_cuda(facts: LoaderFacts) -> Finding | None:
    """A CUDA context cannot be used across a fork."""
    if not facts.cuda_initialized or facts.start_method != "fork":
        return None
    why = "a worker that touches a CUDA tensor fails: Cannot re-initialize CUDA in forked subprocess"
    return _about(facts, "CUDA before fork", "note", "torch has a CUDA context", why, "keep CUDA out of the data set")


def check_timeout(facts: LoaderFacts) -> Finding | None:
    """A loader without a timeout waits for a hanging worker for ever."""
    if facts.timeout_s:
        return _about(facts, "timeout", "ok", f"{facts.timeout_s:g} s")
    risky = facts.start_method == "fork" and any(
        thread.owner == "polars" or (thread.is_python and not is_harmless(thread)) for thread in facts.threads
    )
    why = "a worker that hangs hangs the run for ever, without a word"
    level: Level = "warning" if risky else "note"
    return _about(facts, "timeout", level, "timeout=0, the default", why, "DataLoader(..., timeout=300)")


def check_shm(facts: LoaderFacts) -> Finding | None:
    """Batches that are on their way lie in /dev/shm."""
    if facts.shm_free_bytes is None or not facts.batch_bytes:
        return None
    on_the_way = facts.num_workers * facts.prefetch_factor
    need = on_the_way * facts.batch_bytes
    seen = f"{on_the_way} batches of {size(facts.batch_bytes)} on their way: {size(need)}"
    seen += f" of {size(facts.shm_free_bytes)} free"
    share = need / max(1, facts.shm_free_bytes)
    if share <= _TIGHT:
        return _about(facts, "shared memory", "ok", seen)
    why = "where /dev/shm is full a worker dies of SIGBUS, or says that no memory is left"
    do = "a smaller prefetch_factor, fewer workers or smaller batches; or a larger one: --shm-size=8g, remount,size=8G"
    return _about(facts, "shared memory", _by_share(share), seen, why, do)


def check_open_files(facts: LoaderFacts) -> Finding | None:
    """Each tensor that came from a worker is an open file of the main process as long as it lives."""
    if facts.open_files_limit is None or not facts.batch_tensors or facts.sharing_strategy != "file_descriptor":
        return None
    on_the_way = facts.num_workers * facts.prefetch_factor
    need = (facts.open_files or 0) + on_the_way * facts.batch_tensors
    room = max(0, facts.open_files_limit - need) // facts.batch_tensors
    seen = f"{need} of {facts.open_files_limit}: {on_the_way} batches of {_counted(facts.batch_tensors, 'tensor')} "
    seen += f"on their way; {room} more may be kept"
    share = need / facts.open_files_limit
    if share <= _TIGHT:
        return _about(facts, "open files", "ok", seen)
    why = "past the limit: received 0 items of ancdata, or Too many open files"
    do = "ulimit -n 65536, torch.multiprocessing.set_sharing_strategy('file_system'), or .clone() what is kept"
    return _about(facts, "open files", _by_share(share), seen, why, do)


def check_memory(facts: LoaderFacts) -> Finding | None:
    """What the main process holds, and what each worker comes to hold."""
    if facts.base_pss_bytes is None or facts.uss_bytes is None:
        return None
    room = None if facts.available_bytes is None else facts.available_bytes + facts.base_pss_bytes
    limits = [facts.memory_limit_bytes, room]
    limit = min((each for each in limits if each is not None), default=None)
    if limit is None:
        return None
    need = forecast(facts.base_pss_bytes, facts.uss_bytes, facts.num_workers) + facts.others_bytes
    seen = f"{size(need)} of {size(limit)}: main {size(facts.base_pss_bytes)}, "
    seen += f"{_counted(facts.num_workers, 'worker')} of {size(facts.uss_bytes)} after "
    seen += f"{_counted(facts.batches, 'batch')}, and growing"
    if facts.others_alive:
        seen += f"; {facts.others_alive} of other loaders with {size(facts.others_bytes)}"
    share = need / limit
    if share <= _TIGHT_MEMORY:
        return _about(facts, "memory", "ok", seen)
    why = "past the limit the kernel kills a worker, and torch says no more than 'exited unexpectedly'"
    do = "fewer workers, or data in one array, a memmap or a database; bench memory --attribute shows what is copied"
    return _about(facts, "memory", "fatal" if share > _FULL else "warning", seen, why, do)


def check_persistence(facts: LoaderFacts) -> Finding | None:
    """Workers that are started anew for every epoch."""
    if facts.persistent_workers:
        return _about(facts, "persistent workers", "ok", "workers are kept from epoch to epoch")
    started = [worker.first_fetch_s for worker in facts.workers if worker.first_fetch_s is not None]
    if not started:
        return None
    seen = f"persistent_workers=False: {min(started):.1f} s to the first fetch, again in every epoch"
    if min(started) < _SLOW_START_S:
        return _about(facts, "persistent workers", "ok", seen)
    why = f"{facts.start_method} starts them anew, with all their imports" if facts.start_method != "fork" else _ANEW
    return _about(facts, "persistent workers", "warning", seen, why, "DataLoader(..., persistent_workers=True)")


_ANEW = "forking, and what the data set does at its first item, is done again"

LOADER_CHECKS: tuple[Callable[[LoaderFacts], Finding | None], ...] = (
    check_polars,
    check_python_threads,
    check_native_threads,
    check_start_method,
    check_handles,
    check_cuda,
    check_timeout,
    check_memory,
    check_shm,
    check_open_files,
    check_sharing_strategy,
    check_torch_threads,
    check_persistence,
)


def check_loader(facts: LoaderFacts) -> list[Finding]:
    """Return what all checks say about a loader; of one without workers there is nothing to say."""
    if not facts.num_workers:
        return []
    return [finding for check in LOADER_CHECKS if (finding := check(facts)) is not None]


def _about(facts: LoaderFacts, check: str, level: Level, seen: str, why: str = "", do: str = "") -> Finding:
    return Finding(check, level, seen, why, do, facts.name)


def _by_share(share: float) -> Level:
    return "fatal" if share > _FULL else "warning"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('ch') else 's'}"

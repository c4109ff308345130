"""What bounds a training loop, decided from shares of its steady time, with the evidence and what to try.

Workers load while main steps. So where main waits for batches at all, the producers are the slower side, however small
the wait: the loop would run faster if they did. Less than WAIT_MARGIN is jitter. Main waits while it unpickles as well,
for a worker to hand over the tensors' file descriptors: one that fetches in Python lets main wait for its interpreter,
and that counts to the loader. With num_workers=0, and among what main does itself, nothing overlaps, and the largest
share is the bound.
"""

import math
from dataclasses import dataclass
from typing import Literal

Bound = Literal["loader-bound", "transport-bound", "copy-bound", "step-bound", "undecided"]
MIN_BATCHES = 5
WAIT_MARGIN = 0.10
# Of all CPUs: from here on more workers only take turns.
_SATURATED = 0.85
_LARGE_MESSAGE_BYTES = 65_536


@dataclass(frozen=True)
class Evidence:
    """Steady state of the loop over one loader; shares of its wall time, seconds per batch.

    Args:
        batches: that the rest is measured over.
        workers: num_workers.
        loader_share: main waited for a batch that was being fetched (with num_workers=0: fetched it itself).
        transport_share: main waited for one that was fetched, or whose index was on its way.
        unknown_share: main waited, and the worker's notes about the batch are missing.
        receive_share: main unpickled; receive_idle_share: of it, off the CPU.
        held_up_share: of this, while the worker of the batch was fetching another one.
        own_share: the rest of the request: the sampler, sending indices.
        copy_share: copies to the device; 0 where not measured.
        step_share: from the batch in hand to the next request, less the copies.
        behind_share: of the waits, while a later batch was there: only the order kept it back.
        dispatch_share, stalled_share: parts of transport_share, see attribution.Wait.
        busy_share: of the workers' time, in which they fetched and collated; None if unknown.
        cpu_share: CPU time of the workers, of all CPUs that the process may use; None if unknown.
    """

    batches: int
    workers: int
    loader_share: float = 0.0
    transport_share: float = 0.0
    unknown_share: float = 0.0
    receive_share: float = 0.0
    own_share: float = 0.0
    copy_share: float = 0.0
    step_share: float = 0.0
    behind_share: float = 0.0
    dispatch_share: float = 0.0
    stalled_share: float = 0.0
    receive_idle_share: float = 0.0
    held_up_share: float = 0.0
    fetch_s: float = 0.0
    collate_s: float = 0.0
    pickle_s: float = 0.0
    step_s: float = 0.0
    receive_s: float = 0.0
    receive_idle_s: float = 0.0
    own_s: float = 0.0
    batches_per_s: float = 0.0
    busy_share: float | None = None
    cpu_share: float | None = None
    cpus: int = 1
    message_bytes: float = 0.0
    tensor_bytes: float = 0.0
    tensors: int = 0
    pageable_copies: int = 0
    pin_s: float = 0.0

    @property
    def loaders_part(self) -> float:
        """Part of receive_idle_share that counts to the loader.

        As long as the batch's worker was seen to fetch, or as all of them did on average: where processes wait for a
        CPU, what is seen falls short.
        """
        return max(self.held_up_share, self.receive_idle_share * (self.busy_share or 0.0))

    @property
    def workers_bound_per_s(self) -> float:
        """Batches per second if workers did nothing but fetch and collate."""
        return _rate(max(1, self.workers), self.fetch_s + self.collate_s)

    @property
    def main_bound_per_s(self) -> float:
        """Batches per second if main never waited."""
        return _rate(1, self.step_s + self.receive_s - self.receive_idle_s + self.own_s)

    @property
    def most_workers(self) -> float:
        """How many workers like these the CPUs can run at once."""
        return self.workers / self.cpu_share if self.cpu_share else math.inf


@dataclass(frozen=True)
class Verdict:
    """What bounds the loop.

    Args:
        bound: which side, or undecided.
        main_wait_share: of the steady time, in which main had no batch: it waited, also within unpickling, or with
            num_workers=0 fetched.
        lines: the evidence and what to try, in words.
    """

    bound: Bound
    main_wait_share: float | None
    lines: list[str]


def decide(evidence: Evidence) -> Verdict:
    """Return the verdict on a loop."""
    queued = evidence.loader_share + evidence.transport_share + evidence.unknown_share
    wait = queued + evidence.receive_idle_share
    if evidence.batches < MIN_BATCHES:
        few = f"{evidence.batches} steady batches, at least {MIN_BATCHES} are needed: let it run longer"
        return Verdict("undecided", wait if evidence.batches else None, [few])
    if evidence.workers == 0:
        return Verdict(*_decide_in_one_process(evidence, wait))
    loader, transport = _parts(evidence)
    serial = evidence.receive_share + evidence.own_share
    largest = max(evidence.step_share, evidence.copy_share, serial)
    if queued >= WAIT_MARGIN or (largest == serial and serial > evidence.step_share):
        if loader >= transport:
            return Verdict("loader-bound", wait, _loader_lines(evidence, loader, transport))
        return Verdict("transport-bound", wait, _transport_lines(evidence, loader, transport))
    if largest == evidence.copy_share and evidence.copy_share > evidence.step_share:
        return Verdict("copy-bound", wait, _copy_lines(evidence))
    return Verdict("step-bound", wait, _step_lines(evidence, queued))


def _decide_in_one_process(evidence: Evidence, wait: float) -> tuple[Bound, float, list[str]]:
    loading = evidence.loader_share + evidence.own_share + evidence.unknown_share
    if loading >= max(evidence.step_share, evidence.copy_share):
        line = (
            f"num_workers=0: main itself loads for {loading:.0%} of the steady time "
            f"({_per_batch(evidence)} per batch), nothing overlaps the step; try num_workers=1 or more"
        )
        return "loader-bound", wait, [line]
    if evidence.copy_share > evidence.step_share:
        return "copy-bound", wait, _copy_lines(evidence)
    line = (
        f"num_workers=0: main loads for {loading:.0%} of the steady time and steps for {evidence.step_share:.0%}; "
        "workers could hide the loading, the step stays the larger part"
    )
    return "step-bound", wait, [line]


def _parts(evidence: Evidence) -> tuple[float, float]:
    """Return the loader's and the transport's share; a wait that nobody noted is judged by who could be faster."""
    loader = evidence.loader_share + evidence.loaders_part
    transport = evidence.transport_share + evidence.receive_share + evidence.own_share - evidence.loaders_part
    if not evidence.unknown_share:
        return loader, transport
    workers_were_faster = evidence.workers_bound_per_s > evidence.main_bound_per_s
    mostly_idle = evidence.busy_share is not None and evidence.busy_share < 0.5
    if workers_were_faster or mostly_idle:
        return loader, transport + evidence.unknown_share
    return loader + evidence.unknown_share, transport


def _loader_lines(evidence: Evidence, loader: float, transport: float) -> list[str]:
    lines = [
        f"main waits {loader:.0%} of the steady time for batches that are still being fetched, {transport:.0%} goes "
        f"into transport (waits under {WAIT_MARGIN:.0%} would be jitter)",
        f"a batch takes a worker {_per_batch(evidence)}: {_workers(evidence.workers)} can deliver at most "
        f"{_digits(evidence.workers_bound_per_s)} batches/s, main could take {_bound(evidence.main_bound_per_s)}/s",
    ]
    if evidence.loaders_part >= WAIT_MARGIN:
        lines.append(
            f"{evidence.loaders_part:.0%} of it while it unpickles: workers that are busy fetching are slow to hand "
            "their tensors over"
        )
    if evidence.behind_share >= 0.5 * loader:
        lines.append(
            f"for {evidence.behind_share:.0%} of the time a later batch was ready and had to wait its turn: "
            "in_order=False, or batches of more even cost"
        )
    if evidence.cpu_share is not None and evidence.cpu_share >= _SATURATED:
        lines.append(
            f"the workers use {evidence.cpu_share:.0%} of {evidence.cpus} CPUs: more workers would take turns; "
            "make the fetch cheaper (see the functions of the workers)"
        )
    else:
        enough = _workers_needed(evidence, evidence.main_bound_per_s)
        more = f"about {enough} workers" if enough is not None else "more workers"
        if evidence.most_workers < (enough or math.inf):
            more = (
                f"up to {_workers(math.ceil(evidence.most_workers))}, as many as {evidence.cpus} CPUs can run at once"
            )
        lines.append(f"try {more} (--sweep-workers measures it), or make the fetch cheaper (functions of the workers)")
    return lines


def _transport_lines(evidence: Evidence, loader: float, transport: float) -> list[str]:
    queued = transport + evidence.loaders_part - evidence.receive_share - evidence.own_share
    lines = [
        f"transport takes {transport:.0%} of the steady time, waiting for fetches {loader:.0%}: main waits for what is "
        f"fetched ({queued:.0%}), unpickles ({evidence.receive_share:.0%}), draws and sends indices "
        f"({evidence.own_share:.0%})",
        f"pickling takes {_duration(evidence.pickle_s)} per batch, unpickling {_duration(evidence.receive_s)} "
        f"(of it {_duration(evidence.receive_idle_s)} off the CPU); "
        f"a message has {_kilobytes(evidence.message_bytes)}, its tensors and arrays ({evidence.tensors}) "
        f"{_kilobytes(evidence.tensor_bytes)}",
    ]
    if evidence.busy_share is not None and evidence.busy_share < 0.5:
        lines.append(f"the workers fetch only {evidence.busy_share:.0%} of their time: more of them will not help")
    if evidence.own_share > 0.5 * transport:
        lines.append(
            f"{evidence.own_share:.0%} is main's own: drawing the next indices (the sampler) and sending them; "
            "make the sampler cheaper"
        )
    elif evidence.dispatch_share > 0.5 * transport:
        lines.append("mostly indices on their way to idle workers: a larger prefetch_factor")
    elif evidence.message_bytes >= _LARGE_MESSAGE_BYTES:
        lines.append(
            "return few large tensors: they travel in shared memory, while Python objects and NumPy arrays are "
            "pickled, sent through a pipe and unpickled by main"
        )
    else:
        lines.append(
            "the cost is per message and tensor, not per byte: larger batches, fewer tensors in each; main asks the "
            "worker for a file descriptor per tensor, which set_sharing_strategy('file_system') avoids"
        )
    if evidence.pin_s:
        lines.append(f"the pin-memory thread takes {_duration(evidence.pin_s)} per batch of it")
    return lines


def _copy_lines(evidence: Evidence) -> list[str]:
    shares = f"{evidence.copy_share:.0%} of the steady time, the step {evidence.step_share:.0%}"
    lines = [f"copies to the device take {shares}"]
    if evidence.pageable_copies:
        lines.append(
            f"{evidence.pageable_copies} copies came from pageable memory: pin_memory=True and "
            "to(device, non_blocking=True)"
        )
    lines.append("send less: smaller dtypes (uint8, float16), and convert on the device")
    return lines


def _step_lines(evidence: Evidence, wait: float) -> list[str]:
    lines = [
        f"main waits {wait:.0%} of the steady time for batches (under {WAIT_MARGIN:.0%}): loading hides behind the "
        f"step, which takes {evidence.step_share:.0%} ({_duration(evidence.step_s)} per batch)"
    ]
    serial = evidence.receive_share + evidence.own_share
    if serial >= WAIT_MARGIN:
        lines.append(f"another {serial:.0%} of main goes into transport: unpickling, drawing and sending indices")
    enough = _workers_needed(evidence, evidence.batches_per_s)
    if enough is not None and enough < evidence.workers:
        lines.append(f"{_workers(enough)} would keep up: {_per_batch(evidence)} per batch in each")
    lines.append("a faster loader will not make it faster: look at the functions of main, or at the device")
    return lines


def _workers_needed(evidence: Evidence, rate_per_s: float) -> int | None:
    """Return how many workers fetch `rate_per_s`, with a tenth to spare; None if no number of them can be told."""
    per_batch_s = evidence.fetch_s + evidence.collate_s
    if not per_batch_s or not math.isfinite(rate_per_s):
        return None
    return max(1, math.ceil(1.1 * rate_per_s * per_batch_s))


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _duration(seconds: float) -> str:
    return f"{_digits(seconds * 1e6)} us" if seconds < 1e-4 else f"{_digits(seconds * 1e3)} ms"


def _kilobytes(size_bytes: float) -> str:
    return f"{_digits(size_bytes / 1e3)} kB"


def _rate(count: int, each_s: float) -> float:
    return count / each_s if each_s > 0 else math.inf


def _bound(rate_per_s: float) -> str:
    return _digits(rate_per_s) if math.isfinite(rate_per_s) else "any number"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _per_batch(evidence: Evidence) -> str:
    return f"{_duration(evidence.fetch_s)} to fetch and {_duration(evidence.collate_s)} to collate"

"""Why a captured process ended before its time, from the evidence it left: not "exited unexpectedly"."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench_harness.memory.oom_kills import OomKills
from bench_harness.segments import Segment, signal_name

Kind = Literal["out of memory", "signal", "exception", "exit", "unknown"]
_SHOWN_ITEMS = 8
# What C libraries say where Python would raise MemoryError: torch's allocator, fork, mmap.
_OUT_OF_MEMORY = ("MemoryError", "can't allocate memory", "Cannot allocate memory", "CUDA out of memory")
_HINTS = {
    "SIGSEGV": "native code crashed; run it with PYTHONFAULTHANDLER=1 and num_workers=0 to see where",
    "SIGBUS": "mostly a full /dev/shm, or a file that shrank under a memmap; see `bench doctor`",
    "SIGABRT": "native code gave up; its message is in what the target printed",
    "SIGILL": "native code was built for another CPU",
    "SIGFPE": "native code divided by zero",
    "SIGXCPU": "its limit of CPU seconds (ulimit -t) was reached",
    "SIGTERM": "somebody asked it to end: a scheduler, `kill`, or a main process that did so before it died",
}
_LESS_MEMORY = (
    "`bench memory` shows which process holds it, and what the workers copied; fewer workers or a smaller "
    "prefetch_factor need less"
)


@dataclass(frozen=True)
class Evidence:
    """What is known about the end of a process beside its segment.

    Args:
        oom_kills: counted while it ran.
        limit_bytes: the memory limit of its control group.
        killed: how many processes of the run were ended by SIGKILL, this one among them.
        ended_by_parent: whether its parent terminated it.
        main_exception: one line about the exception that ended the main process.
        batches, last_batch, fetching, items, item_count: how far it came (capture.pipeline.layout.Fetched).
        memory_bytes: what a sampler saw last of its memory; memory_kind: USS, PSS or RSS; memory_at_s: when, in
            seconds since `memory_since`.
    """

    oom_kills: OomKills = field(default_factory=OomKills)
    limit_bytes: int | None = None
    killed: int = 1
    ended_by_parent: bool = False
    main_exception: str | None = None
    batches: int | None = None
    last_batch: int | None = None
    fetching: bool = False
    items: Sequence[int] = ()
    item_count: int = 0
    memory_bytes: int | None = None
    memory_kind: str = "RSS"
    memory_at_s: float | None = None
    memory_since: str = "it began"


@dataclass(frozen=True)
class Death:
    """Why a process ended.

    Args:
        kind: what it died of.
        text: one sentence for people: what is known, and how sure it is.
        remedy: what to try; empty where nothing better is known than the exception itself.
        exit_code: negative is a signal; None where nobody saw it.
        oom_kills: that the kernel counted in its control group, else on the machine, while it ran.
        items: that it fetched when it ended, or last.
    """

    kind: Kind
    text: str
    remedy: str = ""
    exit_code: int | None = None
    signal: str | None = None
    exception: str | None = None
    oom_kills: int | None = None
    last_batch: int | None = None
    batches: int | None = None
    items: list[int] = field(default_factory=list)
    memory_bytes: int | None = None
    memory_kind: str | None = None


def explain(segment: Segment, evidence: Evidence) -> Death | None:
    """Return why a process ended; None if it ended as it should.

    A worker of torch whose data set raised has ended as it should only if the main process went on: its exception is
    sent there.
    """
    code, exception = segment.exit_code, segment.state.exception if segment.state else None
    if code == -signal.SIGTERM and evidence.ended_by_parent:
        return None
    if code is not None and code < 0:
        found = _signalled(signal_name(-code), segment, evidence)
    elif exception and (code or not _is_torch_worker(segment) or _sent_on(exception, evidence.main_exception)):
        found = _raised(exception, segment, evidence)
    elif code:
        found = _exited(code, segment)
    elif not segment.is_final:
        found = _vanished(segment)
    else:
        return None
    return _with_evidence(found, segment, evidence)


def _is_torch_worker(segment: Segment) -> bool:
    return segment.identity.role == "worker"


def _sent_on(exception: str, main_exception: str | None) -> bool:
    """Tell whether the main process ended by what a worker raised: torch says "Caught X in DataLoader worker"."""
    kind = exception.partition(":")[0].rpartition(".")[2]
    return f"Caught {kind} in " in (main_exception or "")


def _signalled(name: str, segment: Segment, evidence: Evidence) -> Death:
    if name != "SIGKILL":
        return Death("signal", f"killed by {name}", _HINTS.get(name, ""), signal=name)
    kills, where = evidence.oom_kills.in_cgroup, "in its control group"
    if kills is None:
        kills, where = evidence.oom_kills.on_machine, "on this machine"
    if kills is None:
        text = "killed by SIGKILL, mostly the work of the out-of-memory killer, whose counters cannot be read here"
        return Death("signal", text, f"see `dmesg | grep -i oom`; {_LESS_MEMORY}", signal=name)
    if not kills:
        text = f"killed by SIGKILL, but the kernel counts no out-of-memory kill {where}"
        return Death("signal", text, "look for who sent it: a scheduler, a watchdog, `kill -9`", signal=name)
    text = f"killed by SIGKILL by the out-of-memory killer, which ended {_counted(kills, 'process')} {where} meanwhile"
    if kills < evidence.killed:
        text += f" (of {evidence.killed} of this run that were killed by SIGKILL: perhaps not this one)"
    if evidence.limit_bytes is not None:
        text += f"; the limit is {_size(evidence.limit_bytes)}"
    return Death("out of memory", text, _LESS_MEMORY, signal=name)


def _raised(exception: str, segment: Segment, evidence: Evidence) -> Death:
    limits = segment.state.limits_bytes if segment.state else {}
    if any(words in exception for words in _OUT_OF_MEMORY):
        within = "".join(f" within {name} of {_size(limit)}" for name, limit in limits.items())
        return Death("out of memory", f"an allocation failed{within}: {exception}", _LESS_MEMORY)
    reproduce = ""
    if evidence.items:
        reproduce = f"reproduce it without workers: [dataset[i] for i in {_items(evidence.items, evidence.item_count)}]"
    return Death("exception", f"raised {exception}", reproduce)


def _exited(code: int, segment: Segment) -> Death:
    said = segment.state.reason if segment.state and segment.is_final else ""
    how = f" by {said}" if said.startswith("os._exit") else ""
    return Death("exit", f"left{how} with exit code {code}", "look for sys.exit or os._exit in what the workers call")


def _vanished(segment: Segment) -> Death:
    if segment.exit_code == 0:
        return Death("unknown", "exit code 0 without a last dump: what it was doing when it left is not known")
    if segment.state is None:
        return Death("unknown", "started and left nothing, not even an exit code")
    return Death("unknown", "it ended after its parent, which could not see its exit code")


def _with_evidence(found: Death, segment: Segment, evidence: Evidence) -> Death:
    state = segment.state
    kills = evidence.oom_kills.in_cgroup if evidence.oom_kills.in_cgroup is not None else evidence.oom_kills.on_machine
    memory_bytes, memory_kind, when = _memory(segment, evidence)
    return Death(
        kind=found.kind,
        text="; ".join([found.text, *_progress(evidence, found.kind), *_remembered(memory_bytes, memory_kind, when)]),
        remedy=found.remedy,
        exit_code=segment.exit_code,
        signal=found.signal,
        exception=state.exception if state else None,
        oom_kills=kills,
        last_batch=evidence.last_batch,
        batches=evidence.batches,
        items=list(evidence.items),
        memory_bytes=memory_bytes,
        memory_kind=memory_kind,
    )


def _memory(segment: Segment, evidence: Evidence) -> tuple[int | None, str | None, str]:
    """Return the last that is known of its memory, of which kind, and when, in words."""
    state = segment.state
    if state is not None and state.uss_bytes is not None:  # of its end
        return state.uss_bytes, "USS", f", {state.wall_s:.1f} s after it began"
    if evidence.memory_bytes is not None:
        at_s = evidence.memory_at_s
        when = "" if at_s is None else f", {at_s:.1f} s after {evidence.memory_since}"
        return evidence.memory_bytes, evidence.memory_kind, when
    if state is None or state.rss_bytes is None:
        return None, None, ""
    return state.rss_bytes, "RSS", f", {state.wall_s:.1f} s after it began"


def _progress(evidence: Evidence, kind: Kind) -> list[str]:
    if evidence.batches is None:
        return []
    done = f"after {_counted(evidence.batches, 'batch')}"
    done += "" if evidence.last_batch is None else f", the last of them number {evidence.last_batch}"
    if not evidence.fetching and not (kind == "exception" and evidence.items):
        return [done]
    items = f" items {_items(evidence.items, evidence.item_count)}" if evidence.items else ""
    return [f"{done}, while it fetched{items or ' the next'}"]


def _items(items: Sequence[int], count: int) -> str:
    rest = ", ..." if count > _SHOWN_ITEMS else ""
    return f"[{', '.join(map(str, items[:_SHOWN_ITEMS]))}{rest}]"


def _remembered(memory_bytes: int | None, kind: str | None, when: str) -> list[str]:
    if memory_bytes is None:
        return []
    return [f"last seen with {kind} {_size(memory_bytes)}{when}"]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith(('s', 'ch')) else 's'}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"

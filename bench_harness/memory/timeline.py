"""What a watched run held over time, by process and phase: from samples, segments and marks to a record's results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from bench_harness.memory.forecast import Moment, Pool, Run, moments_of
from bench_harness.memory.kept_pools import KeptPool, kept_pools
from bench_harness.memory.marks import Mark
from bench_harness.memory.phases import Phase, add_samples, phases_of
from bench_harness.memory.sampler import Sample, TreeSampler
from bench_harness.segments import Identity, Segment

# Of a long run every n-th look is kept in the record; peaks are of all.
MAX_POINTS = 400


@dataclass
class Watched:
    """A run that was watched.

    Args:
        sampler: its looks at the tree.
        segments: what its processes left, and their labels.
        marks: by serial.
        begin_s, end_s: time.monotonic() when the target started and had ended.
    """

    sampler: TreeSampler
    segments: Sequence[Segment]
    labels: Sequence[str]
    marks: Mapping[str, list[Mark]]
    begin_s: float
    end_s: float

    @property
    def main_marks(self) -> list[Mark]:
        """The marks of the process that iterates loaders: main, or else the first that does."""
        return next((marks for _, marks in sorted(self.marks.items()) if marks), [])

    @property
    def phases(self) -> list[Phase]:
        """The phases of the run, with what was seen in them."""
        phases = phases_of(self.main_marks, self.begin_s, self.end_s)
        add_samples(phases, self.sampler.samples)
        return phases

    def peak(self) -> Sample | None:
        """Return the look at which the tree held most."""
        return max(self.sampler.samples, key=lambda sample: sample.pss_bytes, default=None)

    def processes(self) -> list[dict[str, Any]]:
        """Return what each process held at its peak, main first; those that nobody announced come last."""
        rows = [self._process(segment, label) for segment, label in zip(self.segments, self.labels, strict=True)]
        known = {row["pid"] for row in rows}
        others = sorted({pid for sample in self.sampler.samples for pid in sample.processes} - known)
        return [*rows, *({"label": f"pid-{pid}", "role": "other", "pid": pid} | self._peaks(pid) for pid in others)]

    def _process(self, segment: Segment, label: str) -> dict[str, Any]:
        who, state = segment.identity, segment.state
        peaks = self._peaks(who.pid)
        if state is not None and state.uss_bytes is not None:  # of its own, as it ended
            peaks["peak_uss_bytes"] = max(peaks["peak_uss_bytes"] or 0, state.uss_bytes)
            peaks["peak_pss_bytes"] = max(peaks["peak_pss_bytes"] or 0, state.pss_bytes or 0)
        collections = state.full_collections if state is not None else None
        role = who.role if who.role != "process" else "other"
        return {"label": label, "role": role, "loader": who.loader, "worker": who.worker, "epoch": who.epoch,
                "pid": who.pid, **peaks, "full_collections": collections}  # fmt: skip

    def _peaks(self, pid: int | None) -> dict[str, int | None]:
        held = [sample.processes[pid] for sample in self.sampler.samples if pid in sample.processes] if pid else []
        kinds = ("pss_bytes", "uss_bytes", "rss_bytes")
        return {f"peak_{kind}": max((getattr(each, kind) for each in held), default=None) for kind in kinds}

    def before_fork_pss_bytes(self) -> int | None:
        """Return what the tree held just before its first worker started: the process looked at itself then."""
        looked = (mark for mark in self.main_marks if mark.event == "workers_start" and mark.pss_bytes is not None)
        return next((mark.pss_bytes for mark in looked), None)

    def _since_fork(self, peak: Sample | None) -> dict[str, int] | None:
        """Return what the tree and the control group grew by from the first fork to the peak; None: nobody looked."""
        looked = next((mark for mark in self.main_marks if mark.pss_bytes is not None), None)
        if peak is None or looked is None or looked.pss_bytes is None or peak.time_s < looked.time_s:
            return None
        if looked.cgroup_bytes is None or peak.cgroup_bytes is None:
            return None
        return {
            "pss_bytes": peak.pss_bytes - looked.pss_bytes,
            "cgroup_bytes": peak.cgroup_bytes - looked.cgroup_bytes,
        }

    def kept_pools(self) -> list[KeptPool]:
        """Return the pools of workers that stay after their first pass, idle."""
        first_ends: dict[str, float] = {}
        next_starts = {
            mark.name: mark.time_s for mark in self.main_marks if mark.event == "pass_start" and mark.number == 1
        }
        persistent: dict[str, bool] = {}
        for mark in self.main_marks:
            persistent.setdefault(mark.name, mark.persistent)
            if mark.event == "pass_end" or (mark.event == "stage_end" and mark.name == "sanity check"):
                first_ends.setdefault(mark.name, mark.time_s)
        identities = {segment.identity.pid: segment.identity for segment in self.segments if segment.identity.pid}
        staged = any(mark.event == "stage_start" for mark in self.main_marks)
        if staged:
            validation = {mark.name for mark in self.main_marks if mark.event == "pass_start"}
            ends = [mark.time_s for mark in self.main_marks if mark.event == "stage_end"
                    and mark.name.startswith(("sanity", "validation"))]  # fmt: skip
            first_ends = {name: ends[0] for name in validation if name.startswith("val")} if ends else {}
        return kept_pools(
            self.sampler.samples,
            identities,
            first_ends,
            self.begin_s,
            next_starts_s=next_starts,
            persistent=persistent,
            lightning=staged,
        )

    def run(self) -> Run | None:
        """Return what a forecast needs of this run; None where nothing was seen."""
        peak = self.peak()
        if peak is None:
            return None
        workers = max((mark.workers for marks in self.marks.values() for mark in marks), default=0)
        collected = [each.state.collected_uss_bytes for each in self.segments if each.state is not None]
        grown = [uss_bytes for uss_bytes in collected if uss_bytes is not None]
        return Run(workers, peak.pss_bytes, moments_of(self._moments()), round(fmean(grown)) if grown else None)

    def _moments(self) -> Iterator[Moment]:
        """Yield what a forecast needs of each look."""
        workers: dict[tuple[Any, ...], list[Segment]] = {}
        for segment in self.segments:
            if segment.identity.role == "worker":
                workers.setdefault(_pool_of(segment.identity), []).append(segment)
        in_order = {
            (serial, mark.name): mark.in_order
            for serial, marks in self.marks.items()
            for mark in marks
            if mark.event == "pass_start"
        }
        firsts = {pool: _mean_first_uss(segments) for pool, segments in workers.items()}
        seen = [_held_by_pool(workers, sample) for sample in self.sampler.samples]
        most = {pool: max(len(held.get(pool, ())) for held in seen) for pool in workers} if seen else {}
        for sample, held in zip(self.sampler.samples, seen, strict=True):
            pools = [
                Pool(
                    pool[:2],
                    len(each),
                    fmean(each),
                    firsts[pool],
                    in_order.get(pool[:2]),
                    whole=len(each) == most[pool],
                    collected=_share_collected(workers[pool]),
                )
                for pool, each in held.items()
            ]
            yield Moment(sample.pss_bytes, tuple(pools))

    def results(self) -> dict[str, Any]:
        """Return what a record's results hold of it."""
        peak = self.peak()
        sampler = self.sampler
        tree = {
            "peak_pss_bytes": self._peak_pss_bytes(peak),
            "peak_at_s": round(peak.time_s - self.begin_s, 3) if peak else None,
            "before_fork_pss_bytes": self.before_fork_pss_bytes(),
            "since_fork": self._since_fork(peak),
            "peak_rss_sum_bytes": max((sample.rss_bytes for sample in sampler.samples), default=None),
            "cgroup_before_bytes": sampler.cgroup_before_bytes,
            "cgroup_highest_bytes": sampler.cgroup_highest_bytes,
            "cgroup_peak_bytes": sampler.cgroup_peak_bytes,
            "shm_before_bytes": sampler.shm_before_bytes,
            "shm_highest_bytes": sampler.shm_highest_bytes,
        }
        return {
            "tree": tree,
            "processes": self.processes(),
            "phases": [phase.to_json(self.begin_s) for phase in self.phases],
            "kept_pools": [asdict(pool) for pool in self.kept_pools()],
            "timeline": self._timeline(),
            "sampler": {"samples": len(sampler.samples), "looks": sampler.looks, "cpu_s": round(sampler.cpu_s, 4)},
        }

    def _peak_pss_bytes(self, peak: Sample | None) -> int | None:
        """Return the peak of the tree: no less than what a single process held that looked at itself."""
        own = [segment.state.pss_bytes or 0 for segment in self.segments if segment.state is not None]
        known = [*own, self.before_fork_pss_bytes() or 0, peak.pss_bytes if peak else 0]
        return max(known) or None

    def _timeline(self) -> dict[str, Any]:
        step = max(1, -(-len(self.sampler.samples) // MAX_POINTS))
        samples = self.sampler.samples[::step]
        names = {segment.identity.pid: label for segment, label in zip(self.segments, self.labels, strict=True)}
        pids = dict.fromkeys(pid for sample in samples for pid in sample.processes)
        return {
            "time_s": [round(sample.time_s - self.begin_s, 3) for sample in samples],
            "processes": [
                {
                    "label": names.get(pid, f"pid-{pid}"),
                    "pss_bytes": [held.pss_bytes if (held := sample.processes.get(pid)) else 0 for sample in samples],
                }
                for pid in pids
            ],
        }


def _pool_of(worker: Identity) -> tuple[str, str | None, int | None]:
    """Return what tells the workers of one iterator from others: who started them, the loader, which iterator of it."""
    return worker.serial.rpartition(".")[0], worker.loader, worker.epoch


def _mean_first_uss(workers: Sequence[Segment]) -> float | None:
    first = [each.state.first_uss_bytes for each in workers if each.state is not None]
    known = [uss_bytes for uss_bytes in first if uss_bytes is not None]
    return fmean(known) if known else None


def _share_collected(workers: Sequence[Segment]) -> float:
    """Return in which part of them the garbage collector went through all objects."""
    known = [bool(each.state.full_collections) for each in workers if each.state is not None]
    return fmean(known) if known else 0.0


def _held_by_pool(workers: Mapping[tuple[Any, ...], Sequence[Segment]], sample: Sample) -> dict[Any, list[int]]:
    """Return the USS of each worker that a look saw, by pool."""
    held: dict[Any, list[int]] = {}
    for pool, segments in workers.items():
        seen = [sample.processes.get(segment.identity.pid or 0) for segment in segments]
        found = [each.uss_bytes for each in seen if each is not None]
        if found:
            held[pool] = found
    return held

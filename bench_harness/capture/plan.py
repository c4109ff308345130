"""What is to be captured, and how: written by the supervisor, read by every process of the target."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from bench_harness.capture.pipeline.context import Overrides
from bench_harness.memory.memray_run import MemrayOptions

VARIABLE = "BENCH_HARNESS_CAPTURE"  # environment: the plan as JSON, for programs that the target starts anew


@dataclass(frozen=True)
class Plan:
    """How to capture.

    Args:
        segments: absolute path of the folder for segments.
        engine: a name of bench_harness.capture.engines.ENGINES.
        interval_s: between samples, for engines that sample.
        dump_every_s: between dumps of a running process: what a killed one loses at most.
        pipeline: whether to put hooks on torch's DataLoader.
        overrides: arguments of every DataLoader to replace.
        stop_after_batches: end the target after that many batches of its busiest loader; None: let it run.
        phases: mark when loaders start workers, passes begin and end, and Lightning's stages.
        memray: track allocations of every process meanwhile. Both memray and the engines that work inside a process
            want sys.setprofile: take "none" with it.
        attribute: note whose objects the workers copy (bench_harness.memory.attribution).
        diagnose: whether to note facts about its loaders and workers (capture.diagnosis).
        start_after: the target waits until this file exists: a profiler that watches from outside needs a moment.
    """

    segments: str
    engine: str = "cprofile"
    interval_s: float = 0.002
    dump_every_s: float = 0.5
    pipeline: bool = True
    overrides: Overrides = field(default_factory=Overrides)
    stop_after_batches: int | None = None
    phases: bool = False
    attribute: bool = False
    start_after: str | None = None
    memray: MemrayOptions | None = None
    diagnose: bool = False

    @property
    def folder(self) -> Path:
        """The folder for segments."""
        return Path(self.segments)

    def to_json(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Return the plan that `to_json` wrote."""
        document = json.loads(text)
        memray = MemrayOptions(**document["memray"]) if document["memray"] else None
        return cls(**document | {"overrides": Overrides(**document["overrides"]), "memray": memray})

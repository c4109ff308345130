"""Facts for `bench doctor`, noted inside the processes of a target: before its loaders' workers start, and in them.

SERIAL.facts.json in the folder of segments: of a process that iterates DataLoaders {"loaders": [...]}, of a worker
{"worker": {...}, "fetched_s": ...} (bench_harness.memory.hazards.loader).
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_harness.capture import runtime
from bench_harness.capture.pipeline.aggregate import read_pipeline
from bench_harness.memory.hazards.handles import find_handles
from bench_harness.memory.hazards.loader import LoaderFacts, WorkerFacts, loader_from, look_at_loader
from bench_harness.memory.process_memory import read_held
from bench_harness.segments import Segment, read_segments, write_atomically

FACTS = ".facts.json"


# Of the data set, open in the process that starts workers: where each is reached, and the handle itself. Forked workers
# inherit the list, and know by it which handles are not theirs.
_opened_before: list[tuple[str, Any]] = []


class Diagnosis:
    """Notes facts in one process; whatever fails in it is told as a warning, and the target goes on."""

    def __init__(self, capture: runtime.ProcessCapture) -> None:
        self._capture = capture
        self._path = capture.folder / f"{capture.identity.serial}{FACTS}"
        self._loaders: dict[str, dict[str, Any]] = {}
        self._fetched = False

    def loader_begins(self, loader: Any, name: str) -> None:
        """Note a loader; called just before its workers start, and again before each of its epochs."""
        if name in self._loaders or not loader.num_workers:
            return
        try:
            self._capture.stop_dumping()  # a thread of ours, which rests at forks
            self._note_loader(loader, name)
        except Exception as error:
            self._capture.warn(f"{name} could not be looked at: {type(error).__name__}: {error}")
        finally:
            self._capture.start_dumping()

    def _note_loader(self, loader: Any, name: str) -> None:
        handles = find_handles(loader.dataset)
        _opened_before[:] = [(handle.path, value) for handle, value in handles]
        held = read_held()
        pss_bytes = held.pss_bytes if held else None
        facts = look_at_loader(loader, name, [handle for handle, _ in handles], base_pss_bytes=pss_bytes)
        self._loaders[name] = dataclasses.asdict(facts) | {"began_s": time.monotonic()}
        self._write({"loaders": list(self._loaders.values())})

    def fetched(self, dataset: Any) -> None:
        """Note this worker; called after each of its fetches."""
        if self._fetched:
            return
        self._fetched = True
        try:
            worker = dataclasses.asdict(self._worker(dataset))
            self._write({"worker": worker, "fetched_s": time.monotonic()})
        except Exception as error:
            self._capture.warn(f"it could not be looked at: {type(error).__name__}: {error}")

    def _worker(self, dataset: Any) -> WorkerFacts:
        import torch

        is_forked = self._capture.identity.start_method == "fork"
        held = {id(value) for _, value in find_handles(dataset)} if is_forked and _opened_before else set()
        return WorkerFacts(
            worker=self._capture.identity.worker or 0,
            torch_threads=torch.get_num_threads(),
            inherited_handles=[path for path, value in _opened_before if id(value) in held],
        )

    def _write(self, document: dict[str, Any]) -> None:
        write_atomically(self._path, json.dumps(document).encode())


def read_loaders(folder: Path) -> list[LoaderFacts]:
    """Return what is known about the loaders of a run, from the facts, counters and last dumps of all its processes."""
    counters = {(loop["process"], loop["name"]): loop for loop in read_pipeline(folder).results["loaders"]}
    segments = read_segments(folder)
    found = []
    for segment in segments:
        serial = segment.identity.serial
        for document in _read(folder, serial).get("loaders", []):
            loop = counters.get((serial, document["name"]), {})
            known = {"batch_tensors": loop.get("tensors"), "batch_bytes": loop.get("tensor_bytes")}
            workers = _workers(folder, segments, serial, document["name"], document.pop("began_s"))
            found.append(loader_from(document, **known, batches=loop.get("batches", 0), workers=workers))
    return [_with_others(facts, found) for facts in found]


def loaders_with_workers(folder: Path) -> list[str]:
    """Return the names of the loaders of a run that have workers, looked at or not."""
    return [loop["name"] for loop in read_pipeline(folder).results["loaders"] if loop.get("num_workers")]


def _workers(folder: Path, segments: Sequence[Segment], serial: str, loader: str, began_s: float) -> list[WorkerFacts]:
    found = []
    for segment in segments:
        identity = segment.identity
        if identity.serial.rpartition(".")[0] == serial and identity.loader == loader:
            document = _read(folder, identity.serial)
            if document:
                # The same clock in all processes of a machine.
                later = {"first_fetch_s": max(0.0, document["fetched_s"] - began_s)}
                later["uss_bytes"] = segment.state.uss_bytes if segment.state else None
                found.append(WorkerFacts(**document["worker"] | later))
    return found


def _with_others(facts: LoaderFacts, loaders: Sequence[LoaderFacts]) -> LoaderFacts:
    """Add the workers that live beside those of a loader: persistent ones, and all that Lightning starts, stay."""
    stay = [each for each in loaders if each is not facts and (each.keeps_workers or each.persistent_workers)]
    return dataclasses.replace(
        facts,
        others_alive=sum(each.num_workers for each in stay),
        others_bytes=sum(each.num_workers * (each.uss_bytes or 0) for each in stay),
    )


def _read(folder: Path, serial: str) -> dict[str, Any]:
    path = folder / f"{serial}{FACTS}"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return document

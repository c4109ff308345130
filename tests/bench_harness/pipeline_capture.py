"""A capture runtime in small, for tests of the pipeline's hooks: the fixture `capture`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_harness.capture.pipeline import hooks, naming
from bench_harness.capture.pipeline.aggregate import Pipeline, read_pipeline
from bench_harness.capture.pipeline.context import Context


class Capture:
    """Gives each worker a serial and installs the hooks there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[tuple[str | None, int | None, int | None]] = []
        self.boundaries: list[str] = []
        self.warnings: list[str] = []

    def install(self, **options: Any) -> None:
        told = {"on_boundary": self.boundaries.append, "on_warning": self.warnings.append}
        hooks.install(Context(self.folder, "main", **told, **options))

    def start(self, process: Any, original: Callable[[Any], None]) -> None:
        self.started.append(naming.current_loader_worker())
        serial = f"main.{len(self.started)}"
        hooks.worker_started(serial)
        run = process.run

        def run_captured() -> None:
            def passed(name: str) -> None:
                (self.folder / f"{serial}.{name}").touch()

            hooks.install(Context(self.folder, serial, "worker", on_boundary=passed))
            run()
            hooks.flush()

        process.run = run_captured
        original(process)

    def read(self) -> Pipeline:
        hooks.flush()
        return read_pipeline(self.folder)

    def loop(self, name: str) -> dict[str, Any]:
        return next(loop for loop in self.read().results["loaders"] if loop["name"] == name)

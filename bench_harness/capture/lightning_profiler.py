"""A profiler for Lightning's Trainer that sees the loaders' workers too, and nested actions whole.

    from bench_harness.capture.lightning_profiler import WorkersProfiler
    trainer = Trainer(profiler=WorkersProfiler("profiles"))

For each call of the trainer (fit, validate, test, predict) it makes a folder such as `fit-workers`, or `fit-workers-2`
where that is taken, and with several processes `fit-workers-rank1`. In it lies what `bench_harness.capture.library`
leaves of the main process and every worker, and actions.json and actions.txt. No file that was there is touched.

There is no callback to add: what one would tell, the trainer's stage and epoch and that an exception ended the run, is
known from the trainer and from the names of the actions.
"""

import atexit
import functools
import importlib.util
import json
import os
import sys
import time
import types
import warnings
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_harness.capture.actions import ActionTimes, Place
from bench_harness.capture.actions_text import actions_text
from bench_harness.errors import MissingPackageError
from bench_harness.optional import require
from bench_harness.segments import write_atomically

PACKAGES = ("lightning.pytorch", "pytorch_lightning")
"""Where Lightning's Profiler may come from: the same code under two names, and a Trainer may ask for its own."""


class Recording:
    """What is recorded of one call of the trainer, and the folder that it goes to.

    Args:
        folder: of this call alone.
        run: the capture of this process and its workers; None where only actions are recorded.
    """

    def __init__(self, stage: str, rank: int | None, folder: Path, run: Any) -> None:
        self.stage, self.rank, self.folder = stage, rank, folder
        self._run = run
        self._pid = os.getpid()
        self._began_s = time.perf_counter()

    def is_here(self) -> bool:
        """Whether this is the process that began it, and no worker that inherited it."""
        return os.getpid() == self._pid

    def write_actions(self, times: ActionTimes) -> None:
        """Write what the actions took until now."""
        wall_s = time.perf_counter() - self._began_s
        rows = times.rows()
        document = {"stage": self.stage, "rank": self.rank, "wall_s": wall_s, "rows": [asdict(row) for row in rows]}
        title = self.stage if self.rank is None else f"{self.stage}, rank {self.rank}"
        write_atomically(self.folder / "actions.json", json.dumps(document, indent=1).encode())
        write_atomically(self.folder / "actions.txt", actions_text(title, rows, wall_s).encode())

    def end(self, error: BaseException | None) -> None:
        """End the capture and merge what the processes left; where that fails, the training is done nevertheless.

        Args:
            error: what ended the run; it is not complete then.
        """
        run, self._run = self._run, None
        if run is None:
            return
        try:
            run.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
        except Exception as failure:
            warnings.warn(f"{self.folder}: the profile is incomplete: {failure}", RuntimeWarning, stacklevel=2)


def new_folder(parent: Path, name: str) -> Path:
    """Make and return the folder `name` of `parent`, or name-2, name-3 where it is taken."""
    n = 1
    while True:
        folder = parent / (name if n == 1 else f"{name}-{n}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            n += 1
        else:
            return folder


def active_folder() -> Path | None:
    """Return the run folder of the capture that is under way in this process, as under `bench profile`."""
    from bench_harness.capture import runtime

    active = runtime.current()
    return None if active is None else active.folder.parent  # it keeps the folder of the segments


class _Where:
    """In which stage and epoch the trainer is.

    An epoch lasts from the hook on_train_epoch_start to on_train_end: before and after, the trainer's `current_epoch`
    is that of an epoch which is not under way.
    """

    def __init__(self, trainer: Any, stage: str) -> None:
        self._trainer = trainer
        self._stage = stage
        self._in_epochs = False

    def place(self, action: str) -> Place:
        hook = action.rpartition(".")[2]
        if hook in ("on_train_epoch_start", "run_training_epoch"):
            self._in_epochs = True
        elif hook == "on_train_end":
            self._in_epochs = False
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is None:
            return Place(self._stage)
        stage = getattr(trainer.state.stage, "value", self._stage)
        return Place(stage, trainer.current_epoch if self._in_epochs else None)

    def error(self) -> BaseException | None:
        """Return what ended the run, if an exception did; it may be over by now."""
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is None or trainer.state.status != "interrupted":
            return None
        return sys.exc_info()[1] or RuntimeError(f"{self._stage} was interrupted")


if TYPE_CHECKING:
    _Base = Any
else:
    _Base = object  # Lightning's Profiler comes after it, see `profiler_class`


class _WorkersProfiler(_Base):  # type: ignore[misc]
    """Profiles the main process, every worker of its loaders, and Lightning's actions.

    Args:
        dirpath: parent of the folders that it makes; default the trainer's `log_dir`, else ./profiles.
        filename: the folders' name, after the stage.
        engine: of the capture, as of `bench profile`; None records actions only, as does any where a capture is
            under way already: that one sees the processes, and its folder gets the actions.
    """

    package: str  # the Lightning that it is of

    def __init__(
        self,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str = "workers",
        engine: str | None = "cprofile",
    ) -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        self.engine = engine
        self.folder: Path | None = None
        self._times = ActionTimes()
        self._where = _Where(None, "setup")
        self._recording: Recording | None = None

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Make the folder and begin to capture."""
        self._finish()  # of a call that an exception ended
        super().setup(stage=stage, local_rank=local_rank, log_dir=log_dir)
        trainer, stage = _trainer_of(self), str(getattr(stage, "value", stage))  # an enum of Lightning's
        self._where = _Where(weakref.ref(trainer) if trainer is not None else None, stage)
        rank = local_rank if trainer is None or local_rank is None else trainer.global_rank
        self._recording = self._begun(stage, rank)
        self.folder = self._recording.folder
        # Lightning describes no run that an exception ended.
        atexit.register(self._finish)

    def _begun(self, stage: str, rank: int | None) -> Recording:
        name = "-".join(part for part in (stage, self.filename, None if rank is None else f"rank{rank}") if part)
        outer = active_folder() if self.engine is not None else None
        folder = new_folder(outer or Path(self.dirpath or "profiles"), name)
        run = None
        if self.engine is not None and outer is None:
            from bench_harness.capture.library import capture

            run = capture(folder, engine=self.engine)
            run.__enter__()
        return Recording(stage, rank, folder, run)

    def start(self, action_name: str) -> None:
        self._times.start(action_name, self._where.place(action_name))

    def stop(self, action_name: str) -> None:
        self._times.stop(action_name)
        if action_name.endswith(".on_exception") and self._recording is not None:
            self._recording.write_actions(self._times)

    def summary(self) -> str:
        """Return the table of actions."""
        rows = self._times.rows()
        return actions_text(str(self._stage or "actions"), rows, sum(row.exclusive_s for row in rows))

    def describe(self) -> None:
        """Write the actions, and end the capture."""
        self.teardown(stage=self._stage)

    def teardown(self, stage: str | None) -> None:
        self._finish()
        super().teardown(stage=stage)

    def _finish(self) -> None:
        # Absent where __init__ failed: Profiler.__del__ comes here as well.
        recording = getattr(self, "_recording", None)
        if recording is None or not recording.is_here():
            return
        self._recording = None
        atexit.unregister(self._finish)
        recording.write_actions(self._times)
        self._times.reset()
        recording.end(self._where.error())
        self._rank_zero_info(f"WorkersProfiler: {recording.folder}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Strategies that start processes pickle the trainer: there a copy begins anew."""
        return _made, (self.package, self.dirpath, self.filename, self.engine)


@functools.cache
def profiler_class(package: str) -> type:
    """Return WorkersProfiler for the Lightning of `package`: made here, so that importing this imports no Lightning."""
    base = require(f"{package}.profilers").Profiler
    names = {"__doc__": _WorkersProfiler.__doc__, "__module__": __name__, "package": package}
    return types.new_class("WorkersProfiler", (_WorkersProfiler, base), exec_body=lambda body: body.update(names))


def _trainer_of(profiler: Any) -> Any:
    """Return the trainer, which hands every profiler its module before `setup`; None where nobody did."""
    module = getattr(profiler, "_lightning_module", None)
    try:
        return None if module is None else module.trainer
    except (RuntimeError, ReferenceError):  # not attached, or gone
        return None


def _made(package: str, *arguments: Any) -> Any:
    return profiler_class(package)(*arguments)


def default_package() -> str:
    """Return the name of the Lightning that this process uses, else of one that is installed.

    Raises:
        MissingPackageError: there is none.
    """
    for package in PACKAGES:
        if package in sys.modules:
            return package
    for package in PACKAGES:
        if importlib.util.find_spec(package.partition(".")[0]) is not None:
            return package
    raise MissingPackageError("lightning is not installed; try: pip install lightning")


def workers_profiler(segment_folder: Path) -> Any:
    """Return a profiler that files what it finds in `segment_folder`: the entry point `bench_core.profilers`."""
    return profiler_class(default_package())(segment_folder)


if TYPE_CHECKING:
    WorkersProfiler: Any
else:

    def __getattr__(name: str) -> Any:
        """Let `WorkersProfiler` be imported from here as if it were defined here."""
        if name == "WorkersProfiler":
            return profiler_class(default_package())
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

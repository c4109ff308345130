"""What a loader is called: after the variable it is bound to, after Lightning's loop, or after its dataset."""

import sys
import sysconfig
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

# Names that say nothing; those of _PLAIN are still better than the class of the dataset.
_PLAIN = ("loader", "dataloader", "data_loader", "dl")
_VAGUE = {"self", "iterable", "obj", "iterator", "it", "x", "cls", "instance", "item", "value", "data", *_PLAIN}
_MAX_FRAMES = 40
_MAX_ATTRIBUTES = 500
# Files of Lightning's loops; an evaluation loop says itself whether it validates or tests.
_LIGHTNING = {"fit_loop.py": "train", "training_epoch_loop.py": "train", "prediction_loop.py": "predict"}
_LIBRARIES = tuple(
    str(Path(path).resolve()) for path in {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
)


@dataclass
class Named:
    """A loader's name and how many iterators were made of it."""

    name: str
    iterators: int = 0


@dataclass
class Names:
    """The names given so far: stable per loader, numbered where two living loaders would share one."""

    _by_id: dict[int, tuple["weakref.ref[Any]", Named]] = field(default_factory=dict)
    _owners: dict[str, "weakref.ref[Any]"] = field(default_factory=dict)
    _named: dict[str, Named] = field(default_factory=dict)

    def of(self, loader: Any, frame: FrameType | None) -> Named:
        """Return the name of `loader`, which the code of `frame` iterates.

        A loader made anew each epoch goes on under the name of the one before, which is dead by then.
        """
        known = self._by_id.get(id(loader))
        if known is not None and known[0]() is loader:
            return known[1]
        name = wanted = name_of(loader, frame)
        number = 1
        while (owner := self._owners.get(name)) is not None and owner() is not None:
            number += 1
            name = f"{wanted}-{number}"
        named = self._named.setdefault(name, Named(name))
        self._owners[name] = weakref.ref(loader)
        self._by_id[id(loader)] = (self._owners[name], named)
        return named


def name_of(loader: Any, frame: FrameType | None) -> str:
    """Return what `loader` should be called, looking outwards from `frame`."""
    plain = None
    for caller in _outwards(frame):
        stage = _lightning_stage(caller)
        if stage is not None:
            return stage
        if caller.f_code.co_filename.startswith("<frozen") or _is_library(caller.f_code.co_filename):
            continue
        name = _bound_name(loader, caller)
        if name is not None and name not in _VAGUE:
            return name
        plain = plain or (name if name in _PLAIN else None)
    return plain or _dataset_name(loader)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _is_library(filename: str) -> bool:
    return filename.startswith(_LIBRARIES) or "site-packages" in filename or "dist-packages" in filename


def _lightning_stage(frame: FrameType) -> str | None:
    module = frame.f_globals.get("__name__", "")
    if not module.startswith(("lightning.pytorch.loops", "pytorch_lightning.loops")):
        return None
    file = frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    if file != "evaluation_loop.py":
        return _LIGHTNING.get(file)
    loop = frame.f_locals.get("self")
    stage = getattr(getattr(getattr(loop, "trainer", None), "state", None), "stage", None)
    name = getattr(stage, "value", "val")
    return {"validate": "val", "sanity_check": "val"}.get(name, str(name))


def _bound_name(loader: Any, frame: FrameType) -> str | None:
    """Return the variable, or the attribute of `self`, that is bound to `loader`; one that says something first."""
    local = frame.f_locals
    names = [name for name, value in list(local.items()) if value is loader]
    if frame.f_globals is not local:
        names += [name for name, value in list(frame.f_globals.items()) if value is loader]
    attributes = getattr(local.get("self"), "__dict__", None)
    if isinstance(attributes, dict) and len(attributes) <= _MAX_ATTRIBUTES and local.get("self") is not loader:
        names += [name for name, value in list(attributes.items()) if value is loader]
    telling = [name for name in names if name not in _VAGUE and not name.startswith("_")]
    return next(iter(telling or names), None)


def _dataset_name(loader: Any) -> str:
    dataset = loader.dataset
    while type(dataset).__name__ == "Subset" and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return type(dataset).__name__


class Starting(threading.local):
    """The loader whose workers this thread is starting."""

    def __init__(self) -> None:
        self.named: Named | None = None
        self.epoch = 0
        self.workers = 0
        # Of the workers started so far (layout.Ring).
        self.rings: list[Any] = []


starting = Starting()


def current_loader_worker() -> tuple[str | None, int | None, int | None]:
    """Return (loader, worker, epoch) of the worker that this thread is about to start; else three None."""
    if starting.named is None:
        return None, None, None
    return starting.named.name, starting.workers, starting.epoch


def caller_frame(depth: int) -> FrameType | None:
    """Return the frame `depth` above the caller's, or None."""
    try:
        return sys._getframe(depth + 1)
    except ValueError:
        return None

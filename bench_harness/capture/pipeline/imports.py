"""Act on a module as soon as the target has imported it, without importing it ourselves."""

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls `actions[name](module)` once the module of that name is executed, or at once if it is there.

    Args:
        actions: by name of module; they must not raise.
    """

    def __init__(self, actions: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._actions = dict(actions)
        self._finding: set[str] = set()

    def install(self) -> None:
        """Start watching."""
        for name in list(self._actions):
            module = sys.modules.get(name)
            # A module that is only half executed is not there yet.
            if module is not None and not getattr(module.__spec__, "_initializing", False):
                self._actions.pop(name)(module)
        if self._actions:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Stop watching."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec that the other finders find, its loader wrapped; None for modules nobody waits for."""
        if fullname not in self._actions or fullname in self._finding:
            return None
        self._finding.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._finding.discard(fullname)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, functools.partial(self._act, fullname))  # type: ignore[assignment]
        return spec

    def _act(self, fullname: str, module: ModuleType) -> None:
        # Popped: a module that is loaded again is left as it then is.
        action = self._actions.pop(fullname, None)
        if action is not None:
            action(module)


class _Loader:
    """Executes a module as its own loader does, puts that loader back, and acts."""

    def __init__(self, loader: Any, action: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._action = action

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._action(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

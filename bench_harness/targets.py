"""Named workloads that packages register, to run as `bench profile @name`.

An entry point of the group bench_harness.targets, `name = "module:callable"`; the callable takes no argument and reads
sys.argv as a script does, and the first line of its docstring says what it is. Listing imports no such module: it could
be torch's weight, and its code would run. Docstrings are read from the source instead.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from bench_harness.config import nearest
from bench_harness.errors import UsageError

GROUP = "bench_harness.targets"


@dataclass(frozen=True)
class Target:
    """A registered workload.

    Args:
        name: without the @; `full_name` is distribution/name, for the case that two distributions have one name.
        value: "module:callable" as registered.
        description: first line of the callable's docstring; None where the source does not say.
        problem: why it cannot run, as far as that can be told without importing it.
    """

    name: str
    value: str
    distribution: str
    version: str
    description: str | None = None
    problem: str | None = None

    @property
    def full_name(self) -> str:
        """Return distribution/name."""
        return f"{self.distribution}/{self.name}"

    def load(self) -> Callable[[], Any]:
        """Import the callable; whatever its module raises on import is raised here.

        Raises:
            UsageError: what is registered is no module:callable, or does not exist.
        """
        from importlib import import_module

        if self.problem:
            raise UsageError(f"@{self.name} of {self.distribution}: {self.problem}")
        module, _, attributes = self.value.partition(":")
        found: Any = import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute, None)
        if not callable(found):
            raise UsageError(f"@{self.name} of {self.distribution}: {self.value} is no callable")
        return found  # type: ignore[no-any-return]


def all_targets() -> list[Target]:
    """Return what the installed distributions register, by name; broken ones with their problem."""
    from importlib import metadata

    found = []
    for entry_point in metadata.entry_points(group=GROUP):
        distribution = entry_point.dist
        name = (distribution.metadata["Name"], distribution.version) if distribution else ("unknown", "unknown")
        described = _described(entry_point.value)
        found.append(Target(entry_point.name, entry_point.value, *name, *described))
    return sorted(found, key=lambda target: (target.name, target.distribution))


def find(name: str) -> Target:
    """Return the target of a name, with or without @: "name", or "distribution/name" where two have it.

    Raises:
        UsageError: there is none of this name, or there are two; says which there are.
    """
    name = name.removeprefix("@")
    targets = all_targets()
    found = [target for target in targets if _matches(target, name)]
    if not found:
        known = nearest(name, dict.fromkeys(target.name for target in targets))
        raise UsageError(f"@{name}: no such target; {known} (bench list shows all)")
    if len(found) > 1:
        names = " or ".join(f"@{target.full_name}" for target in found)
        raise UsageError(f"@{name}: registered by {len(found)} distributions; say {names}")
    return found[0]


def _matches(target: Target, name: str) -> bool:
    distribution, slash, rest = name.rpartition("/")
    if not slash or target.name == name:
        return target.name == name
    return target.name == rest and _canonical(target.distribution) == _canonical(distribution)


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _described(value: str) -> tuple[str | None, str | None]:
    """Return (description, problem) of "module:callable" from its source."""
    module, colon, attributes = value.partition(":")
    if not (colon and all(part.isidentifier() for part in (*module.split("."), *attributes.split(".")))):
        return None, f"'{value}' is not module:callable"
    try:
        spec = _find_spec(module)
        if spec is None:
            return None, f"there is no module '{module}'"
        if not spec.origin or not spec.origin.endswith(".py"):
            return None, None  # compiled, or a namespace: only importing would tell
        return _docstring(ast.parse(Path(spec.origin).read_bytes()), attributes.split("."), value)
    except (OSError, SyntaxError, ValueError) as error:
        return None, f"'{module}' cannot be read: {error}"


def _find_spec(module: str) -> ModuleSpec | None:
    """Find a module as an import would, but import none of its parents."""
    spec: ModuleSpec | None = None
    locations: Sequence[str] | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        specs = (finder.find_spec(name, locations) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        if locations is None and count < len(parts):
            return None  # a module, where a package was expected
    return spec


def _docstring(tree: ast.Module, names: list[str], value: str) -> tuple[str | None, str | None]:
    scope: ast.AST = tree
    for name in names:
        found = _definition(scope, name)
        if found is None:
            # Names that are imported, assigned or made by a function are real, only not to be seen here.
            return None, None if scope is not tree or _may_have(tree, name) else f"{value} does not exist"
        scope = found
    text = ast.get_docstring(scope) if isinstance(scope, _DEFINITIONS) else None
    return (text.partition("\n")[0].strip() if text else None), None


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _definition(scope: ast.AST, name: str) -> ast.AST | None:
    body: Iterable[ast.AST] = getattr(scope, "body", ())
    found = [node for node in body if isinstance(node, _DEFINITIONS) and node.name == name]
    return found[-1] if found else None


def _may_have(tree: ast.Module, name: str) -> bool:
    """Tell whether any statement of a module may give it an attribute `name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.alias) and (node.name == "*" or (node.asname or node.name) == name):
            return True
        if isinstance(node, ast.Name) and node.id in (name, "globals", "vars", "setattr", "exec"):
            return True
        if isinstance(node, _DEFINITIONS) and node.name in (name, "__getattr__"):
            return True
    return False

"""Names for what holds the objects: dataset.records, dataset.df["tag"], main() rows, module torch.

No code of the user runs here: attributes are read from the dicts and slots of instances, never asked for.
"""

import gc
import sys
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

MAX_DEPTH = 4  # names after the root's: dataset.dataset.frames["a"].rows
MAX_NAMES = 2000
_MAX_KEYS, _MAX_ITEMS = 64, 8  # of a dict and a list whose parts are worth a name each
_MAX_COLUMNS = 3  # named of a block of columns that lie in one array
_LEAVES = (str, bytes, int, float, complex, type(None), type, ModuleType, FunctionType)
_PACKAGE = str(Path(__file__).parents[2])

# Through type's own descriptors, which no metaclass of the user replaces.
_bases_of = type.__dict__["__mro__"].__get__
_fields_of = type.__dict__["__dict__"].__get__
_name_of = type.__dict__["__qualname__"].__get__
_module_dict_of = vars(ModuleType)["__dict__"].__get__


def type_name(kind: type) -> str:
    """Return a type's name with its module, of a built-in one the name alone."""
    module = _fields_of(kind).get("__module__")
    name = _name_of(kind)
    if not isinstance(module, str):  # of a type written in C it is in its name
        module = type.__dict__["__module__"].__get__(kind)
    return name if module == "builtins" else f"{module}.{name}"


def named_parts(roots: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the roots and their parts that have a name, as (path, object), the shortest paths first."""
    waiting = deque((path, root, 0) for path, root in roots.items())
    seen: set[int] = set()
    named: list[tuple[str, Any]] = []
    while waiting and len(named) < MAX_NAMES:
        path, value, depth = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        named.append((path, value))
        if depth < MAX_DEPTH:
            waiting.extend((path + step, part, depth + 1) for step, part in _parts(value))
    return named


def _parts(value: Any) -> list[tuple[str, Any]]:
    """Return the parts that deserve a name: strings and numbers belong to what holds them."""
    return [(step, part) for step, part in _steps(value) if not issubclass(type(part), _LEAVES)]


def _steps(value: Any) -> Iterable[tuple[str, Any]]:
    kind = type(value)
    if issubclass(kind, _LEAVES):
        return []
    if kind is dict:
        is_small = len(value) <= _MAX_KEYS and all(type(key) is str for key in value)
        return [(f'["{key}"]', part) for key, part in value.items()] if is_small else []
    if kind in (list, tuple):
        return [(f"[{i}]", part) for i, part in enumerate(value)] if len(value) <= _MAX_ITEMS else []
    if is_of(kind, "pandas", "DataFrame"):
        return _columns(value)
    return [(f".{name}", part) for name, part in attributes(value)]


def attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of an instance's attributes, from its dict and its slots."""
    for base in _bases_of(type(value)):
        for name, field in _fields_of(base).items():
            if name == "__dict__" and type(field) is GetSetDescriptorType:
                yield from ((key, part) for key, part in field.__get__(value).items() if type(key) is str)
            elif type(field) is MemberDescriptorType and base.__flags__ & 1 << 9 and not name.startswith("__"):
                try:
                    yield name, field.__get__(value)
                except AttributeError:  # a slot that holds nothing
                    continue


def is_of(kind: type, module: str, name: str) -> bool:
    """Tell whether a type is, or descends from, a class of a package that is imported already."""
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    return isinstance(found, type) and issubclass(kind, found)


def _columns(frame: Any) -> list[tuple[str, Any]]:
    """Return the arrays of a pandas.DataFrame by column; nothing where this version is laid out otherwise."""
    try:
        manager = dict(attributes(frame))["_mgr"]
        names = [str(name) for name in manager.axes[0]]
        blocks = [(_block_names(block, names), block.values) for block in manager.blocks]
        return [(".index", manager.axes[1]), *(part for names, values in blocks for part in _by_column(names, values))]
    except Exception:
        return []


def _block_names(block: Any, names: list[str]) -> list[str]:
    return [f'"{names[place]}"' for place in block.mgr_locs.as_array]


def _by_column(names: list[str], values: Any) -> list[tuple[str, Any]]:
    if getattr(values, "ndim", 1) == 2 and values.dtype.kind == "O":
        return [(f"[{name}]", values[row]) for row, name in enumerate(names)]
    more = ", ..." if len(names) > _MAX_COLUMNS else ""
    return [(f"[{', '.join(names[:_MAX_COLUMNS])}{more}]", values)]


def user_variables(frame: FrameType | None) -> dict[str, Any]:
    """Return the variables of the user's functions that are running, and those of the user's modules, by name."""
    variables: dict[str, Any] = {}
    while frame is not None:
        code = frame.f_code
        if code.co_name != "<module>" and is_users(code.co_filename):
            for name, value in frame.f_locals.items():
                variables.setdefault(f"{code.co_name}() {name}", value)
        frame = frame.f_back
    for name, module in modules().items():
        if name == "__main__" or is_users(module_dict(module).get("__file__")):
            for variable, value in list(module_dict(module).items()):
                if _is_modules_own(name, value) and not variable.startswith("__"):
                    variables[f"{name}.{variable}"] = value
    return variables


def _is_modules_own(name: str, value: Any) -> bool:
    kind = type(value)
    if issubclass(kind, ModuleType):
        return False
    return not issubclass(kind, type) or _fields_of(value).get("__module__") == name


def modules() -> dict[str, ModuleType]:
    """Return all modules by name, without what is no module."""
    found = sys.modules.copy().items()
    return {name: module for name, module in found if issubclass(type(module), ModuleType)}


def module_dict(module: ModuleType) -> dict[str, Any]:
    """Return a module's variables."""
    variables: dict[str, Any] = _module_dict_of(module)
    return variables


def is_users(file: object) -> bool:
    """Tell whether a source file is neither of Python, of an installed package, nor of this one."""
    if not isinstance(file, str) or file.startswith("<"):
        return False
    return not (file.startswith(_NOT_THE_USERS) or "/site-packages/" in file or "/dist-packages/" in file)


def _folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    found = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {_PACKAGE}
    return tuple(f"{folder.rstrip('/')}/" for folder in found)


_NOT_THE_USERS = _folders()


def everything_else() -> list[Any]:
    """Return the containers that are alive, whoever holds them; also those that gc.freeze() took from the list."""
    gc.unfreeze()
    return gc.get_objects()

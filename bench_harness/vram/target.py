"""What the command line says about a model: where its callable is, its arguments, the shapes of its inputs."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_harness.config import nearest
from bench_harness.errors import UsageError
from bench_harness.vram.module_names import parameters_of

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?i?)B?")
_SCALES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_SCALES = {"ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@dataclass(frozen=True)
class Input:
    """Shape of one sample of one argument of the model, without the batch, and its dtype."""

    shape: tuple[int, ...]
    dtype: str = "float32"


def parse_input(text: str) -> Input:
    """Read `3,224,224` or `512:int64`; an empty shape (`:float32`) is one number per sample."""
    sides, _, dtype = text.partition(":")
    dtype = dtype or "float32"
    if dtype not in DTYPES:
        raise UsageError(f"--input {text}: '{dtype}' is no dtype; {nearest(dtype, DTYPES)}")
    items = [item for item in sides.split(",") if item.strip()]
    if not all(item.strip().isdecimal() and int(item) > 0 for item in items):
        raise UsageError(f"--input {text}: expected positive sizes of one sample, such as 3,224,224 or 512:int64")
    return Input(tuple(int(item) for item in items), dtype)


def parse_argument(text: str) -> tuple[str, Any]:
    """Read `name=value`; the value is a Python literal, or else the text itself."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"'{text}': expected name=value, such as width=14")
    return name, literal(value)


def literal(text: str) -> Any:
    """Return a Python literal, or the text where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def parse_sweep(text: str) -> tuple[str, list[Any]]:
    """Read `width=7,14,29`."""
    name, values = parse_argument(text)
    values = [literal(item) for item in values.split(",")] if isinstance(values, str) else values
    return name, list(values) if isinstance(values, (list, tuple)) else [values]


def parse_size(text: str, flag: str = "--limit") -> int:
    """Read `16GB` (decimal), `16GiB` (binary) or a number of bytes, given by a flag."""
    match = _SIZE.fullmatch(text.strip())
    scale = (_SCALES | _BINARY_SCALES).get(match[2]) if match else None
    if match is None or scale is None:
        raise UsageError(f"{flag} {text}: expected a size such as 16GB, 500MB or 16GiB")
    return int(float(match[1]) * scale)


def load_callable(text: str) -> Any:
    """Import `module:callable` or `path/to/file.py:callable`; the working folder is searched first.

    Raises:
        UsageError: no such module, file or attribute, or its import fails.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(f"'{text}': expected module:callable or path/to/file.py:callable")
    module = _load_file(Path(place), text) if place.endswith(".py") else _load_module(place, text)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [item for item in vars(module) if not item.startswith("_")]
            raise UsageError(f"'{text}': {place} has no '{name}'; {nearest(name, public)}")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"'{text}' is a {type(found).__name__}, expected a callable that returns a torch.nn.Module")
    return found


def _load_module(name: str, text: str) -> Any:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"'{text}': no module named '{error.name}', in this folder or installed") from None
        raise UsageError(f"'{text}': importing {name} failed: {_one_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"'{text}': importing {name} failed: {_one_line(error)}") from error


def _load_file(path: Path, text: str) -> Any:
    if not path.is_file():
        raise UsageError(f"'{text}': no such file: {path}")
    if path.resolve() in _LOADED:
        return _LOADED[path.resolve()]
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UsageError(f"'{text}': importing {path} failed: {_one_line(error)}") from error
    return _LOADED.setdefault(path.resolve(), module)


_LOADED: dict[Path, Any] = {}
"""The files that were run, once for all forks."""


def build_model(target: Any, text: str, arguments: Mapping[str, Any]) -> Any:
    """Call the target and return its module.

    Raises:
        UsageError: it raises, or returns no torch.nn.Module.
    """
    import torch

    said = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    try:
        model = target(**arguments)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{text}({said}) failed: {_one_line(error)}") from error
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"{text}({said}) returned {type(model).__name__}, expected a torch.nn.Module")
    return getattr(model, "_orig_mod", model).train()  # the module that torch.compile wraps


def finish_lazy_modules(model: Any, inputs: Callable[[], Sequence[Any]]) -> None:
    """Let a model with lazy modules meet its input once, so that its parameters have shapes."""
    import torch

    if any(torch.nn.parameter.is_lazy(parameter) for parameter in parameters_of(model)):
        with torch.no_grad():
            model(*inputs())


def make_inputs(inputs: Sequence[Input], batch: int, model: Any, device: str = "cpu") -> list[Any]:
    """Return a batch of every input; numbers are random, integers 0: a valid index of any table.

    An escnn module as the model gets its input wrapped as its own field type.
    """
    import torch

    made: list[Any] = []
    for item in inputs:
        dtype = getattr(torch, item.dtype)
        shape = (batch, *item.shape)
        made.append(
            torch.randn(shape, device=device).to(dtype)
            if dtype.is_floating_point
            else torch.zeros(shape, dtype=dtype, device=device)
        )
    wrap = getattr(model, "in_type", None)
    equivariant = any(cls.__name__ == "EquivariantModule" and "escnn" in cls.__module__ for cls in type(model).__mro__)
    return [wrap(tensor) for tensor in made] if equivariant and wrap is not None else made


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"

"""The versioned JSON record (schema 1) that every command writes before it prints; reports only read records."""

import dataclasses
import datetime
import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.errors import RecordError

SCHEMA = 1
FILE_NAME = "record.json"


@dataclass
class Record:
    """One run of one command.

    `workers` and `artifacts` are as in docs; `workers` is None where the command starts none. `artifacts` holds paths
    relative to the run folder. `extra` keeps fields written by a newer minor version through a round trip.
    """

    command: str
    argv: list[str]
    started: str
    wall_s: float
    completed: bool
    environment: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    workers: dict[str, Any] | None = None
    artifacts: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the record as strict JSON data; numbers that are not finite become null, with a warning each.

        Null rather than an error: one bad number must not cost the record of a long run.

        Raises:
            RecordError: a value JSON cannot hold; the message names the field.
        """
        body = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "extra"}
        if self.workers is None:
            del body["workers"]
        lost: list[str] = []
        document = {"schema": SCHEMA, **{key: _strict(value, key, lost) for key, value in body.items()}}
        document |= {key: _strict(value, key, lost) for key, value in self.extra.items() if key not in document}
        document["warnings"] += [f"{where} was not a finite number: written as null" for where in lost]
        validate(document, "record")
        return document

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write `folder`/record.json through a temporary name: a reader sees the old record or the whole new one."""
        path = Path(folder) / FILE_NAME
        write_json(path, self.to_json())
        return path

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Record":
        """Read a record.json, or the one in a run folder.

        Raises:
            RecordError: missing, not JSON, another schema or a field of a wrong type; one line with file and field.
        """
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        document = _parse(path)
        validate(document, str(path))
        known = {item.name for item in dataclasses.fields(cls)} - {"extra"}
        extra = {key: value for key, value in document.items() if key not in known and key != "schema"}
        return cls(**{key: document[key] for key in known if key in document}, extra=extra)


def utc_now() -> str:
    """Return the present moment as records spell it: 2026-01-31T12:00:00Z."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_json(path: Path, document: Any) -> None:
    """Write strict JSON to a temporary name in the same folder, fsync it, rename it over `path`."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text in the same way; bytes that were read with surrogateescape are written back as they were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the new name with no content
        Path(temporary).chmod(_mode(path))  # mkstemp makes files only the owner can read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# What each field must be: (types, words for the message, must be there).
_FIELDS: dict[str, tuple[tuple[type, ...], str, bool]] = {
    "command": ((str,), "a string", True),
    "argv": ((list,), "a list of strings", True),
    "started": ((str,), "a UTC time such as 2026-01-31T12:00:00Z", True),
    "wall_s": ((int, float), "a number of seconds >= 0", True),
    "completed": ((bool,), "true or false", True),
    "environment": ((dict,), "an object", True),
    "warnings": ((list,), "a list of strings", True),
    "workers": ((dict,), "an object with expected, delivered and missing", False),
    "artifacts": ((dict,), "an object of relative paths", True),
    "results": ((dict,), "an object", True),
}


def validate(document: Any, where: str) -> None:
    """Check a parsed record; raise RecordError naming `where` and the first field that is wrong."""
    if not isinstance(document, dict):
        raise RecordError(f"{where}: expected one JSON object, found {_shown(document)}")
    schema = document.get("schema")
    if type(schema) is not int or schema < 1:
        raise RecordError(f"{where}: field 'schema' is {_shown(schema)}, expected {SCHEMA}; is this a record.json?")
    if schema > SCHEMA:
        raise RecordError(f"{where}: schema {schema} is newer than {SCHEMA}; upgrade bench_harness to read it")
    for name, (types, words, required) in _FIELDS.items():
        if name in document:
            _check_field(where, name, document[name], types, words)
        elif required:
            raise RecordError(f"{where}: field '{name}' is missing, expected {words}")


def _check_field(where: str, name: str, value: Any, types: tuple[type, ...], words: str) -> None:
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if not fits or (name in _CONTENT_CHECKS and not _CONTENT_CHECKS[name](value)):
        raise RecordError(f"{where}: field '{name}' is {_shown(value)}, expected {words}")


def _all_strings(value: list[Any]) -> bool:
    return all(isinstance(item, str) for item in value)


def _is_utc(value: str) -> bool:
    try:
        datetime.datetime.fromisoformat(value.removesuffix("Z"))
    except ValueError:
        return False
    return value.endswith("Z")


def _relative_paths(value: dict[str, Any]) -> bool:
    return all(isinstance(item, str) and not Path(item).is_absolute() for item in value.values())


# What the type alone does not say; a field that is not listed may hold anything of its type.
_CONTENT_CHECKS: dict[str, Callable[[Any], bool]] = {
    "argv": _all_strings,
    "warnings": _all_strings,
    "started": _is_utc,
    "wall_s": lambda number: bool(number >= 0),
    "workers": lambda workers: {"expected", "delivered", "missing"} <= set(workers),
    "artifacts": _relative_paths,
}


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _strict(value: Any, where: str, lost: list[str]) -> Any:
    """Return a copy of plain JSON data; the places of non-finite numbers are appended to `lost`."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        lost.append(where)
        return None
    if isinstance(value, (list, tuple)):
        return [_strict(item, f"{where}[{index}]", lost) for index, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _strict(item, f"{where}.{key}", lost) for key, item in value.items()}
    raise RecordError(f"record: field '{where}' is {_shown(value)}, expected plain JSON data with string keys")


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise RecordError(f"{path}: no such record; run a bench command that writes one") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise RecordError(f"{path}: not strict JSON: {error}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _mode(path: Path) -> int:
    """Return the permissions of a file that is written over, or those that a new one gets."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return 0o666 & ~_umask()


def _umask() -> int:
    # The umask can only be read by setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

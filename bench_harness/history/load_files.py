"""Read load*.json: the one JSON object that a workload command prints with --json. Its keys are not ours to know."""

import json
from pathlib import Path
from typing import Any


def find_load_files(folder: Path) -> list[Path]:
    """Return the load*.json of a run folder, by name."""
    return sorted(path for path in folder.glob("load*.json") if path.is_file())


def read_load_files(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return (rows, warnings); a row is {"file": name, "values": the object as printed}."""
    rows: list[dict[str, Any]] = []
    warnings: list[str] = []
    for path in find_load_files(folder):
        values, problem = _read_object(path)
        if problem:
            warnings.append(f"{path.name} left out: {problem}")
        else:
            rows.append({"file": path.name, "values": values})
            if values.get("completed") is False:
                warnings.append(f"{path.name}: the workload says it did not complete")
    return rows, warnings


def _read_object(path: Path) -> tuple[Any, str | None]:
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        size = path.stat().st_size
        return None, "0 bytes (did the command fail?)" if size == 0 else f"expected one JSON object: {error}"
    if not isinstance(values, dict):
        return None, f"expected one JSON object, found a {type(values).__name__}"
    return values, None

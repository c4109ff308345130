"""Types of the C extension that is built from _call_entries.c, where there is a compiler."""

from cProfile import Profile
from typing import Any

def read(
    profiler: Profile, of: type, before: dict[int, int] | None, keep: bool, /
) -> tuple[list[Any], bytes, bytes, dict[int, int] | None]: ...

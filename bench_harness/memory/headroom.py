"""How much more memory this process could take before something is killed."""

from pathlib import Path

from bench_harness.environment import cgroup_limit_files
from bench_harness.optional import require

# Beside a file with the limit: what is used, and in memory.stat how much of that is cache that would be given back.
_USED = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}
_CACHE = ("inactive_file", "total_inactive_file")


def available_bytes(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory that the machine, and each readable cgroup on the way to the root, have left."""
    rooms = [_room_bytes(path) for path in cgroup_limit_files(proc, mount)]
    available: int = require("psutil").virtual_memory().available
    return max(0, min([available, *(room for room in rooms if room is not None)]))


def _room_bytes(limit_file: Path) -> int | None:
    try:
        limit, used = (int(path.read_text()) for path in (limit_file, limit_file.with_name(_USED[limit_file.name])))
        lines = limit_file.with_name("memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # "max" is no limit
        return None
    cache = [int(value) for name, _, value in (line.partition(" ") for line in lines) if name in _CACHE]
    return limit - used + max(cache, default=0)

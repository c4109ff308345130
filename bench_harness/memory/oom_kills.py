"""How many processes the kernel's out-of-memory killer has ended: counters to read before and after a run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OomKills:
    """Processes killed, None where no counter can be read.

    Args:
        in_cgroup: of this process's control group: memory.events of version 2 (with the groups inside), or
            memory.oom_control of version 1.
        on_machine: oom_kill of /proc/vmstat; in a container it counts what others do, too.
    """

    in_cgroup: int | None = None
    on_machine: int | None = None

    def since(self, before: "OomKills") -> "OomKills":
        """Return how many were killed since `before` was counted."""
        return OomKills(_difference(self.in_cgroup, before.in_cgroup), _difference(self.on_machine, before.on_machine))


def count_oom_kills(proc: Path = Path("/proc"), mount: Path = Path("/sys/fs/cgroup")) -> OomKills:
    """Return the counters as they stand."""
    in_cgroup = None
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "" and in_cgroup is None:
            in_cgroup = _innermost(mount, path, "memory.events")
        elif "memory" in controllers.split(","):
            in_cgroup = _innermost(mount / "memory", path, "memory.oom_control")
    return OomKills(in_cgroup, _counter(_read(proc / "vmstat")))


def _innermost(mount: Path, path: str, name: str) -> int | None:
    """Return the counter of a group; inside a container its path may not exist, and the mount is the group."""
    inner = mount / path.strip("/")
    for folder in (inner, *(parent for parent in inner.parents if parent == mount or mount in parent.parents)):
        count = _counter(_read(folder / name))
        if count is not None:
            return count
    return None


def _counter(text: str) -> int | None:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None


def _difference(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else max(0, after - before)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

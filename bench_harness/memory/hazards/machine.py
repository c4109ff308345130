"""What there is to know about the machine and the limits of this process, from /proc and the C library."""

import ctypes
import os
import platform
import shutil
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench_harness import environment

_SHM = Path("/dev/shm")
_SYSCALLS = {"x86_64": 298, "aarch64": 241}  # perf_event_open
_CAP_SYS_PTRACE = 19
_CONTAINERS = {
    "docker": "Docker",
    "kubepods": "Kubernetes",
    "containerd": "containerd",
    "lxc": "LXC",
    "libpod": "Podman",
}


@dataclass(frozen=True)
class MachineFacts:
    """The machine as this process sees it; None where it cannot be told.

    Args:
        start_method: that a DataLoader's workers get where nobody says otherwise.
        shm_total_bytes, shm_free_bytes: of /dev/shm, through which workers send their batches.
        open_files, open_files_hard: soft and hard limit; None is unlimited.
        memory_bytes: physical; cgroup_limit_bytes: of the control group; limits_bytes: RLIMIT_DATA and the like.
        ptrace_scope: of Yama; None where the kernel has none. may_ptrace: whether this process has CAP_SYS_PTRACE.
        perf_paranoid: kernel.perf_event_paranoid; perf_problem: why no hardware counter opens, empty if one does.
        governor: of CPU frequencies.
        bytecode_off: PYTHONDONTWRITEBYTECODE or -B; bytecode_writable: whether the working folder may be written.
        container: which kind; user_id: 0 is root.
        cpus: of the machine; cpus_allowed: that this process may run on; cpu_quota: of its control group.
    """

    system: str = "Linux"
    python: str = "3.11"
    start_method: str = "fork"
    shm_total_bytes: int | None = None
    shm_free_bytes: int | None = None
    open_files: int | None = None
    open_files_hard: int | None = None
    memory_bytes: int = 0
    available_bytes: int = 0
    cgroup_limit_bytes: int | None = None
    limits_bytes: dict[str, int] = field(default_factory=dict)
    ptrace_scope: int | None = None
    may_ptrace: bool | None = None
    perf_paranoid: int | None = None
    perf_problem: str | None = None
    governor: str | None = None
    bytecode_off: bool = False
    bytecode_writable: bool = True
    container: str | None = None
    user_id: int | None = None
    cpus: int = 1
    cpus_allowed: int | None = None
    cpu_quota: float | None = None


def gather_machine() -> MachineFacts:
    """Look at the machine."""
    memory = environment.collect_memory()
    shm_total, shm_free = shm_bytes()
    soft, hard = open_files_limit()
    return MachineFacts(
        system=platform.system(),
        python=platform.python_version(),
        start_method=environment.collect_multiprocessing()["start_method"],
        shm_total_bytes=shm_total,
        shm_free_bytes=shm_free,
        open_files=soft,
        open_files_hard=hard,
        memory_bytes=memory["total_bytes"],
        available_bytes=memory["available_bytes"],
        cgroup_limit_bytes=memory["cgroup_limit_bytes"],
        limits_bytes=_memory_limits(),
        ptrace_scope=_number("/proc/sys/kernel/yama/ptrace_scope"),
        may_ptrace=may_ptrace(),
        perf_paranoid=_number("/proc/sys/kernel/perf_event_paranoid"),
        perf_problem=perf_problem(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        bytecode_off=sys.dont_write_bytecode,
        bytecode_writable=sys.pycache_prefix is not None or os.access(".", os.W_OK),
        container=container(),
        user_id=os.getuid() if hasattr(os, "getuid") else None,
        cpus=os.cpu_count() or 1,
        cpus_allowed=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        cpu_quota=cpu_quota(),
    )


def shm_bytes() -> tuple[int | None, int | None]:
    """Return (total, free) of /dev/shm in bytes."""
    try:
        usage = shutil.disk_usage(_SHM)
    except OSError:
        return None, None
    return usage.total, usage.free


def open_files_limit() -> tuple[int | None, int | None]:
    """Return the soft and the hard limit of open files of this process; None is unlimited, or not known."""
    try:
        import resource
    except ImportError:
        return None, None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (None if soft == resource.RLIM_INFINITY else soft, None if hard == resource.RLIM_INFINITY else hard)


def _memory_limits() -> dict[str, int]:
    try:
        import resource
    except ImportError:
        return {}
    found = {name: resource.getrlimit(getattr(resource, name))[0] for name in ("RLIMIT_DATA", "RLIMIT_AS")}
    return {name: limit for name, limit in found.items() if limit != resource.RLIM_INFINITY}


def may_ptrace(status: Path = Path("/proc/self/status")) -> bool | None:
    """Tell whether this process has CAP_SYS_PTRACE, which root in a container mostly lacks; None: not known."""
    effective = next((line.split()[1] for line in _read(status).splitlines() if line.startswith("CapEff:")), None)
    return None if effective is None else bool(int(effective, 16) >> _CAP_SYS_PTRACE & 1)


def perf_problem() -> str | None:
    """Try to count instructions of this process; return "" if it works, else why not, None where that is not known."""
    number = _SYSCALLS.get(platform.machine())
    if not sys.platform.startswith("linux") or number is None:
        return None
    # perf_event_attr, version 0: hardware counter 1 (instructions), not enabled, neither kernel nor hypervisor.
    attributes = struct.pack("=IIQQQQQIIQ", 0, 64, 1, 0, 0, 0, 1 | 1 << 5 | 1 << 6, 0, 0, 0)
    library = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.create_string_buffer(attributes, 64), 0, -1, -1, ctypes.c_ulong(0))
    handle = library.syscall(ctypes.c_long(number), *arguments)
    if handle < 0:
        return os.strerror(ctypes.get_errno())
    os.close(handle)
    return ""


def container(root: Path = Path("/")) -> str | None:
    """Return which kind of container this process runs in; None if there are no signs of one."""
    if (root / ".dockerenv").exists():
        return "Docker"
    if (root / "run" / ".containerenv").exists():
        return "Podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "Kubernetes"
    groups = _read(root / "proc" / "self" / "cgroup")
    return next((name for word, name in _CONTAINERS.items() if word in groups), None)


def cpu_quota(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many CPUs' worth of time this process's control group (v1 or v2) may use, None if unlimited."""
    quotas = []
    for line in _read(proc).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            quotas += [_quota(*_read(folder / "cpu.max").split()[:2]) for folder in _upwards(mount, path)]
        elif "cpu" in controllers.split(","):
            for folder in _upwards(mount / "cpu", path):
                quotas.append(_quota(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")))
    return min((quota for quota in quotas if quota is not None), default=None)


def usable_cpus() -> int:
    """Return on how many CPUs this process may run at a time, by affinity and quota; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(cpu_quota() or allowed)))


def _quota(used_us: str = "", period_us: str = "") -> float | None:
    used_us, period_us = used_us.strip(), period_us.strip()
    return int(used_us) / int(period_us) if used_us.isdigit() and period_us.isdigit() else None


def _upwards(mount: Path, path: str) -> list[Path]:
    # Inside a container the path may not exist below the mount; its root then holds the container's own quota.
    inner = mount / path.strip("/")
    return [inner, *(parent for parent in inner.parents if parent == mount or mount in parent.parents)]


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

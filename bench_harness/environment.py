"""Under which conditions a measurement was taken: one small collect_* function per topic, after pyperf's metadata.

Nothing here is imported only to ask for its version, and nothing holds a path of the machine.
"""

import os
import platform
import sys
from pathlib import Path
from typing import Any

from bench_harness import __version__
from bench_harness.git import git_output
from bench_harness.optional import require

PLUGIN_GROUP = "bench_harness.metadata"
PACKAGES = ("asv", "escnn", "lightning", "memray", "numpy", "pandas", "polars", "psutil", "pyarrow", "scipy", "torch")
CPU_FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "amx_tile", "asimd", "sve")
VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "MALLOC_ARENA_MAX",
    "LD_PRELOAD",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONMALLOC",
)
_CGROUP_UNLIMITED_BYTES = 1 << 60  # v1 spells "no limit" as a huge number


def collect(folder: str | os.PathLike[str] = ".") -> tuple[dict[str, Any], list[str]]:
    """Return (environment, warnings); `folder` is where git is asked for the commit."""
    environment: dict[str, Any] = {
        "machine": machine_label(),
        "harness_version": __version__,
        "python": collect_python(),
        "platform": collect_platform(),
        "cpu": collect_cpu(),
        "memory": collect_memory(),
        "load": collect_load(),
        "git": collect_git(folder),
        "packages": collect_packages(),
        "variables": collect_variables(),
        "multiprocessing": collect_multiprocessing(),
    }
    warnings = collect_plugins(environment)
    return environment, warnings


def machine_label() -> str:
    """Return $BENCH_MACHINE, or the host name: the label that run folders carry."""
    return os.environ.get("BENCH_MACHINE") or platform.node() or "unnamed"


def collect_python() -> dict[str, Any]:
    """Return version, implementation and what changes the speed of the interpreter."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "optimize": sys.flags.optimize,
        "dev_mode": sys.flags.dev_mode,
        "hash_randomization": bool(sys.flags.hash_randomization),
        "dont_write_bytecode": sys.dont_write_bytecode,
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
    }


def collect_platform() -> dict[str, Any]:
    """Return operating system and C library."""
    return {"system": platform.system(), "release": platform.release(), "libc": " ".join(platform.libc_ver()).strip()}


def collect_cpu() -> dict[str, Any]:
    """Return model, counts, the cores this process may use, SIMD features and the frequency governor."""
    info = _read("/proc/cpuinfo")
    flags = set(_cpuinfo_field(info, "flags", "Features").split())
    return {
        "model": _cpuinfo_field(info, "model name", "Model") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "logical_count": os.cpu_count(),
        "physical_count": require("psutil").cpu_count(logical=False),
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "features": [name for name in CPU_FEATURES if name in flags],
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
    }


def collect_memory() -> dict[str, Any]:
    """Return physical memory and the cgroup limit that may be far below it."""
    memory = require("psutil").virtual_memory()
    return {
        "total_bytes": memory.total,
        "available_bytes": memory.available,
        "cgroup_limit_bytes": cgroup_limit_bytes(),
    }


def cgroup_limit_bytes(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the tightest memory limit on the way from this process's cgroup (v1 or v2) to the root, None if none."""
    texts = [_read(path).strip() for path in cgroup_limit_files(proc, mount)]
    limits = [int(text) for text in texts if text.isdigit()]
    return min((limit for limit in limits if limit < _CGROUP_UNLIMITED_BYTES), default=None)


def cgroup_limit_files(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Return where the memory limits of this process's cgroups (v1 or v2) would stand, up to the root."""
    files: list[Path] = []
    for line in _read(proc).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            files += _upwards(mount, path, "memory.max")
        elif "memory" in controllers.split(","):
            files += _upwards(mount / "memory", path, "memory.limit_in_bytes")
    return files


def _upwards(mount: Path, path: str, name: str) -> list[Path]:
    # Inside a container the path may not exist below the mount; its root then holds the container's own limit.
    inner = mount / path.strip("/")
    folders = [inner, *(parent for parent in inner.parents if parent == mount or mount in parent.parents)]
    return [folder / name for folder in folders]


def collect_load() -> dict[str, float] | None:
    """Return the load averages: others' work is the first suspect when a number looks odd."""
    try:
        one, five, fifteen = os.getloadavg()
    except (AttributeError, OSError):
        return None
    return {"1_min": round(one, 2), "5_min": round(five, 2), "15_min": round(fifteen, 2)}


def collect_git(folder: str | os.PathLike[str] = ".") -> dict[str, Any]:
    """Return commit, branch and whether tracked files differ from it; nulls outside a repository or without git."""
    commit = git_output(folder, "rev-parse", "--verify", "-q", "HEAD")
    if not commit:
        return {"commit": None, "branch": None, "dirty": None}
    changes = git_output(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "branch": git_output(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def collect_packages() -> dict[str, str]:
    """Return the versions of the packages that matter to speed, of those installed; none is imported."""
    from importlib import metadata

    found = {name: next(iter(metadata.distributions(name=name)), None) for name in PACKAGES}
    return {name: distribution.version for name, distribution in found.items() if distribution is not None}


def collect_variables() -> dict[str, str]:
    """Return the environment variables that change speed or memory, of those set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def collect_multiprocessing() -> dict[str, Any]:
    """Return the start method that a worker gets when nobody says otherwise."""
    import multiprocessing

    # get_start_method() would fix the method for the rest of the process; the list begins with the default.
    chosen = multiprocessing.get_start_method(allow_none=True)
    return {"start_method": chosen or multiprocessing.get_all_start_methods()[0]}


def collect_plugins(environment: dict[str, Any]) -> list[str]:
    """Merge what the entry points of group bench_harness.metadata return, each under its name; return warnings."""
    from importlib import metadata

    warnings = []
    for entry_point in metadata.entry_points(group=PLUGIN_GROUP):
        try:
            value = entry_point.load()()
            problem = _plugin_problem(entry_point.name, value, environment)
        except Exception as error:  # a stranger's plugin must not cost the measurement
            problem = f"failed with {type(error).__name__}: {error}"
        if problem:
            warnings.append(f"metadata plugin '{entry_point.name}' ({entry_point.value}) {problem}; left out")
        else:
            environment[entry_point.name] = value
    return warnings


def _plugin_problem(name: str, value: Any, environment: dict[str, Any]) -> str | None:
    if not isinstance(value, dict):
        return f"returned a {type(value).__name__}, expected a dict"
    return "has the name of a built-in key" if name in environment else None


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpuinfo_field(text: str, *names: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in names:
            return value.strip()
    return ""

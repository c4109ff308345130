"""What is wrong with the machine, as far as loading data and measuring it goes: one small function per hazard."""

from collections.abc import Callable

from bench_harness.memory.hazards.findings import Finding, size
from bench_harness.memory.hazards.machine import MachineFacts

_LEAST_OPEN_FILES = 1024
_LEAST_SHM_BYTES = 1 << 30
_NOBODY_TRACES = 3  # of Yama: nor does root
_STEADY_GOVERNORS = ("performance", "userspace")


def check_system(facts: MachineFacts) -> Finding | None:
    """Other systems than Linux have no /proc, and start workers anew."""
    if facts.system == "Linux":
        return None
    why = "memory of workers and copy-on-write cannot be measured here; most checks need /proc"
    return Finding("system", "note", facts.system, why, "run it on Linux for the rest")


def check_start_method(facts: MachineFacts) -> Finding | None:
    """Only forked workers share what the main process has loaded."""
    seen = f"workers start by {facts.start_method} by default (Python {facts.python})"
    if facts.start_method == "fork":
        return Finding("start method", "ok", seen)
    why = "each worker unpickles a data set of its own: nothing of it is shared"
    return Finding("start method", "note", seen, why, 'DataLoader(..., multiprocessing_context="fork") shares it')


def check_shm(facts: MachineFacts) -> Finding | None:
    """Workers send their batches through /dev/shm."""
    if facts.shm_total_bytes is None or facts.shm_free_bytes is None:
        return None
    seen = f"/dev/shm: {size(facts.shm_free_bytes)} free of {size(facts.shm_total_bytes)}"
    if facts.shm_free_bytes >= _LEAST_SHM_BYTES:
        return Finding("shared memory", "ok", seen)
    why = "batches travel through it: where it is full a worker dies of SIGBUS, or says that no memory is left"
    do = "docker run --shm-size=8g (or --ipc=host)" if facts.container else "mount -o remount,size=8G /dev/shm"
    return Finding("shared memory", "warning", seen, why, do)


def check_open_files(facts: MachineFacts) -> Finding | None:
    """Each tensor on its way from a worker is an open file."""
    if facts.open_files is None:
        return None
    seen = f"at most {facts.open_files:,} open files"
    if facts.open_files >= _LEAST_OPEN_FILES:
        return Finding("open files", "ok", seen)
    why = "each tensor of a batch is one in the main process: past the limit 'received 0 items of ancdata'"
    hard = "unlimited" if facts.open_files_hard is None else f"{facts.open_files_hard}"
    do = f"ulimit -n {hard}" if facts.open_files_hard != facts.open_files else 'set_sharing_strategy("file_system")'
    return Finding("open files", "warning", seen, why, do)


def check_memory_limit(facts: MachineFacts) -> Finding | None:
    """A limit far below the physical memory is seen by the kernel alone."""
    limits = dict(facts.limits_bytes)
    if facts.cgroup_limit_bytes is not None and facts.cgroup_limit_bytes < facts.memory_bytes:
        limits["control group"] = facts.cgroup_limit_bytes
    if not limits:
        seen = f"no limit but the {size(facts.memory_bytes)} of the machine, {size(facts.available_bytes)} free"
        return Finding("memory limit", "ok", seen)
    told = ", ".join(f"{name} {size(limit)}" for name, limit in limits.items())
    why = f"htop and psutil show the {size(facts.memory_bytes)} of the machine; past the limit workers are killed"
    return Finding("memory limit", "note", told, why, "bench memory --limit SIZE says how many workers fit")


def check_ptrace(facts: MachineFacts) -> Finding | None:
    """Profilers that watch from outside attach to a process."""
    scope, is_root = facts.ptrace_scope, facts.user_id == 0
    seen = "no Yama" if scope is None else f"ptrace_scope {scope}"
    may = is_root if facts.may_ptrace is None else facts.may_ptrace
    if not scope or (may and scope < _NOBODY_TRACES):
        return Finding("ptrace", "ok", f"{seen}: running processes can be watched")
    why = "py-spy and gdb may watch no process that runs already (bench profile lets its own be watched)"
    do = "docker run --cap-add SYS_PTRACE" if is_root else "sudo sysctl kernel.yama.ptrace_scope=0"
    if scope > 1:
        why = "py-spy and gdb may watch no process, not even one that bench profile starts"
    if scope >= _NOBODY_TRACES:
        do = "nothing before a reboot: then with kernel.yama.ptrace_scope=1 in /etc/sysctl.d"
    return Finding("ptrace", "note", seen, why, do)


def check_counters(facts: MachineFacts) -> Finding | None:
    """Counters of instructions measure where seconds are noise."""
    if facts.perf_problem is None:
        return None
    seen = "" if facts.perf_paranoid is None else f" (perf_event_paranoid {facts.perf_paranoid})"
    if not facts.perf_problem:
        return Finding("CPU counters", "ok", f"instructions can be counted{seen}")
    why = "perf and instruction counts do not work: seconds alone measure, with the noise of the machine"
    hidden = (facts.perf_paranoid or 0) > 2 and facts.user_id != 0
    do = "sudo sysctl kernel.perf_event_paranoid=1" if hidden else "virtual machines and containers often hide them"
    return Finding("CPU counters", "note", f"no counter opens: {facts.perf_problem}{seen}", why, do)


def check_governor(facts: MachineFacts) -> Finding | None:
    """A CPU that changes its speed changes what is measured."""
    if facts.governor is None:
        return None
    if facts.governor in _STEADY_GOVERNORS:
        return Finding("CPU governor", "ok", facts.governor)
    why = "the clock rises with the load: the same code is slower in a quiet loop than in a busy one"
    return Finding(
        "CPU governor", "note", facts.governor, why, "sudo cpupower frequency-set -g performance, to measure"
    )


def check_bytecode(facts: MachineFacts) -> Finding | None:
    """Without __pycache__ every new process compiles again."""
    if not facts.bytecode_off and facts.bytecode_writable:
        return Finding("bytecode", "ok", "is kept in __pycache__")
    seen = "PYTHONDONTWRITEBYTECODE or -B is set" if facts.bytecode_off else "the working folder is read-only"
    why = "every start compiles your modules again; with spawn or forkserver, every worker does"
    do = "unset PYTHONDONTWRITEBYTECODE" if facts.bytecode_off else "export PYTHONPYCACHEPREFIX=~/.cache/pycache"
    return Finding("bytecode", "note", seen, why, do)


def check_container(facts: MachineFacts) -> Finding | None:
    """Containers bring limits of their own, and take away rights."""
    if facts.container is None:
        return Finding("container", "ok", "no signs of one")
    if facts.user_id == 0:
        return Finding("container", "ok", f"{facts.container}, as root")
    why = "its limits (/dev/shm, open files, memory) cannot be raised from inside, and profilers may be refused"
    do = "from outside: docker run --shm-size, --ulimit, --memory, --cap-add; of a pod its securityContext and volumes"
    return Finding("container", "note", f"{facts.container}, as user {facts.user_id}", why, do)


def check_cpus(facts: MachineFacts) -> Finding | None:
    """os.cpu_count() knows neither affinity nor quota."""
    usable = min(filter(None, (facts.cpus_allowed, facts.cpu_quota, facts.cpus)))
    if usable >= facts.cpus:
        return Finding("CPUs", "ok", f"{facts.cpus}, all usable")
    by = "the quota of the control group" if usable == facts.cpu_quota else "CPU affinity"
    why = "workers and threads counted by os.cpu_count() are too many, and slow each other down"
    do = "num_workers and OMP_NUM_THREADS from len(os.sched_getaffinity(0)), or from the quota"
    return Finding("CPUs", "warning", f"{usable:g} of {facts.cpus} usable, by {by}", why, do)


MACHINE_CHECKS: tuple[Callable[[MachineFacts], Finding | None], ...] = (
    check_system,
    check_start_method,
    check_shm,
    check_open_files,
    check_memory_limit,
    check_cpus,
    check_container,
    check_ptrace,
    check_counters,
    check_governor,
    check_bytecode,
)


def check_machine(facts: MachineFacts) -> list[Finding]:
    """Return what all checks say."""
    return [finding for check in MACHINE_CHECKS if (finding := check(facts)) is not None]

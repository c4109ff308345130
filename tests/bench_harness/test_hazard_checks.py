"""Each check of `bench doctor`, over facts made up for it; and the facts, gathered from this very process."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench_harness.memory.forecast import forecast
from bench_harness.memory.hazards import loader_checks, machine_checks
from bench_harness.memory.hazards import machine as machine_module
from bench_harness.memory.hazards.ends import Ended, check_ended
from bench_harness.memory.hazards.findings import Finding, size
from bench_harness.memory.hazards.handles import Handle, find_handles
from bench_harness.memory.hazards.loader import LoaderFacts, WorkerFacts, lightning_runs, look_at_loader
from bench_harness.memory.hazards.machine import MachineFacts, container, cpu_quota, gather_machine
from bench_harness.memory.hazards.pickled import Pickled, pickled
from bench_harness.memory.hazards.threads import Thread, loaded_libraries, other_threads

GB = 10**9
MACHINE = MachineFacts(memory_bytes=64 * GB, available_bytes=60 * GB, cpus=8, cpus_allowed=8)
WORKER = WorkerFacts(0, uss_bytes=GB, first_fetch_s=0.1)
POLARS = Thread("polars-0", "polars")
LOGGER = Thread("logger", "Python", True)
STORE = Handle("dataset.store", "SQLite connection")


def machine(**facts: Any) -> MachineFacts:
    return MachineFacts(**{**MACHINE.__dict__, **facts})


def loader(**facts: Any) -> LoaderFacts:
    known = {"name": "train", "dataset": "Images", "num_workers": 4, "workers": [WORKER], "cpus": 4, "batches": 3}
    return LoaderFacts(**{**known, **facts})


MACHINE_CASES: list[tuple[Callable[[MachineFacts], Finding | None], dict[str, Any], str | None, str]] = [
    (machine_checks.check_system, {}, None, ""),
    (machine_checks.check_system, {"system": "Darwin"}, "note", "Linux"),
    (machine_checks.check_start_method, {}, "ok", ""),
    (machine_checks.check_start_method, {"start_method": "forkserver"}, "note", "fork"),
    (machine_checks.check_shm, {}, None, ""),
    (machine_checks.check_shm, {"shm_total_bytes": 32 * GB, "shm_free_bytes": 32 * GB}, "ok", ""),
    (machine_checks.check_shm, {"shm_total_bytes": 1 << 26, "shm_free_bytes": 1 << 26}, "warning", "remount"),
    (
        machine_checks.check_shm,
        {"shm_total_bytes": 1 << 26, "shm_free_bytes": 1 << 26, "container": "Docker"},
        "warning",
        "--shm-size",
    ),
    (machine_checks.check_open_files, {}, None, ""),
    (machine_checks.check_open_files, {"open_files": 4096, "open_files_hard": 4096}, "ok", ""),
    (machine_checks.check_open_files, {"open_files": 200, "open_files_hard": 4096}, "warning", "ulimit -n 4096"),
    (machine_checks.check_open_files, {"open_files": 200, "open_files_hard": 200}, "warning", "file_system"),
    (machine_checks.check_memory_limit, {}, "ok", ""),
    (machine_checks.check_memory_limit, {"cgroup_limit_bytes": 8 * GB}, "note", "--limit"),
    (machine_checks.check_memory_limit, {"limits_bytes": {"RLIMIT_DATA": GB}}, "note", "--limit"),
    (machine_checks.check_ptrace, {}, "ok", ""),
    (machine_checks.check_ptrace, {"ptrace_scope": 1, "user_id": 1000}, "note", "sysctl"),
    (machine_checks.check_ptrace, {"ptrace_scope": 1, "user_id": 0, "may_ptrace": True}, "ok", ""),
    (machine_checks.check_ptrace, {"ptrace_scope": 1, "user_id": 0, "may_ptrace": False}, "note", "SYS_PTRACE"),
    (machine_checks.check_ptrace, {"ptrace_scope": 2, "user_id": 1000}, "note", "ptrace_scope=0"),
    (machine_checks.check_ptrace, {"ptrace_scope": 3, "user_id": 0, "may_ptrace": True}, "note", "reboot"),
    (machine_checks.check_counters, {}, None, ""),
    (machine_checks.check_counters, {"perf_problem": ""}, "ok", ""),
    (
        machine_checks.check_counters,
        {"perf_problem": "Permission denied", "perf_paranoid": 4, "user_id": 1000},
        "note",
        "perf_event_paranoid=1",
    ),
    (machine_checks.check_counters, {"perf_problem": "No such file", "perf_paranoid": 2}, "note", "virtual"),
    (machine_checks.check_governor, {}, None, ""),
    (machine_checks.check_governor, {"governor": "performance"}, "ok", ""),
    (machine_checks.check_governor, {"governor": "powersave"}, "note", "cpupower"),
    (machine_checks.check_governor, {"governor": "schedutil"}, "note", "cpupower"),
    (machine_checks.check_bytecode, {}, "ok", ""),
    (machine_checks.check_bytecode, {"bytecode_off": True}, "note", "unset"),
    (machine_checks.check_bytecode, {"bytecode_writable": False}, "note", "PYTHONPYCACHEPREFIX"),
    (machine_checks.check_container, {}, "ok", ""),
    (machine_checks.check_container, {"container": "Docker", "user_id": 0}, "ok", ""),
    (machine_checks.check_container, {"container": "Docker", "user_id": 1000}, "note", "docker run"),
    (machine_checks.check_cpus, {}, "ok", ""),
    (machine_checks.check_cpus, {"cpus_allowed": 2}, "warning", "sched_getaffinity"),
    (machine_checks.check_cpus, {"cpu_quota": 1.5}, "warning", "quota"),
]


@pytest.mark.parametrize(("check", "facts", "level", "do"), MACHINE_CASES)
def test_a_check_of_the_machine(
    check: Callable[[MachineFacts], Finding | None], facts: dict[str, Any], level: str | None, do: str
) -> None:
    _agrees(check(machine(**facts)), level, do)


def _agrees(finding: Finding | None, level: str | None, do: str) -> None:
    assert (finding.level if finding else None) == level, finding
    if finding is not None and level != "ok":
        assert do in finding.do
        assert finding.seen
        assert finding.why
        assert finding.do


SLOW = WorkerFacts(0, first_fetch_s=5.0)
LOADER_CASES: list[tuple[Callable[[LoaderFacts], Finding | None], dict[str, Any], str | None, str]] = [
    (loader_checks.check_polars, {}, None, ""),
    (loader_checks.check_polars, {"threads": [POLARS]}, "warning", "forkserver"),
    (loader_checks.check_polars, {"threads": [POLARS], "start_method": "spawn"}, None, ""),
    (loader_checks.check_python_threads, {"threads": [LOGGER]}, "warning", "before the threads"),
    (
        loader_checks.check_python_threads,
        {"threads": [Thread("Thread-1 (_pin_memory_loop)", "Python", True)]},
        None,
        "",
    ),
    (loader_checks.check_native_threads, {"threads": [Thread("python", "OpenMP")]}, "ok", ""),
    (
        loader_checks.check_native_threads,
        {"threads": [Thread("python", "OpenMP")], "workers": [WorkerFacts(0, torch_threads=4)]},
        "warning",
        "set_num_threads(1)",
    ),
    (loader_checks.check_torch_threads, {}, "ok", ""),
    (loader_checks.check_torch_threads, {"workers": []}, None, ""),
    (loader_checks.check_torch_threads, {"workers": [WorkerFacts(0, torch_threads=4)]}, "warning", "worker_init_fn"),
    (loader_checks.check_start_method, {}, "ok", ""),
    (loader_checks.check_start_method, {"start_method": "spawn", "pickled": Pickled(1000)}, "ok", ""),
    (loader_checks.check_start_method, {"start_method": "spawn", "pickled": Pickled(GB)}, "warning", "memmap"),
    (
        loader_checks.check_start_method,
        {"start_method": "forkserver", "pickled": Pickled(problem="TypeError: cannot pickle")},
        "fatal",
        "__getstate__",
    ),
    (loader_checks.check_sharing_strategy, {}, "ok", ""),
    (loader_checks.check_sharing_strategy, {"sharing_strategy": "file_system"}, "note", "torch_*"),
    (loader_checks.check_handles, {}, None, ""),
    (loader_checks.check_handles, {"handles": [STORE]}, "ok", ""),
    (loader_checks.check_handles, {"handles": [STORE], "workers": []}, "warning", "os.getpid()"),
    (
        loader_checks.check_handles,
        {"handles": [STORE], "workers": [WorkerFacts(0, inherited_handles=["dataset.store"])]},
        "warning",
        "__getstate__",
    ),
    (loader_checks.check_cuda, {}, None, ""),
    (loader_checks.check_cuda, {"cuda_initialized": True}, "note", "out of the data set"),
    (loader_checks.check_timeout, {"timeout_s": 30}, "ok", ""),
    (loader_checks.check_timeout, {}, "note", "timeout=300"),
    (loader_checks.check_timeout, {"threads": [POLARS]}, "warning", "timeout=300"),
    (loader_checks.check_shm, {}, None, ""),
    (loader_checks.check_shm, {"shm_free_bytes": 16 * GB, "batch_bytes": 10**8}, "ok", ""),
    (loader_checks.check_shm, {"shm_free_bytes": GB, "batch_bytes": 10**8}, "warning", "prefetch_factor"),
    (loader_checks.check_shm, {"shm_free_bytes": 1 << 26, "batch_bytes": 10**8}, "fatal", "--shm-size"),
    (loader_checks.check_open_files, {}, None, ""),
    (loader_checks.check_open_files, {"open_files": 30, "open_files_limit": 1024, "batch_tensors": 2}, "ok", ""),
    (loader_checks.check_open_files, {"open_files": 30, "open_files_limit": 200, "batch_tensors": 10}, "warning", "-n"),
    (loader_checks.check_open_files, {"open_files": 30, "open_files_limit": 200, "batch_tensors": 30}, "fatal", "-n"),
    (loader_checks.check_memory, {}, None, ""),
    (loader_checks.check_memory, {"base_pss_bytes": GB, "memory_limit_bytes": 16 * GB}, "ok", ""),
    (loader_checks.check_memory, {"base_pss_bytes": GB, "memory_limit_bytes": 6 * GB}, "warning", "fewer workers"),
    (loader_checks.check_memory, {"base_pss_bytes": GB, "available_bytes": 3 * GB}, "fatal", "fewer workers"),
    (loader_checks.check_memory, {"base_pss_bytes": GB, "available_bytes": 0}, "fatal", "fewer workers"),
    (
        loader_checks.check_memory,
        {"base_pss_bytes": GB, "memory_limit_bytes": 8 * GB, "others_alive": 4, "others_bytes": 4 * GB},
        "fatal",
        "bench memory",
    ),
    (loader_checks.check_persistence, {}, "ok", ""),
    (loader_checks.check_persistence, {"persistent_workers": True}, "ok", ""),
    (loader_checks.check_persistence, {"workers": [SLOW], "start_method": "spawn"}, "warning", "persistent_workers"),
    (loader_checks.check_persistence, {"workers": [SLOW]}, "warning", "persistent_workers"),
]


@pytest.mark.parametrize(("check", "facts", "level", "do"), LOADER_CASES)
def test_a_check_of_a_loader(
    check: Callable[[LoaderFacts], Finding | None], facts: dict[str, Any], level: str | None, do: str
) -> None:
    _agrees(check(loader(**facts)), level, do)


def test_a_loader_without_workers_has_none_of_these_hazards() -> None:
    assert loader_checks.check_loader(loader(num_workers=0, threads=[POLARS])) == []
    checks = {finding.check for finding in loader_checks.check_loader(loader(threads=[POLARS], handles=[STORE]))}
    assert {"polars before fork", "handles", "timeout"} <= checks


def test_every_check_is_in_its_list() -> None:
    for module, listed in (
        (machine_checks, machine_checks.MACHINE_CHECKS),
        (loader_checks, loader_checks.LOADER_CHECKS),
    ):
        names = {name for name in vars(module) if name.startswith("check_")} - {"check_machine", "check_loader"}
        assert names == {check.__name__ for check in listed}


def test_the_end_of_a_run_is_judged() -> None:
    assert check_ended(Ended()) == []
    (failed,) = check_ended(Ended(code=137, signal="SIGKILL"))
    assert (failed.level, failed.seen) == ("fatal", "the target failed: killed by SIGKILL")
    cause = {"kind": "exit", "text": "left with exit code 3", "remedy": ""}
    (died,) = check_ended(Ended(code=1, deaths=[{"role": "worker", "loader": "train", "worker": 2, "cause": cause}]))
    assert died.seen == "train worker 2 died (exit): left with exit code 3"
    assert [found.level for found in check_ended(Ended(has_workers=False))] == ["note"]
    assert [found.level for found in check_ended(Ended(unseen=["train"]))] == [
        "fatal"
    ]  # measured nothing is never fine
    assert [found.check for found in check_ended(Ended(code=143, hung=["worker 0"], has_workers=False))] == ["hang"]


def test_the_forecast_adds_what_each_worker_holds() -> None:
    assert forecast(351, 133, 8) == 1415


def test_this_machine_is_described() -> None:
    facts = gather_machine()
    assert facts.memory_bytes >= facts.available_bytes > 0
    assert facts.cpus >= (facts.cpus_allowed or 1) >= 1
    assert facts.start_method in multiprocessing.get_all_start_methods()
    if sys.platform.startswith("linux"):
        assert facts.perf_problem is None or isinstance(facts.perf_problem, str)
        assert facts.open_files is None or facts.open_files > 10
    assert machine_checks.check_machine(facts)


def test_quotas_and_containers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    groups = tmp_path / "proc" / "self" / "cgroup"
    groups.parent.mkdir(parents=True)
    groups.write_text("0::/job\n")
    (tmp_path / "job").mkdir()
    assert cpu_quota(groups, tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "job" / "cpu.max").write_text("150000 100000\n")
    assert cpu_quota(groups, tmp_path) == 1.5
    assert container(tmp_path) is None
    groups.write_text("3:cpu,cpuacct:/docker/123\n")
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(groups, tmp_path) == 2.0
    assert container(tmp_path) == "Docker"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".containerenv").touch()
    assert container(tmp_path) == "Podman"


def test_a_quota_leaves_fewer_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for quota, usable in ((None, 8), (2.5, 2), (0.5, 1), (64.0, 8)):
        monkeypatch.setattr(machine_module, "cpu_quota", lambda quota=quota: quota)
        assert machine_module.usable_cpus() == usable


def test_lightning_keeps_the_workers_of_loops_that_it_runs() -> None:
    assert not lightning_runs()
    loops = {"__name__": "lightning.pytorch.loops.fit_loop", "lightning_runs": lightning_runs}
    assert eval("lightning_runs()", loops)


def test_threads_are_told_apart(tmp_path: Path) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, args=(30,), name="background")
    before = other_threads()
    thread.start()
    try:
        added = [each for each in other_threads() if each not in before]
    finally:
        stop.set()
        thread.join()
    assert added == [Thread("background", "Python", True)]
    (tmp_path / "maps").write_text(
        "7f00 r-xp 0 00 1 /x/libgomp-a34.so.1\n7f01 r-xp 0 00 1 /x/libscipy_openblas64_.so\n"
    )
    assert loaded_libraries(tmp_path / "maps") == {"OpenMP", "OpenBLAS"}
    assert loaded_libraries(tmp_path / "none") == set()


class Slotted:
    __slots__ = ("connection", "unset")

    def __init__(self, connection: Any) -> None:
        self.connection = connection


class Holder:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    @property
    def dangerous(self) -> None:
        raise AssertionError("no code of the data set may run")

    def __getattr__(self, name: str) -> None:
        raise AssertionError("no code of the data set may run")


def test_open_handles_are_found_where_they_hide(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    closed, opened = (tmp_path / "closed").open("w"), (tmp_path / "opened").open("wb")
    closed.close()
    data = Holder(stores={"a": [Slotted(connection)]}, closed=closed, log=opened, records=["x"] * 100_000)
    data.itself = data
    found = {handle.path: handle.kind for handle, _ in find_handles(data)}
    assert found == {"dataset.log": "open file", "dataset.stores['a'][0].connection": "SQLite connection"}
    opened.close()
    connection.close()


connection_of_module = sqlite3.connect(":memory:")


class Reader:
    def __getitem__(self, index: int) -> Any:
        return connection_of_module.execute("select 1").fetchone()


def test_a_handle_of_the_module_is_found_where_a_method_names_it() -> None:
    found = [handle for handle, _ in find_handles(Holder(dataset=Reader(), again=Reader()))]
    assert found == [Handle(f"{__name__}.connection_of_module", "SQLite connection")]


class Proxy:
    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        raise AssertionError("no code of the data set may run")


def test_a_proxy_is_not_asked_what_it_stands_for() -> None:
    assert find_handles(Holder(proxy=Proxy(), list_of_them=[Proxy()])) == []


def test_what_travels_to_a_worker_is_measured_without_a_copy() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(10**6)
    assert 8 * 10**6 <= pickled({"array": array}).size_bytes < 8 * 10**6 + 10_000
    assert pickled(["x" * 100] * 3 + [str(number) for number in range(1000)]).size_bytes > 3000
    problem = pickled(lambda: None).problem
    assert problem is not None
    assert "lambda" in problem
    assert pickled(multiprocessing.get_context("spawn").Lock()) == Pickled(is_whole=False) or os.name != "posix"


def test_tensors_are_shared_and_not_pickled() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(1000, 1000)
    found = pickled([tensor, "rest"])
    assert found.shared_bytes == 4 * 10**6
    assert found.size_bytes < 1000
    assert not tensor.is_shared()


def test_sizes_in_words() -> None:
    assert [size(value) for value in (12, 4_000, 1_230_000, 812_300_000, 3.14e9)] == [
        "12 B",
        "4 kB",
        "1.23 MB",
        "812 MB",
        "3.14 GB",
    ]


def test_free_memory_is_what_the_control_groups_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a group is shared by all that is in it; the machine's free memory knows of no group."""
    data = pytest.importorskip("torch.utils.data")
    monkeypatch.setattr("bench_harness.memory.hazards.loader.available_bytes", lambda: 3 * GB)
    facts = look_at_loader(data.DataLoader([1, 2], num_workers=1), "loader", [], base_pss_bytes=GB)
    assert facts.available_bytes == 3 * GB
    fetched = dataclasses.replace(facts, memory_limit_bytes=64 * GB, workers=[WorkerFacts(0, uss_bytes=5 * GB)])
    finding = loader_checks.check_memory(fetched)
    assert finding is not None
    assert finding.level == "fatal"

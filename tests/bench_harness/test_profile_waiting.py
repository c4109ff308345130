"""Which time is waiting, and for whom, in profiles and in sampled stacks."""

import threading
from pathlib import Path

import pytest

import bench_harness
from bench_harness.profiles.statistics import Entry, Folded, Function, Profile
from bench_harness.profiles.waiting import (
    BACKGROUND,
    HARNESS,
    NO_PYTHON,
    Account,
    account_of_profile,
    account_of_stacks,
    add_accounts,
)
from bench_harness.segments import Role

LIB = str(Path(threading.__file__).parent)
TORCH = "/venv/lib/python3.12/site-packages/torch"
US = str(Path(bench_harness.__file__).parent)
USER: Function = ("/home/me/train.py", 3, "train")
FETCH: Function = ("/home/me/train.py", 9, "__getitem__")
NEXT: Function = (f"{TORCH}/utils/data/dataloader.py", 1278, "_try_get_data")
WORKER_LOOP: Function = (f"{TORCH}/utils/data/_utils/worker.py", 200, "_worker_loop")
PIN_MEMORY: Function = (f"{TORCH}/utils/data/_utils/pin_memory.py", 18, "_pin_memory_loop")
MP_GET: Function = (f"{LIB}/multiprocessing/queues.py", 98, "get")
MP_PUT: Function = (f"{LIB}/multiprocessing/queues.py", 86, "put")
MP_FEED: Function = (f"{LIB}/multiprocessing/queues.py", 214, "_feed")
MP_RECV: Function = (f"{LIB}/multiprocessing/connection.py", 246, "recv")
MP_LOW: Function = (f"{LIB}/multiprocessing/connection.py", 390, "_recv")
MP_WAIT: Function = (f"{LIB}/multiprocessing/connection.py", 933, "wait")
POOL_WAIT: Function = (f"{LIB}/multiprocessing/pool.py", 763, "wait")
POOL_WORKER: Function = (f"{LIB}/multiprocessing/pool.py", 97, "worker")
SELECT: Function = (f"{LIB}/selectors.py", 402, "select")
QUEUE_GET: Function = (f"{LIB}/queue.py", 154, "get")
CONDITION: Function = (f"{LIB}/threading.py", 295, "wait")
NOTIFY: Function = (f"{LIB}/threading.py", 366, "notify")
BOOTSTRAP: Function = (f"{LIB}/threading.py", 1028, "_bootstrap_inner")
JSON: Function = (f"{LIB}/json/encoder.py", 183, "encode")
RUNPY: Function = (f"{LIB}/runpy.py", 65, "_run_code")
HOOK: Function = (f"{US}/capture/hooks.py", 5, "run_target")
DUMPER: Function = (f"{US}/capture/dumps.py", 5, "dump")
PIPELINE: Function = (f"{US}/capture/pipeline/hooks.py", 5, "timed_get")
POLL: Function = ("~", 0, "<method 'poll' of 'select.poll' objects>")
ACQUIRE: Function = ("~", 0, "<method 'acquire' of '_thread.lock' objects>")
RELEASE: Function = ("~", 0, "<method 'release' of '_thread.lock' objects>")
SEMAPHORE: Function = ("~", 0, "<method '__enter__' of '_multiprocessing.SemLock' objects>")
READ: Function = ("~", 0, "<built-in method posix.read>")
SLEEP: Function = ("~", 0, "<built-in method time.sleep>")
CLOCK: Function = ("~", 0, "<built-in method time.perf_counter>")
WAITPID: Function = ("~", 0, "<built-in method posix.waitpid>")
TO_DEVICE: Function = ("~", 0, "<method 'to' of 'torch._C.TensorBase' objects>")


def chain(*functions: Function, seconds: float = 1.0) -> Profile:
    """The profile of one call of each function by the one before it, all the time in the last."""
    profile = {}
    for caller, function in zip((None, *functions), functions, strict=False):
        own = seconds if function == functions[-1] else 0.0
        times = (1, 1, own, seconds)
        profile[function] = Entry(times, {} if caller is None else {caller: times})
    return profile


def kinds(account: Account) -> dict[str, float]:
    return {kind: cost.own_s for kind, cost in account.waiting.items()}


CHAINS: list[tuple[Role, tuple[Function, ...], str | None]] = [
    ("main", (USER, NEXT, MP_GET, MP_WAIT, SELECT, POLL), "for loader"),
    ("main", (USER, NEXT, QUEUE_GET, CONDITION, ACQUIRE), "for loader"),
    ("main", (USER, NEXT, HOOK, MP_GET, MP_WAIT, SELECT, POLL), "for loader"),
    ("main", (USER, MP_GET, MP_WAIT, SELECT, POLL), "for loader"),
    ("main", (USER, POOL_WAIT, CONDITION, ACQUIRE), "for loader"),
    ("main", (USER, MP_RECV, MP_LOW, READ), "for loader"),
    ("main", (USER, QUEUE_GET, CONDITION, ACQUIRE), "idle"),
    ("main", (USER, MP_WAIT, SELECT, POLL), "idle"),
    ("main", (USER, ACQUIRE), "idle"),
    ("main", (USER, WAITPID), "idle"),
    ("main", (NEXT, FETCH, ACQUIRE), "idle"),  # num_workers=0: the dataset waits itself
    ("main", (BOOTSTRAP, PIN_MEMORY, MP_GET, MP_WAIT, SELECT, POLL), None),
    ("main", (BOOTSTRAP, MP_FEED, CONDITION, ACQUIRE), None),
    ("main", (BOOTSTRAP, DUMPER, CONDITION, ACQUIRE), None),
    ("worker", (USER, WORKER_LOOP, MP_GET, MP_WAIT, SELECT, POLL), "for main"),
    ("worker", (USER, WORKER_LOOP, MP_GET, MP_RECV, MP_LOW, READ), "for main"),
    ("worker", (USER, WORKER_LOOP, MP_PUT, SEMAPHORE), "idle"),
    ("worker", (USER, WORKER_LOOP, MP_PUT, NOTIFY, RELEASE), "idle"),
    ("worker", (WORKER_LOOP, FETCH, CONDITION, ACQUIRE), "idle"),
    ("worker", (WORKER_LOOP, FETCH, MP_GET, MP_WAIT, SELECT, POLL), "for main"),
    ("process", (USER, POOL_WORKER, MP_GET, SEMAPHORE), "for main"),
    ("process", (POOL_WORKER, MP_GET, MP_LOW, READ), "for main"),
]


@pytest.mark.parametrize(("role", "functions", "kind"), CHAINS)
def test_for_whom_in_profiles(role: Role, functions: tuple[Function, ...], kind: str | None) -> None:
    account = account_of_profile(chain(*functions), role)
    assert kinds(account) == ({} if kind is None else {kind: 1.0})
    assert account.left_out_s.get(BACKGROUND, 0.0) == (1.0 if kind is None else 0.0)
    assert functions[-1] not in account.functions
    assert sum(cost.own_s for cost in account.functions.values()) == 0.0


def sampled(function: Function, engine: str) -> Function:
    """A function as a sampling engine spells it: lock.acquire for <method 'acquire' of '_thread.lock' objects>."""
    file, line, name = function
    if file != "~":
        classes = {"wait": "Condition.wait", "get": "Queue.get", "_recv": "Connection._recv"}
        return (file, line, classes.get(name, name)) if engine == "py-spy" else function
    if name.startswith("<method"):
        _, method, _, owner, _ = name.split("'")
        return "<built-in>", 0, f"{owner.rpartition('.')[2]}.{method}"
    return "<built-in>", 0, name[:-1].rpartition(".")[2]


# Without built-in functions, a lock cannot be told from work of the function that takes it.
SPIED = [each for each in CHAINS if each[1][-2] not in (USER, FETCH, NOTIFY)]


@pytest.mark.parametrize(
    ("engine", "role", "functions", "kind"),
    [("pyinstrument", *each) for each in CHAINS] + [("py-spy", *each) for each in SPIED],
)
def test_for_whom_in_stacks(engine: str, role: Role, functions: tuple[Function, ...], kind: str | None) -> None:
    stack = tuple(sampled(each, engine) for each in functions if engine != "py-spy" or each[0] != "~")
    account = account_of_stacks({stack: 1.0}, role)
    assert kinds(account) == ({} if kind is None else {kind: 1.0})
    assert not any(cost.own_s for cost in account.functions.values())
    assert stack[-1] not in account.functions


@pytest.mark.parametrize(
    "functions",
    [(USER, SLEEP), (USER, READ), (USER, ("/home/me/data.py", 4, "get")), (USER, ("/home/me/queue.py", 1, "get"))],
)
def test_work_of_the_user_stays_work(functions: tuple[Function, ...]) -> None:
    account = account_of_profile(chain(*functions), "main")
    assert kinds(account) == {}
    assert account.functions[functions[-1]].own_s == 1.0
    stack = tuple(sampled(function, "pyinstrument") for function in functions)
    account = account_of_stacks({stack: 1.0}, "main")
    assert (kinds(account), account.functions[stack[-1]].own_s) == ({}, 1.0)


def test_a_lock_that_several_share_is_split_by_its_callers() -> None:
    loader = (1, 3, 0.75, 0.75)
    other = (1, 1, 0.25, 0.25)
    profile = {
        ACQUIRE: Entry((4, 4, 1.0, 1.0), {CONDITION: (4, 4, 1.0, 1.0)}),
        CONDITION: Entry((4, 4, 0.0, 1.0), {QUEUE_GET: loader, USER: other}),
        QUEUE_GET: Entry((3, 3, 0.0, 0.75), {NEXT: loader}),
    }
    account = account_of_profile(profile, "main")
    assert kinds(account) == {"for loader": 0.75, "idle": 0.25}
    assert [cost.calls for cost in account.waiting.values()] == [3, 1]


def test_a_lock_without_a_caller_waits_too() -> None:
    profile = {ACQUIRE: Entry((4, 4, 1.0, 2.0), {USER: (1, 1, 0.25, 0.25)}), READ: Entry((1, 1, 0.5, 0.5), {})}
    account = account_of_profile(profile, "main")
    assert (kinds(account), account.waiting["idle"].calls) == ({"idle": 1.0}, 4)
    assert set(account.functions) == {READ}


def test_reading_is_split_between_files_and_processes() -> None:
    edges = {USER: (2, 2, 0.5, 0.5), MP_LOW: (1, 1, 0.25, 0.25)}
    profile = {READ: Entry((3, 3, 0.75, 0.75), edges), **chain(USER, NEXT, MP_GET, MP_RECV, MP_LOW, seconds=0.0)}
    account = account_of_profile(profile, "main")
    assert kinds(account) == {"for loader": 0.25}
    assert (account.functions[READ].calls, account.functions[READ].own_s) == (2, 0.5)


def test_functions_that_call_each_other_end() -> None:
    edge = (1, 1, 0.5, 0.5)
    profile = {
        ACQUIRE: Entry((2, 2, 1.0, 1.0), {CONDITION: (2, 2, 1.0, 1.0)}),
        CONDITION: Entry((2, 2, 0.0, 1.0), {NOTIFY: edge, CONDITION: edge}),
        NOTIFY: Entry((2, 2, 0.0, 1.0), {CONDITION: edge, NEXT: edge}),
    }
    assert kinds(account_of_profile(profile, "main")) == {"for loader": 1.0}


def test_the_harness_and_what_it_does_through_the_library_are_left_out() -> None:
    account = account_of_profile(chain(USER, HOOK, DUMPER, JSON, CLOCK), "main")
    assert account.left_out_s == {HARNESS: 1.0}
    assert list(account.functions) == [USER]
    account = account_of_stacks({(USER, HOOK, DUMPER, JSON): 1.0, (BOOTSTRAP, DUMPER, JSON): 1.0}, "main")
    assert (account.left_out_s, account.functions) == ({HARNESS: 2.0}, {})


def test_what_the_harness_wraps_is_the_target_s_own() -> None:
    for stack in ((HOOK, RUNPY, JSON), (HOOK, POOL_WORKER), (USER, PIPELINE, TO_DEVICE)):
        account = account_of_profile(chain(*stack), "main")
        assert (account.left_out_s, account.functions[stack[-1]].own_s) == ({}, 1.0)
        sampled_stack = tuple(sampled(function, "pyinstrument") for function in stack)
        account = account_of_stacks({sampled_stack: 1.0}, "main")
        assert (account.left_out_s, account.functions[sampled_stack[-1]].own_s) == ({}, 1.0)


def test_hooks_around_the_pipeline_are_folded_into_their_callers() -> None:
    account = account_of_stacks({(USER, PIPELINE): 1.0}, "main")
    assert account.functions[USER].own_s == 1.0


def test_threads_and_processes_are_no_functions() -> None:
    thread: Function = ("<thread>", 0, "thread Thread-1 (load)")
    main: Function = ("<thread>", 0, "MainThread")
    folded: Folded = {
        (thread, USER): 1.0,
        (thread, SELECT): 2.0,
        (main, USER): 0.5,
        (main, USER, SELECT): 0.25,
        (main,): 4.0,
        (): 4.0,
    }
    account = account_of_stacks(folded, "main")
    assert account.left_out_s == {BACKGROUND: 2.0, NO_PYTHON: 8.0}
    assert kinds(account) == {"idle": 0.25}
    assert set(account.functions) == {USER}
    assert account.captured_s == 1.75


def test_cumulative_times_hold_the_waiting_below_them() -> None:
    account = account_of_stacks({(USER, NEXT, MP_GET): 1.0, (USER, NEXT): 0.5}, "main")
    assert account.functions[NEXT].total_s == 1.5
    assert account.functions[NEXT].own_s == 0.5
    assert MP_GET not in account.functions


def test_accounts_add_up() -> None:
    one = account_of_profile(chain(USER, NEXT, MP_GET, MP_WAIT, SELECT, POLL), "main")
    other = account_of_profile(chain(USER, SLEEP), "main")
    total = add_accounts([one, other])
    assert total.captured_s == one.captured_s + other.captured_s == 2.0
    assert total.functions[USER].calls == 2

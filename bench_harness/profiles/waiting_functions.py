"""Which functions wait, as cProfile, pyinstrument and py-spy spell them, and which say for whom."""

import re

from bench_harness.profiles.own_code import is_harness, is_synthetic, standard_module
from bench_harness.profiles.statistics import Function

# File of the frames that a sampling engine puts around the stacks of a thread that is not the main one.
THREAD_FILE = "<thread>"
PROCESS_FILE = "<process>"
TORCH_DATA = "torch/utils/data/"

# Built-in functions in the names of cProfile, all of whose time is waiting. A release belongs to them: it hands the
# interpreter to the thread that wanted the lock, and comes back when that one lets go.
_LOCKS = r"(?:_thread\.(?:lock|RLock)|_multiprocessing\.SemLock)"
_ALWAYS = re.compile(
    rf"<method '(?:acquire|release|__enter__|__exit__|acquire_lock|release_lock)' of '{_LOCKS}' objects>"
    r"|<method '(?:poll|control)' of 'select\.(?:poll|epoll|kqueue|devpoll)' objects>"
    r"|<method '_?accept' of '_socket\.socket' objects>"
    r"|<method '(?:get|put)' of '_queue\.SimpleQueue' objects>"
    r"|<method 'join' of '_thread\._ThreadHandle' objects>"
    r"|<built-in method (?:_imp\.(?:acquire|release)_lock|select\.select|posix\.(?:wait|waitpid|waitid|wait3|wait4)|_signal\.(?:pause|sigwait\w*))>"
)
# ... and those that wait where multiprocessing calls them: the other end has to write. Elsewhere it is input.
_BETWEEN_PROCESSES = re.compile(
    r"<built-in method posix\.read>|<method 'recv(?:|_into|msg|msg_into|from)' of '_socket\.socket' objects>"
)
# The same in the names of pyinstrument: type.method or the bare name of a function.
_ALWAYS_SAMPLED = re.compile(
    r"(?:lock|RLock|SemLock)\.(?:acquire|release|__enter__|__exit__)|(?:e?poll|kqueue)\.(?:poll|control)|select"
    r"|socket\._?accept|SimpleQueue\.(?:get|put)|_ThreadHandle\.join|wait|waitpid|waitid|wait3|wait4|sigwait"
)
_BETWEEN_PROCESSES_SAMPLED = re.compile(r"read|socket\.recv\w*")

# Functions of the standard library that do nothing but wait; sampling engines show them innermost.
_PYTHON = {
    "threading.py": {"wait", "join", "acquire", "_acquire_restore", "_wait_for_tstate_lock"},
    "queue.py": {"get", "put", "join"},
    "selectors.py": {"select"},
    "socket.py": {"accept"},
    "subprocess.py": {"wait", "_wait", "_try_wait"},
    "concurrent/futures/_base.py": {"result", "wait", "as_completed"},
    "multiprocessing/connection.py": {
        *("wait", "poll", "_poll", "accept", "recv", "recv_bytes", "recv_bytes_into", "_recv", "_recv_bytes"),
    },
    "multiprocessing/pool.py": {"wait", "get", "next", "join"},
    "multiprocessing/popen_fork.py": {"poll", "wait"},
    "multiprocessing/popen_forkserver.py": {"poll", "wait"},
    "multiprocessing/process.py": {"join"},
    "multiprocessing/queues.py": {"get", "put"},
    "multiprocessing/synchronize.py": {"acquire", "wait", "wait_for", "__enter__"},
}
# Where something is asked for that another process has to send.
_ENTRIES = {
    "multiprocessing/connection.py": {"recv", "recv_bytes", "recv_bytes_into"},
    "multiprocessing/pool.py": {"wait", "get", "next", "worker"},
    "multiprocessing/queues.py": {"get"},
    "concurrent/futures/process.py": {"_chain_from_iterable_of_lists"},
}
# What threads in the background run: nobody waits for them while they wait.
_THREADS = {
    "threading.py": {"_bootstrap", "_bootstrap_inner"},
    "multiprocessing/pool.py": {"_handle_workers", "_handle_tasks", "_handle_results"},
    "multiprocessing/queues.py": {"_feed"},
    "multiprocessing/resource_sharer.py": {"_serve"},
}
_PIN_MEMORY = f"{TORCH_DATA}_utils/pin_memory.py"


def is_waiting_builtin(function: Function, caller: Function | None) -> bool:
    """Whether a built-in function waits when it is called from there."""
    file, _, name = function
    always, between = (_ALWAYS, _BETWEEN_PROCESSES) if file == "~" else (_ALWAYS_SAMPLED, _BETWEEN_PROCESSES_SAMPLED)
    if not (file == "~" or file == "<built-in>"):
        return False
    if always.fullmatch(name):
        return True
    module = standard_module(caller[0]) if caller else None
    return module is not None and module.startswith("multiprocessing/") and between.fullmatch(name) is not None


def is_waiting_python(function: Function) -> bool:
    """Whether a function of the standard library only waits; py-spy says Condition.wait for wait."""
    return _listed(function, _PYTHON)


def is_entry(function: Function) -> bool:
    """Whether a function asks for something that another process has to send."""
    return _listed(function, _ENTRIES)


def is_background_thread(function: Function) -> bool:
    """Whether a function is what a thread in the background runs."""
    file, _, name = function
    if file == THREAD_FILE:
        return name != "MainThread"
    return file.endswith(_PIN_MEMORY) or _listed(function, _THREADS)


def is_start_of_process(function: Function) -> bool:
    """Whether a function is the first of a process of multiprocessing; what calls it ran in its parent."""
    return _listed(function, {"multiprocessing/process.py": {"_bootstrap"}})


def is_torch_data(function: Function) -> bool:
    """Whether a function belongs to torch's data loading."""
    return f"/{TORCH_DATA}" in function[0]


def is_passed_through(function: Function) -> bool:
    """Whether a function calls on behalf of others: the standard library, built-ins, torch's queues, the harness."""
    file = function[0]
    return (
        is_synthetic(file) or is_harness(file) or "/torch/multiprocessing/" in file or standard_module(file) is not None
    )


def is_frame_of_ours(function: Function) -> bool:
    """Whether a frame names a process or thread, and is no function."""
    return function[0] in (THREAD_FILE, PROCESS_FILE)


def is_bookkeeping(function: Function) -> bool:
    """Whether a function that the harness calls works for it, and is not something of the target that it wraps."""
    if function[0] == "~":
        return _BOOKKEEPING.match(function[2]) is not None
    module = standard_module(function[0])
    return module is not None and not module.startswith(_RUNS_THE_TARGET)


_BOOKKEEPING = re.compile(
    r"<built-in method (?:time|posix|marshal|_json|_io|io|_struct|sys|_signal|mmap)\.(?!sleep)"
    r"|<method '\w+' of '(?:_io\.\w+|_lsprof\.Profiler|mmap\.mmap|_struct\.Struct)' objects>"
)
_RUNS_THE_TARGET = ("runpy.py", "multiprocessing/", "concurrent/", "asyncio/", "threading.py", "contextlib.py", "functools.py")


def _listed(function: Function, names: dict[str, set[str]]) -> bool:
    module = standard_module(function[0])
    return module in names and function[2].rpartition(".")[2] in names[module or ""]

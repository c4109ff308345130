"""Threads: a batch is drawn without the GIL, two threads draw at once, and neither disturbs the other.

Tests assert no times; here is the exception, made such that a busy machine can neither fail nor pass it. What is looked
at is how much processor time two threads use per second of a clock; what they waited for a processor, and for nothing
else, counts too where the system tells. While one of them holds the GIL, that is at most 1, however fast or idle the
machine is; how much it can be is what a control shows that is known to release the GIL.
"""

import os
import sys
import threading
import time
import types
import zlib
from pathlib import Path

import numpy as np
import pytest

from bench_core.errors import VoxelError
from bench_core.grid import Grid, ImageSpec
from bench_core.simd import simd_variant, simd_variants, use_simd_variant
from bench_core.voxels import voxelize_view, voxelize_views

IMAGE = ImageSpec(Grid(16, 1.0), [["C"], ["N"]])
ROUNDS = 12
SCALES = 1.4
"""Busy seconds per second, of two threads: more than 1 is beyond any two that share the GIL."""


def structure(n_atoms, seed=0):
    rng = np.random.default_rng(seed)
    return types.SimpleNamespace(
        coords_A=rng.uniform(-30, 30, (n_atoms, 3)).astype(np.float32),
        elements=rng.choice(np.array([6, 7], np.uint8), n_atoms),
        occupancies=np.ones(n_atoms, np.float32),
    )


def batch(seed=0, n_views=100, n_atoms=200_000):
    """Arguments of voxelize_views: some 40 ms of work."""
    atoms = structure(n_atoms, seed)
    return [(atoms, None)] * n_views, IMAGE


@pytest.fixture
def no_switching():
    """A thread keeps the GIL until it waits or calls what releases it; threads that want it sleep, and do not look."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


# Two threads at once


def n_processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_s():
    """Seconds for which this thread has used a processor, or on Linux was ready to and had to wait for one."""
    try:
        _, waited_ns, _ = Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()
    except OSError:
        waited_ns = "0"
    return time.thread_time() + int(waited_ns) / 1e9


def parallelism(work):
    """Busy seconds per second while two threads call work(0) and work(1)."""
    together, seconds = threading.Barrier(3), [0.0, 0.0]

    def thread(number):
        together.wait()
        start = busy_s()
        work(number)
        seconds[number] = busy_s() - start
        together.wait()

    threads = [threading.Thread(target=thread, args=(number,)) for number in (0, 1)]
    for each in threads:
        each.start()
    start = time.perf_counter()
    together.wait()
    together.wait()
    passed_s = time.perf_counter() - start
    for each in threads:
        each.join()
    return sum(seconds) / passed_s


def scales(work, control):
    """Whether two threads do `work` at once: True, False, or None where `control` cannot do so here either."""
    comparable = 0
    for _ in range(ROUNDS):
        possible, reached = parallelism(control), parallelism(work)
        if reached > SCALES:
            return True
        comparable += possible > 1.6
    return False if comparable >= 3 else None


def compress(number):
    """The control: zlib lets go of the GIL, for some 40 ms."""
    zlib.compress(bytes([number]) * 16_000_000, 6)


def count(_number):
    """Holds the GIL as Python code does, for some 40 ms."""
    total = 0
    for i in range(2_000_000):
        total += i


needs_two_processors = pytest.mark.skipif(n_processors() < 2, reason="one processor: nothing scales on it")


@needs_two_processors
def test_two_threads_draw_batches_at_once(no_switching):
    batches = [batch(0), batch(1)]
    outs = [np.empty((100, *IMAGE.shape), np.float32) for _ in batches]

    def draw(number):
        voxelize_views(*batches[number], out=outs[number])

    answer = scales(draw, control=compress)
    if answer is None:
        pytest.skip("the control does not scale either: the processors are busy")
    assert answer


@needs_two_processors
def test_the_check_sees_a_held_gil(no_switching):
    answer = scales(count, control=compress)
    if answer is None:
        pytest.skip("the control does not scale either: the processors are busy")
    assert not answer


# Without the GIL from the first view to the last


def is_drawn_while_another_holds_the_gil(draw, out, timeout_s=2.0):
    """Does `draw` go on from before its first view to after its last one while another thread holds the GIL throughout?

    Returns True or False, or None where the other thread came too late.
    """
    out[...] = 7
    first, last = out[0].reshape(-1), out[-1].reshape(-1)
    may_start, seen = threading.Event(), []

    def hold():
        may_start.wait()
        # From here on this thread has the GIL, and calls nothing that lets go of it.
        came_in_time = bool(first[0] == 7 and first[-1] == 7)
        deadline = time.monotonic() + timeout_s
        while last[-1] == 7 and time.monotonic() < deadline:
            pass
        seen.append(bool(last[-1] != 7) if came_in_time else None)

    holder = threading.Thread(target=hold)
    holder.start()
    may_start.set()  # it is awake, but without the GIL until `draw` releases it
    draw()
    holder.join()
    return seen[0]


def first_answer(draw, out, **options):
    for _ in range(20):
        answer = is_drawn_while_another_holds_the_gil(draw, out, **options)
        if answer is not None:
            return answer
    pytest.skip("the other thread never came in time: the processors are busy")


def test_a_batch_releases_the_gil_once(no_switching):
    views, image = batch()
    out = np.empty((len(views), *IMAGE.shape), np.float32)
    assert first_answer(lambda: voxelize_views(views, image, out=out), out)


def test_the_check_sees_that_two_batches_take_the_gil_back_in_between(no_switching):
    views, image = batch()
    out = np.empty((len(views), *IMAGE.shape), np.float32)

    def draw():
        voxelize_views(views[:50], image, out=out[:50])
        voxelize_views(views[50:], image, out=out[50:])

    assert not first_answer(draw, out, timeout_s=0.2)


# Nothing shared


@pytest.mark.parametrize("name", simd_variants())
def test_threads_draw_the_views_of_one_batch_as_one_thread_does(name):
    before = simd_variant()
    try:
        use_simd_variant(name)  # in this thread, for all
        views = [(structure(3000, seed), None) for seed in range(12)]
        for image in (IMAGE, ImageSpec(Grid(7, 1.0), [["C", "N"], ["N"]], 1.7)):
            expected = voxelize_views(views, image)
            # Neighbours in one array: a vector that reached beyond its image would write into another thread's.
            out, seen = np.full_like(expected, np.nan), set()

            def draw(start, image=image, out=out, seen=seen):
                for i in range(start, 12, 3):
                    voxelize_views(views[i : i + 1], image, out=out[i : i + 1])
                seen.add(simd_variant())

            threads = [threading.Thread(target=draw, args=(start,)) for start in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            np.testing.assert_array_equal(out, expected)
            assert seen == {name}
    finally:
        use_simd_variant(before)


def test_errors_in_one_thread_leave_the_others_alone():
    bad, good = structure(3000), structure(3000, 1)
    bad.occupancies[:] = np.nan
    expected, failures = voxelize_view(good, IMAGE), []

    def fail():
        for _ in range(50):
            with pytest.raises(VoxelError) as caught:
                voxelize_view(bad, IMAGE)
            failures.append(str(caught.value))

    thread = threading.Thread(target=fail)
    thread.start()
    images = [voxelize_view(good, IMAGE) for _ in range(50)]
    thread.join()
    assert len(failures) == 50
    assert len(set(failures)) == 1
    assert all((image == expected).all() for image in images)

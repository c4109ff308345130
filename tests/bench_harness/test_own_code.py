"""What is the user's own library, and how its paths are shown."""

import sys
import sysconfig
import threading
from pathlib import Path

import pytest

from bench_harness import record
from bench_harness.profiles.own_code import OwnCode, is_harness, standard_module

CASES = [
    ("/home/me/project/train.py", True, "train.py"),
    ("/home/me/project/package/data.py", True, "package/data.py"),
    ("train.py", True, "train.py"),
    ("/home/me/editable/src/library.py", True, "/home/me/editable/src/library.py"),
    ("/tmp/ipykernel_7/123.py", True, "/tmp/ipykernel_7/123.py"),
    (threading.__file__, False, "lib/python/threading.py"),
    ("/usr/lib/python3.14/multiprocessing/queues.py", False, "lib/python/multiprocessing/queues.py"),
    ("/opt/lib/python3.13t/queue.py", False, "lib/python/queue.py"),
    ("/home/me/project/.venv/lib/python3.12/site-packages/torch/nn.py", False, "site-packages/torch/nn.py"),
    ("/usr/lib/python3/dist-packages/numpy/core.py", False, "dist-packages/numpy/core.py"),
    (f"{sysconfig.get_path('scripts')}/torchrun", False, None),
    (record.__file__, False, "site-packages/bench_harness/record.py"),
    ("<frozen importlib._bootstrap>", False, "<frozen importlib._bootstrap>"),
    ("<string>", False, "<string>"),
    ("~", False, "~"),
    ("", False, ""),
]


@pytest.mark.parametrize(("file", "own", "shown"), CASES)
def test_defaults(file: str, own: bool, shown: str | None) -> None:
    code = OwnCode(folder=Path("/home/me/project"))
    assert code.is_own(file) == own
    assert shown is None or code.shown(file) == shown


def test_roots_replace_the_default() -> None:
    code = OwnCode(("src", "/venv/lib/python3.12/site-packages/mine"), Path("/home/me"))
    own = ["/home/me/src/a.py", "src/a.py", "/venv/lib/python3.12/site-packages/mine/b.py"]
    other = ["/home/me/train.py", "/home/me/src2/a.py", "/venv/lib/python3.12/site-packages/mine2/b.py", "<string>"]
    assert [code.is_own(file) for file in own + other] == [True] * len(own) + [False] * len(other)
    assert code.missing() == [
        "there is no /home/me/src: nothing of it is shown",
        "there is no /venv/lib/python3.12/site-packages/mine: nothing of it is shown",
    ]


def test_the_harness_is_known_wherever_it_lies() -> None:
    assert is_harness(record.__file__)
    assert is_harness("/x/site-packages/bench_harness/capture/bootstrap.py")
    assert not is_harness(__file__)


def test_packages_are_not_the_standard_library() -> None:
    assert standard_module(f"{sys.base_prefix}/lib/python3.11/site-packages/queue.py") is None
    assert standard_module("/home/me/queue.py") is None

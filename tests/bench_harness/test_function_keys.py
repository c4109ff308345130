"""Names of functions across machines, environments, checkouts and edits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_harness.profiles.function_keys import is_absolute, matched_paths, normal_name, normal_path

ASV = f"/home/me/.asv/env/{'0a' * 16}"
PARTS = st.sampled_from(
    [
        *("site-packages", "dist-packages", "lib", "lib64", "Lib", "python3.11", "python3", "python", "python311.zip"),
        *("env", "0a" * 16, "project", "src", "a.py", "b.py", "__init__.py", "ipykernel_1", "12.py", "C:", "", "~"),
        *("<frozen os>", "<frozen a.b>", "<ipython-input-3-ab>", "<string>", "<eval_with_key>.3"),
    ]
)
PATHS = st.lists(PARTS, min_size=1, max_size=8).map("/".join) | st.text(max_size=30)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/usr/lib/python3.8/threading.py", "threading.py"),
        ("/opt/py/lib/python3.13t/json/decoder.py", "json/decoder.py"),
        ("/Library/Frameworks/Python.framework/Versions/3.11/lib/python3.11/queue.py", "queue.py"),
        ("C:\\Python311\\Lib\\queue.py", "queue.py"),
        ("/usr/lib/python311.zip/queue.py", "queue.py"),
        ("lib/python/threading.py", "threading.py"),
        ("/x/venv/lib/python3.11/site-packages/torch/nn/functional.py", "torch/nn/functional.py"),
        ("/usr/lib/python3/dist-packages/numpy/core.py", "numpy/core.py"),
        ("site-packages/torch/x.py", "torch/x.py"),
        (f"{ASV}/lib/python3.11/site-packages/bench_core/voxels.py", "bench_core/voxels.py"),
        (f"{ASV}/project/bench_core/voxels.py", "bench_core/voxels.py"),
        ("<frozen importlib._bootstrap>", "importlib/_bootstrap.py"),
        ("/usr/lib/python3.8/importlib/_bootstrap.py", "importlib/_bootstrap.py"),
        ("<ipython-input-3-0123abcd>", "<cell>"),
        ("/tmp/ipykernel_123/4567.py", "<cell>"),
        ("<eval_with_key>.12", "<eval_with_key>"),
        ("~", "~"),
        ("<string>", "<string>"),
        ("train.py", "train.py"),
        ("/home/me/lib/train.py", "/home/me/lib/train.py"),
        ("/home/me/environment/project/train.py", "/home/me/environment/project/train.py"),
    ],
)
def test_paths(path: str, shown: str) -> None:
    assert normal_path(path) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<built-in method __new__ of type object at 0x9d7c00>", "{built-in method __new__ of type object}"),
        ("<method 'acquire' of '_thread.lock' objects>", "{method 'acquire' of '_thread.lock' objects}"),
        ("{method 'acquire' of '_thread.lock' objects}", "{method 'acquire' of '_thread.lock' objects}"),
        ("<listcomp>", "<listcomp>"),
        ("forward", "forward"),
    ],
)
def test_names(name: str, shown: str) -> None:
    assert normal_name(name) == shown


@given(path=PATHS)
def test_normal_paths_are_stable(path: str) -> None:
    assert normal_path(normal_path(path)) == normal_path(path)


@given(name=st.text(alphabet="<>{} at0x1f") | st.from_regex(r"<(built-in )?method \w+( at 0x[0-9a-f]{1,8}){0,2}>"))
def test_normal_names_are_stable(name: str) -> None:
    assert normal_name(normal_name(name)) == normal_name(name)


@given(paths_a=st.sets(PATHS, max_size=8), paths_b=st.sets(PATHS, max_size=8))
def test_matching_keeps_every_path_is_symmetric_and_stable(paths_a: set[str], paths_b: set[str]) -> None:
    names_a, names_b = matched_paths(paths_a, paths_b)
    assert (names_a.keys(), names_b.keys()) == (paths_a, paths_b)
    assert matched_paths(paths_b, paths_a) == (names_b, names_a)
    assert not any(map(is_absolute, [*names_a.values(), *names_b.values()]))
    again_a, again_b = matched_paths(names_a.values(), names_b.values())
    assert all(again_a[name] == name for name in names_a.values())
    assert all(again_b[name] == name for name in names_b.values())


@given(paths=st.sets(PATHS, max_size=8))
def test_a_capture_matches_itself(paths: set[str]) -> None:
    names_a, names_b = matched_paths(paths, paths)
    assert names_a == names_b


ROOTS = st.lists(st.sampled_from("xyz"), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts) + "/")


@given(root_a=ROOTS, root_b=ROOTS, files=st.sets(st.sampled_from(["m.py", "p/a.py", "p/b.py", "p/q/c.py"]), min_size=1))
def test_a_checkout_elsewhere_matches(root_a: str, root_b: str, files: set[str]) -> None:
    names_a, names_b = matched_paths((root_a + file for file in files), (root_b + file for file in files))
    for file in files:
        assert names_a[root_a + file] == names_b[root_b + file]
        assert names_a[root_a + file].endswith(file.rpartition("/")[2])


def test_two_roots_at_once_and_files_of_one_side_only() -> None:
    names_a, names_b = matched_paths(
        [
            "/content/src/main.py",
            "/content/src/lib/x.py",
            "/content/src/lib/gone.py",
            "/mine/pkg/y.py",
            "/q/a/b/c/d.py",
        ],
        ["main.py", "lib/x.py", "lib/new.py", "/tmp/clone/pkg/y.py", "__init__.py"],
    )
    assert list(names_a.values()) == ["main.py", "lib/x.py", "lib/gone.py", "pkg/y.py", ".../b/c/d.py"]
    assert list(names_b.values()) == ["main.py", "lib/x.py", "lib/new.py", "pkg/y.py", "__init__.py"]


def test_a_common_name_of_packages_is_no_evidence() -> None:
    names_a, names_b = matched_paths(["/x/one/__init__.py"], ["/y/two/__init__.py"])
    assert (*names_a.values(), *names_b.values()) == (".../x/one/__init__.py", ".../y/two/__init__.py")

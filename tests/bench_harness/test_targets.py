"""Named workloads: found without importing them, described, told apart, and what is wrong with broken ones."""

import sys
from pathlib import Path

import pytest

from bench_harness import targets
from bench_harness.errors import UsageError

MODULE = '''
raise SystemExit("listing must not import this")

def main():
    """Train the small one.

    More.
    """

class Runs:
    @classmethod
    def whole(cls):
        """Run it all."""

from elsewhere import imported
if True:
    def conditional():
        """Not at the top."""
silent = lambda: None
def bare(): pass
'''


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of packages, the only one with entry points that tests here see below its names."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "bench_test_targets"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('listing must not import this')")
    (package / "work.py").write_text(MODULE)
    (package / "torn.py").write_text("def main(:")
    return tmp_path


def install(packages: Path, distribution: str, **entry_points: str) -> None:
    folder = packages / f"{distribution}-1.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
    (folder / "entry_points.txt").write_text(f"[{targets.GROUP}]\n{lines}")


def test_a_target_is_found_and_described_but_not_imported(packages: Path) -> None:
    install(packages, "some_dist", zz_small="bench_test_targets.work:main")
    found = targets.find("@zz_small")
    assert found == targets.find("zz_small") == targets.find("some-dist/zz_small")
    assert found == targets.Target(
        "zz_small", "bench_test_targets.work:main", "some_dist", "1.5", "Train the small one.", None
    )
    assert found in targets.all_targets()
    assert "bench_test_targets" not in sys.modules


@pytest.mark.parametrize(
    ("value", "description", "problem"),
    [
        ("bench_test_targets.work:Runs.whole", "Run it all.", None),
        ("bench_test_targets.work:imported", None, None),
        ("bench_test_targets.work:conditional", None, None),
        ("bench_test_targets.work:silent", None, None),
        ("bench_test_targets.work:bare", None, None),
        ("math:sqrt", None, None),
        ("bench_test_targets.work:gone", None, "bench_test_targets.work:gone does not exist"),
        ("bench_test_targets.gone:main", None, "there is no module 'bench_test_targets.gone'"),
        ("bench_test_targets.work.deeper:main", None, "there is no module 'bench_test_targets.work.deeper'"),
        ("no_such_package_at_all:main", None, "there is no module 'no_such_package_at_all'"),
        ("bench_test_targets.torn:main", None, "'bench_test_targets.torn' cannot be read"),
        ("bench_test_targets.work", None, "'bench_test_targets.work' is not module:callable"),
        ("bench_test_targets.work:ma-in", None, "is not module:callable"),
    ],
)
def test_what_the_source_says(packages: Path, value: str, description: str | None, problem: str | None) -> None:
    install(packages, "some_dist", zz=value)
    found = targets.find("zz")
    assert found.description == description
    assert (problem is None) == (found.problem is None)
    if problem is not None:
        assert problem in (found.problem or "")
        with pytest.raises(UsageError, match="@zz of some_dist: "):
            found.load()
    assert "bench_test_targets" not in sys.modules


def test_two_distributions_with_one_name(packages: Path) -> None:
    install(packages, "dist_a", zz="bench_test_targets.work:main")
    install(packages, "dist_b", zz="bench_test_targets.work:bare")
    with pytest.raises(UsageError, match="@zz: registered by 2 distributions; say @dist_a/zz or @dist_b/zz"):
        targets.find("@zz")
    assert targets.find("@dist_b/zz").value == "bench_test_targets.work:bare"


def test_a_name_that_nobody_registered(packages: Path) -> None:
    install(packages, "some_dist", zz_small="bench_test_targets.work:main")
    with pytest.raises(
        UsageError, match=r"@zz_smal: no such target; did you mean 'zz_small'\? \(bench list shows all\)"
    ):
        targets.find("@zz_smal")
    with pytest.raises(UsageError, match="no such target"):
        targets.find("other/zz_small")


def test_loading(packages: Path) -> None:
    install(packages, "some_dist", zz="bench_test_loadable:Runs.whole", zz_number="bench_test_loadable:number")
    (packages / "bench_test_loadable.py").write_text(
        "class Runs:\n    @staticmethod\n    def whole():\n        return 7\nnumber = 3\n"
    )
    assert targets.find("zz").load()() == 7
    with pytest.raises(UsageError, match="bench_test_loadable:number is no callable"):
        targets.find("zz_number").load()
    del sys.modules["bench_test_loadable"]

"""The census of objects: the walker in C against the one in Python, names of owners, and no code of the user's."""

from __future__ import annotations

import array
import gc
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from compiling import compiled

from bench_harness.memory.attribution import layouts
from bench_harness.memory.attribution.census_file import PAGE_BYTES, RECORD
from bench_harness.memory.attribution.owners import named_parts, type_name, user_variables
from bench_harness.memory.attribution.payloads import payload_functions
from bench_harness.memory.attribution.python_walker import PythonWalker
from bench_harness.memory.attribution.walking import Walker

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not layouts.IS_KNOWN, reason="layouts of objects are known for CPython 3.10 to 3.13"),
]


@pytest.fixture(scope="module")
def c_module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled("_census", tmp_path_factory.mktemp("census"))


class Plain:
    def __init__(self, index: int) -> None:
        self.name, self.number = f"plain {index}", index * 1.5


class Slotted:
    __slots__ = ("name", "unset")

    def __init__(self, index: int) -> None:
        self.name = f"slotted {index}"


class Listed(list):  # type: ignore[type-arg]
    pass


class Text(str):
    __slots__ = ()


class Number(int):
    pass


@dataclass
class Data:
    index: int


Pair = namedtuple("Pair", "left right")


def many_things() -> dict[str, Any]:
    """One of each kind of object with a layout of its own, and enough of those that come in numbers."""
    things: dict[str, Any] = {
        "texts": [f"text {i}" for i in range(3000)],
        "wide": ["é" * i for i in range(40)] + ["\U0001f600" * i for i in range(40)],
        "bytes": [bytes([i]) * i * 50 for i in range(100)],
        "numbers": [i * 1.5 for i in range(1000)] + [10**i for i in range(300)],
        "rows": [{"a": i, "b": [i, -i], "c": (i, f"c {i}")} for i in range(1000, 2000)],
        "plain": [Plain(i) for i in range(500)],
        "slotted": [Slotted(i) for i in range(100)],
        "data": [Data(i) for i in range(100)],
        "pairs": [Pair(i, i + 0.5) for i in range(100)],
        "sets": [{i, f"set {i}"} for i in range(50)] + [frozenset(range(1000, 1040))],
        "others": [bytearray(b"x" * 5000), array.array("d", range(3000)), deque([1.5, 2.5]), range(7), 1 + 2j],
        "subclasses": [Listed([1.5, 2.5]), Text("a text"), Number(10**30), Counter("hello"), defaultdict(list)],
        "ordered": OrderedDict((f"key {i}", i) for i in range(100)),
        "big": {f"key {i}": float(i) for i in range(500)},
        "function": lambda captured=f"{1.5} captured": captured,
    }
    things["itself"] = things
    return things


def walk(walker: Walker, things: dict[str, Any]) -> dict[tuple[int, int, str, type], tuple[int, ...]]:
    """Return what the records say, by page, owner and type."""
    walker.bar([globals(), sys.modules])
    named = named_parts({"things": things})
    walker.walk(list(range(len(named))), [value for _, value in named])
    labels = walker.labels()
    records = list(RECORD.iter_unpack(walker.records()))
    owners = [path for path, _ in named]
    found = {(page, pages, *_named(owners, labels[label])): tuple(rest) for page, pages, label, *rest in records}
    assert len(found) == len(records)
    return found


def _named(owners: list[str], label: tuple[int, type]) -> tuple[str, type]:
    return owners[label[0]], label[1]


def test_both_walkers_find_the_same(c_module: ModuleType) -> None:
    things = many_things()
    in_c = walk(c_module.Walker(payload_functions()), things)
    in_python = walk(PythonWalker(payload_functions(), whole=None), things)
    assert in_c == in_python
    assert len(in_c) > 100


def test_both_walkers_find_the_same_in_numpy(c_module: ModuleType) -> None:
    np = pytest.importorskip("numpy")
    grid = np.array([[f"cell {i} {j}" for i in range(30)] for j in range(20)], object)
    things = {
        "floats": np.arange(10_000.0),
        "small": [np.arange(i) for i in range(100)],
        "objects": grid,
        "column": grid[:, 3],
        "fortran": np.asfortranarray(np.array([[f"f {i} {j}" for i in range(3)] for j in range(4)], object)),
        "view": np.arange(50_000.0)[10:20],
        "texts": np.array(["some", "texts"]),
    }
    in_c = walk(c_module.Walker(payload_functions()), things)
    in_python = walk(PythonWalker(payload_functions(), whole=None), things)
    assert in_c == in_python
    sizes: Counter[str] = Counter()
    for (_, pages, owner, _), (size, *_) in in_c.items():
        sizes[owner] += pages * size
    assert sizes['things["floats"]'] == pytest.approx(80_000, abs=500)
    assert sizes['things["view"]'] == pytest.approx(400_000, abs=500)  # it holds all of what it shows a part of
    assert sizes['things["objects"]'] + sizes['things["column"]'] > 600 * sys.getsizeof("cell 1 2")


def test_both_walkers_find_the_same_in_torch_and_arrow(c_module: ModuleType) -> None:
    torch, pyarrow = pytest.importorskip("torch"), pytest.importorskip("pyarrow")
    things = {
        "tensors": [torch.zeros(i) for i in range(1, 50)],
        "view": torch.zeros(20_000)[5:9],
        "parameter": torch.nn.Parameter(torch.zeros(10_000)),
        "sparse": torch.eye(3).to_sparse(),
        "table": pyarrow.table({"tag": [f"tag {i}" for i in range(5000)], "x": [1.5] * 5000}),
        "dictionary": pyarrow.array(["a", "b"] * 3000).dictionary_encode(),
        "buffer": pyarrow.py_buffer(b"x" * 9000),
    }
    sizes = []
    for walker in (c_module.Walker(payload_functions()), PythonWalker(payload_functions(), whole=None)):
        found: Counter[str] = Counter()
        for (_, pages, owner, _), (size, *_) in walk(walker, things).items():
            found[owner] += pages * size
        assert walker.failures == 0
        sizes.append(found)
    wanted = {"view": 80_000, "parameter": 40_000, "dictionary": 24_000, "tensors": 4 * 49 * 25, "table": 99_000}
    for name, least in wanted.items():
        # Arrow's wrappers are made anew for each walk: their own blocks may differ.
        in_c, in_python = (found[f'things["{name}"]'] for found in sizes)
        assert in_c == pytest.approx(in_python, rel=0.02)
        assert least <= in_c < 3 * least + 40_000


def test_sizes_are_those_of_the_allocator(c_module: ModuleType) -> None:
    texts = [f"text {i:030}" for i in range(2000)]
    walker = c_module.Walker({})
    walker.walk([7], [texts])
    (owner, first), *_ = walker.labels()
    assert (owner, first) == (7, list)
    assert walker.objects == 2001
    by_type: Counter[type] = Counter()
    objects: Counter[type] = Counter()
    for _, pages, label, size, count, _ in RECORD.iter_unpack(walker.records()):
        by_type[walker.labels()[label][1]] += pages * size
        objects[walker.labels()[label][1]] += count
    rounded = (sys.getsizeof(texts[0]) + 15) // 16 * 16
    assert by_type[str] == 2000 * rounded
    assert objects == {str: 2000, list: 1}
    assert 0 <= by_type[list] - sys.getsizeof(texts) < 64


def test_a_large_block_is_whole_pages_and_two_ends(c_module: ModuleType) -> None:
    text = "x" * (10 * PAGE_BYTES)
    walker = c_module.Walker({})
    walker.walk([0], [text])
    records = list(RECORD.iter_unpack(walker.records()))
    assert sum(pages * size for _, pages, _, size, _, _ in records) == (sys.getsizeof(text) + 15) // 16 * 16
    assert sum(pages == 9 or pages == 10 for _, pages, *_ in records) == 1
    assert sum(objects for *_, objects, _ in records) == 1


def test_walking_in_c_changes_no_reference_count(c_module: ModuleType) -> None:
    things = many_things()
    parts = [*things["texts"][:50], *things["rows"][:50], things["plain"][3]]
    named = named_parts({"things": things})
    before = [sys.getrefcount(part) for part in parts]
    walker = c_module.Walker({})
    walker.walk(list(range(len(named))), [value for _, value in named])
    assert [sys.getrefcount(part) for part in parts] == before


def test_a_sample_comes_close() -> None:
    things = {"texts": [f"text {i:030}" for i in range(60_000)], "rows": [{"a": float(i)} for i in range(60_000)]}
    whole, sample = (PythonWalker({}, whole=size) for size in (None, 3000))
    sizes: list[Counter[tuple[str, type]]] = []
    for walker in (whole, sample):
        found: Counter[tuple[str, type]] = Counter()
        for (_, pages, owner, kind), (size, *_) in walk(walker, things).items():
            found[owner, kind] += pages * size
        sizes.append(found)
    assert (whole.one_in, sample.one_in) == (1, 20)
    assert sample.objects < whole.objects / 10
    for key in [('things["texts"]', str), ('things["rows"]', dict), ('things["rows"]', float)]:
        assert sizes[1][key] == pytest.approx(sizes[0][key], rel=0.02)


def test_keys_of_a_dict_belong_to_it(c_module: ModuleType) -> None:
    tags = {f"tag {i:030}": None for i in range(1000)}
    for walker in (c_module.Walker({}), PythonWalker({}, whole=None)):
        walker.walk([0], [tags])
        assert walker.objects == 1002  # the dict, its keys, None


def test_what_a_sample_shares_is_not_taken_for_many() -> None:
    words = {f"word {i}": float(i) for i in range(4000)}
    rows = [{"words": words, "number": float(i)} for i in range(3000)]
    walker = PythonWalker({}, whole=100)
    walker.walk([0], [rows])
    labels = walker.labels()
    sizes: Counter[type] = Counter()
    for _, pages, label, size, *_ in RECORD.iter_unpack(walker.records()):
        sizes[labels[label][1]] += pages * size
    assert sizes[float] == pytest.approx(7000 * 32, rel=0.2)


class Hostile(type):
    @property
    def __name__(cls) -> str:
        raise AssertionError("code of a metaclass ran")

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__mro__", "__flags__", "__basicsize__", "__qualname__", "__dict__"):
            raise AssertionError(f"code of a metaclass ran for {name}")
        return super().__getattribute__(name)


class Touchy(metaclass=Hostile):
    def __init__(self) -> None:
        object.__setattr__(self, "records", ["a record", "another"])

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"code of the user ran for {name}")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"code of the user ran for {name}")

    def __sizeof__(self) -> int:
        raise AssertionError("code of the user ran for its size")

    def __len__(self) -> int:
        raise AssertionError("code of the user ran for its length")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("code of the user ran to compare")

    def __hash__(self) -> int:
        raise AssertionError("code of the user ran to hash")

    @property
    def expensive(self) -> int:
        raise AssertionError("a property was read")


def test_no_code_of_the_user_runs(c_module: ModuleType) -> None:
    touchy = Touchy()
    named = named_parts({"dataset": touchy})
    assert [path for path, _ in named] == ["dataset", "dataset.records"]
    for walker in (c_module.Walker(payload_functions()), PythonWalker(payload_functions())):
        walker.walk([0, 1], [value for _, value in named])
        names = {(owner, type_name(kind)) for owner, kind in walker.labels()}
        assert names - {(0, "dict"), (0, "str")} == {(0, f"{__name__}.Touchy"), (1, "list"), (1, "str")}


def test_a_payload_function_that_fails_costs_only_its_object(c_module: ModuleType) -> None:
    def fails(value: Plain) -> Any:
        raise RuntimeError("laid out otherwise")

    things = [Plain(1), Plain(2), "text"]
    for walker in (c_module.Walker({Plain: fails}), PythonWalker({Plain: fails})):
        walker.walk([0], [things])
        assert walker.failures == 2
        assert {kind for _, kind in walker.labels()} >= {list, Plain, str, float}


def test_classes_modules_and_what_is_barred_wait(c_module: ModuleType) -> None:
    barred = ["not yet"]
    things = [Plain(1), Plain, sys, barred]
    for walker in (c_module.Walker({}), PythonWalker({})):
        walker.bar([barred])
        walker.walk([0], [things])
        kinds = Counter(kind for _, kind in walker.labels())
        assert not kinds.keys() & {type, ModuleType}
        before = walker.objects
        walker.open()
        walker.walk([1], [barred])
        assert walker.objects == before + 2
        assert (1, list) in walker.labels()


@pytest.mark.parametrize("call", [lambda w: w.walk([1], []), lambda w: w.walk(1, 2), lambda w: w.bar(1)])
def test_wrong_arguments_of_the_walker_in_c(c_module: ModuleType, call: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        call(c_module.Walker({}))
    with pytest.raises(TypeError):
        c_module.Walker()


def test_parts_have_the_shortest_names() -> None:
    class Inner:
        def __init__(self) -> None:
            self.records = ["a"]

    class Outer:
        __slots__ = ("dataset", "empty", "frames", "many", "parts", "same")

        def __init__(self) -> None:
            self.dataset = Inner()
            self.same = self.dataset
            self.frames = {"a": [1], "b": Inner()}
            self.many = {f"key {i}": [i] for i in range(100)}
            self.parts = [Inner(), (Inner(),)]

    paths = [path for path, _ in named_parts({"dataset": Outer(), "sampler": None})]
    assert set(paths) == {
        *("dataset", "sampler", "dataset.dataset", "dataset.frames", "dataset.many", "dataset.parts"),
        *("dataset.dataset.records", 'dataset.frames["a"]', 'dataset.frames["b"]', 'dataset.frames["b"].records'),
        *("dataset.parts[0]", "dataset.parts[0].records", "dataset.parts[1]", "dataset.parts[1][0]"),
        "dataset.parts[1][0].records",
    }


def test_columns_of_a_frame_have_names() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.0, 2.0], "tag": pandas.Series(["a", "b"], dtype=object), "y": [3.0, 4.0]})
    frame["kind"] = pandas.Categorical(["p", "q"])
    paths = [path for path, _ in named_parts({"df": frame})]
    assert {"df", "df.index", 'df["tag"]', 'df["kind"]'} <= set(paths)
    assert 'df["x", "y"]' in paths or {'df["x"]', 'df["y"]'} <= set(paths)


def test_variables_of_running_functions_and_modules_are_the_users() -> None:
    held = ["a record"]
    found = user_variables(sys._getframe())
    assert found["test_variables_of_running_functions_and_modules_are_the_users() held"] is held
    assert found[f"{__name__}.pytestmark"] is pytestmark
    assert not [name for name in found if name.startswith(("pytest.", "bench_harness.", "_pytest"))]


def test_names_of_types() -> None:
    assert [type_name(kind) for kind in (str, OrderedDict, Plain, type(gc))] == [
        "str",
        "collections.OrderedDict",
        f"{__name__}.Plain",
        "module",
    ]

"""[tool.bench_harness]: defaults, a full table, and one line for everything that is wrong."""

from pathlib import Path

import pytest

from bench_harness.config import BenchmarkRule, Config, ProfileConfig, Shown, load_config, parse_effect
from bench_harness.errors import ConfigError

FULL = """
[tool.bench_harness]
profiles = "runs"
[tool.bench_harness.summary]
headlines = [{label = "image", benchmark = "image.View.time_view", params = {grid = "21^3", radius = 1}}]
history = [{label = "image", benchmark = "image.View.time_view", params = ["21^3", 1]}, {label = "b", benchmark = "c"}]
[tool.bench_harness.summary.landmarks]
naive = "deb540b2"
"""


def test_full_table_found_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(FULL, encoding="utf-8")
    (tmp_path / "a" / "b").mkdir(parents=True)
    config = load_config(tmp_path / "a" / "b")
    assert config.profiles == tmp_path / "runs"
    assert config.summary.headlines == (Shown("image", "image.View.time_view", {"grid": "21^3", "radius": 1}),)
    assert [item.params for item in config.summary.history] == [["21^3", 1], None]
    assert config.summary.landmarks == {"naive": "deb540b2"}


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1\n", "[project]\nname = 'a'\n"])
def test_no_table_means_defaults(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert load_config(tmp_path).summary == Config().summary


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.bench_harness]\nsumary = {}\n", "[tool.bench_harness] has no key 'sumary'; did you mean 'summary'?"),
        ("[tool.bench_harness]\nxyz = 1\n", "has no key 'xyz'; known: profiles, summary"),
        ("[tool.bench_harness]\nprofiles = 1\n", "profiles = 1, expected a folder name"),
        ("[tool]\nbench_harness = 1\n", "is 1, expected a table"),
        ("[tool.bench_harness]\nsummary = []\n", "expected a table with keys headlines, history, landmarks"),
        ("[tool.bench_harness.summary]\nheadline = []\n", "did you mean 'headlines'?"),
        ("[tool.bench_harness.summary]\nheadlines = 3\n", "headlines = 3, expected a list"),
        ("[tool.bench_harness.summary]\nheadlines = ['a']\n", "headlines[0] is 'a', expected a table"),
        ("[tool.bench_harness.summary]\nheadlines = [{label = 'a'}]\n", "headlines[0] benchmark = None"),
        (
            "[tool.bench_harness.summary]\nhistory = [{label = 'a', benchmark = 'b', parms = 1}]\n",
            "history[0] has no key 'parms'; did you mean 'params'?",
        ),
        (
            "[tool.bench_harness.summary]\nhistory = [{label = 'a', benchmark = 'b', params = 'x'}]\n",
            "history[0] params = 'x', expected {name = value} or a list",
        ),
        ("[tool.bench_harness.summary.landmarks]\na = 'HEAD'\n", "landmarks.a = 'HEAD', expected 4 to 40 hex digits"),
        ("[tool.bench_harness.summary]\nlandmarks = ['a']\n", "expected a table of label"),
        ("[tool.bench_harness.profile]\nroot = ['src']\n", "has no key 'root'; did you mean 'roots'?"),
        ("[tool.bench_harness.profile]\nroots = 'src'\n", "roots = 'src', expected a list of folders or files"),
        ("[tool.bench_harness.profile]\nroots = ['']\n", "roots = [''], expected a list of folders or files"),
        ("[tool.bench_harness.profile]\nlog_functions = [1]\n", "expected a list of module/file.py:function"),
        ("[tool.bench_harness.profile]\nlog_functions = ['a.b']\n", "'a.b', expected module/file.py:function"),
        ("[tool.bench_harness]\nrules = {}\n", "[[tool.bench_harness.rules]] is {}, expected an array of tables"),
        ("[[tool.bench_harness.rules]]\nefect = '5%'\n", "rules]] 1: has no key 'efect'; did you mean 'effect'?"),
        ("[[tool.bench_harness.rules]]\nnumber = 3\n", "has no key 'number'; known: benchmark, metric, effect"),
        ("[[tool.bench_harness.rules]]\n[[tool.bench_harness.rules]]\nmetric = 1\n", "rules]] 2: metric = 1, expected"),
        ("[[tool.bench_harness.rules]]\nbenchmark = '('\n", "benchmark = '(', not a regular expression"),
        ("[[tool.bench_harness.rules]]\neffect = 5\n", "effect = 5, expected a percentage such as '5%'"),
        ("[[tool.bench_harness.rules]]\neffect = 'x%'\n", "effect = 'x%', expected a percentage"),
        ("[[tool.bench_harness.rules]]\neffect = '0%'\n", "effect = '0%', expected a percentage"),
        ("[[tool.bench_harness.rules]]\neffect = true\n", "effect = True, expected a percentage"),
        ("[[tool.bench_harness.rules]]\nbetter = 'highr'\n", "better = 'highr', expected 'lower' or 'higher'; did you"),
        ("[[tool.bench_harness.rules]]\ngate = 1\n", "gate = 1, expected true or false"),
        ("[tool.bench_harness\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_table_of_profiles(tmp_path: Path) -> None:
    text = '[tool.bench_harness.profile]\nroots = ["src"]\nlog_functions = ["package/loggers.py:log"]\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert load_config(tmp_path).profile == ProfileConfig((tmp_path / "src",), ("package/loggers.py:log",))


RULES = """
[[tool.bench_harness.rules]]
benchmark = "loading"
metric = "*_bytes"
effect = "10%"
[[tool.bench_harness.rules]]
benchmark = "accuracy$|View.*21"
better = "higher"
effect = 0.01
gate = false
[[tool.bench_harness.rules]]
benchmark = "loading"
"""


def test_the_first_rule_that_fits_holds(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(RULES, encoding="utf-8")
    config = load_config(tmp_path)
    assert config.rule_for("loading.track_x", "peak_pss_bytes") == BenchmarkRule("loading", "*_bytes", 0.1, number=1)
    assert config.rule_for("loading.track_x", "cpu_s").number == 3
    assert config.rule_for("m.accuracy", "value") == BenchmarkRule("accuracy$|View.*21", "*", 0.01, "higher", False, 2)
    assert config.rule_for("m.accuracy_of_it", "value") == BenchmarkRule()
    assert config.rule_for("m.View", "cpu_s", ("21^3", "1")).number == 2
    assert config.rule_for("m.View", "cpu_s", ("35^3", "1")).number == 0


@pytest.mark.parametrize(("given", "effect"), [("5%", 0.05), (" 0.5 % ", 0.005), (0.02, 0.02), ("0.02", 0.02)])
def test_effects(given: object, effect: float) -> None:
    assert parse_effect(given) == pytest.approx(effect, rel=1e-12)


@pytest.mark.parametrize("given", ["", "%", "-1%", "nan", "inf%", "1e9%", 1, "2", None, [], False])
def test_what_is_no_effect(given: object) -> None:
    with pytest.raises(ValueError, match="expected a percentage"):
        parse_effect(given)

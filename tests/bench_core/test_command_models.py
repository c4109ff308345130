"""python -m bench_core models: the notebook's table, the reviewed networks, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench_core.__main__ import main
from bench_core.commands.text_tables import TextTable
from bench_core.models import ARCHITECTURES
from bench_core.models.notebook_figures import NOTEBOOK_FIGURES


def told(capsys, *arguments):
    """What the command prints on stdout, after it ended well."""
    assert main(["models", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    """The one line that the command says when it ends with 2."""
    try:
        code = main(["models", *arguments])
    except SystemExit as end:  # from argparse
        code = end.code
    output = capsys.readouterr()
    assert (code, output.out) == (2, "")
    return output.err.splitlines()[-1]


def test_the_notebooks_table_as_json(capsys):
    result = json.loads(told(capsys, "--time", "0", "--json"))
    rows = {row["name"]: row for row in result["architectures"]}
    assert list(rows) == list(ARCHITECTURES)
    assert (result["batch_size"], result["survey"], result["conditions"]) == (16, [], {})
    assert rows["arch_0"]["parameters"] == 1_208_011
    for name, row in rows.items():
        assert row["notebook"]["parameters"] == NOTEBOOK_FIGURES[name].parameters
        assert row["step"] == {}
        assert row["peak_bytes"]["dense"] < row["peak_bytes"]["escnn"]
        assert row["step_flops"]["dense"] < row["step_flops"]["escnn"]


def test_the_notebooks_table_as_text(capsys):
    lines = told(capsys, "--time", "0").splitlines()
    row = next(line for line in lines if line.startswith("arch_3_width_7_repeats_1 "))
    assert "1,429,225 / 1.4 M" in row
    assert "1.16 / 1.2" in row
    assert "0.45 / 0.4" in row
    assert "0.59 / 0.6" in row
    assert any(line.startswith("arch_2_width_14_repeats_4 *") for line in lines)
    assert any(line.startswith("* arch_2_width_14_repeats_4: The positions of the repeats") for line in lines)
    assert "s: no step was measured (--time 0)." in lines
    assert max(len(line) for line in lines[:13]) < 160


def test_the_notebooks_table_as_markdown(capsys):
    lines = told(capsys, "--time", "0", "--markdown").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 9
    assert {line.count("|") for line in table} == {13}
    assert "| peak GB dense | peak GB escnn |" in table[0]


def test_a_smaller_minibatch(capsys):
    whole, small = (
        json.loads(told(capsys, "--time", "0", "--json", "--arch", "arch_0", "--batch-size", size))["architectures"][0]
        for size in ("16", "4")
    )
    assert small["forward_backward_bytes"] == whole["forward_backward_bytes"] / 4
    assert small["parameters"] == whole["parameters"]
    assert small["peak_bytes"]["dense"] < whole["peak_bytes"]["dense"]


def test_reviewed_networks(capsys):
    names = ("derevyanko_2018", "voxnet", "weiler_2018")
    result = json.loads(told(capsys, "--time", "0", "--json", "--arch", "arch_0", *names))
    assert [row["name"] for row in result["architectures"]] == ["arch_0"]
    rows = {row["name"]: row for row in result["survey"]}
    assert sorted(rows) == sorted(names)
    assert "gets 1x1x1 voxels" in rows["derevyanko_2018"]["on_views"]
    assert rows["voxnet"]["own"]["parameters"] == 73_190
    assert rows["voxnet"]["own"]["input_shape"] == [32, 32, 32]
    # 2 x (14^3 voxels of 125 x 32 weights, 12^3 of 27 x 32 x 32, and the Linear)
    multiply_adds = 14**3 * 125 * 32 + 12**3 * 27 * 32 * 32 + 6**3 * 32 * 6
    assert rows["voxnet"]["own"]["forward_flops"] == 2 * multiply_adds
    assert rows["weiler_2018"]["labels"] == ["steerable"]
    assert rows["weiler_2018"]["on_views"]["input_channels"] == 4
    assert rows["weiler_2018"]["own"]["peak_bytes"] > rows["weiler_2018"]["on_views"]["peak_bytes"] > 1e7


def test_reviewed_networks_as_text(capsys):
    lines = told(capsys, "--time", "0", "--arch", "voxnet", "derevyanko_2018").splitlines()
    row = next(line for line in lines if line.startswith("voxnet"))
    assert "32^3 x 1" in row
    assert "73,190" in row
    row = next(line for line in lines if line.startswith("derevyanko_2018"))
    assert row.split()[-4:] == ["-"] * 4
    assert any(line.startswith("Not on views: derevyanko_2018: layer 6") for line in lines)


@pytest.mark.slow
def test_every_reviewed_network_has_its_row(capsys):
    from bench_core.models.survey import SURVEY

    result = json.loads(told(capsys, "--time", "0", "--json", "--survey"))
    assert [row["name"] for row in result["survey"]] == list(SURVEY)
    assert len(result["architectures"]) == 9
    for row in result["survey"]:
        assert row["own"]["peak_bytes"] > 16 * row["own"]["parameters"]
        assert row["own"]["forward_flops"] > 1e8
        assert isinstance(row["on_views"], str) or row["on_views"]["forward_flops"] > 1e7


def test_measured_steps(capsys):
    result = json.loads(told(capsys, "--time", "30", "--json", "--arch", "voxnet", "alexnet_3d", "--batch-size", "2"))
    steps = {row["name"]: row["own"]["step"] for row in result["survey"]}
    assert steps["voxnet"]["how"] == "measured"
    assert 1e-4 < steps["voxnet"]["seconds"] < 20
    assert steps["alexnet_3d"]["seconds"] > steps["voxnet"]["seconds"]
    assert result["conditions"]["threads"] >= 1


@pytest.mark.slow
def test_measured_steps_of_an_architecture(capsys):
    """On views of the one that is quickest, whatever is installed of the backends."""
    text = told(capsys, "--time", "12", "--arch", "arch_0", "--batch-size", "2")
    row = next(line for line in text.splitlines() if line.startswith("arch_0"))
    assert float(row.split()[6].lstrip("~")) > 0
    assert "s: of a step on this CPU" in text


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--arch", "arch_9"], "no architecture 'arch_9': choose one of arch_0, "),
        (["--time", "-1"], "argument --time: '-1' is not a number from 0 to 1e+09"),
        (["--time", "nan"], "argument --time: 'nan' is not a number from 0 to 1e+09"),
        (["--batch-size", "0"], "argument --batch-size: '0' is not an integer from 1 to "),
        (["--json", "--markdown"], "not allowed with argument --json"),
        (["--arch", "voxnet", "--batch-size", "1"], "take no single image; use 2 or more"),
        (["--out", "picture.png"], "--out names the picture of --plot"),
        (["--arch"], "argument --arch: expected at least one argument"),
    ],
)
def test_what_is_refused(capsys, arguments, why):
    assert why in refused(capsys, *arguments)


def test_a_plot_of_a_run(capsys, tmp_path, monkeypatch, prepared_folder):
    from bench_core.training import fit
    from bench_core.training.options import TrainOptions

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    small = {"length_voxels": 9, "resolution_A": 1.0, "batch_size": 2, "epoch_size": 4, "val_size": 2, "val_share": 0.5}
    run = fit.start(TrainOptions("tiny_models:tiny", data=str(prepared_folder), max_steps=2, **small), tmp_path, [])
    capsys.readouterr()
    picture = tmp_path / "run.png"
    assert told(capsys, "--plot", str(run.folder), "--out", str(picture)) == ""
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_no_plot_of_what_is_no_run(capsys, tmp_path):
    line = refused(capsys, "--plot", str(tmp_path), "--out", str(tmp_path / "run.png"))
    assert line.startswith("bench_core models: error: ")
    assert str(tmp_path) in line


def test_counting_needs_no_torch():
    code = (
        "import sys; from bench_core.__main__ import main; code = main(['models', '--time', '0']); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_table_as_text_and_as_markdown():
    table = TextTable("Two", ("name", "s\ndense"), (("a", "1.5"), ("bb", "-")), ("A note.",), left=("name",))
    assert table.as_text().splitlines() == [
        "Two",
        "",
        "           s",
        "name   dense",
        "------------",
        "a        1.5",
        "bb         -",
        "",
        "A note.",
    ]
    assert table.as_markdown().splitlines() == [
        "**Two**",
        "",
        "| name | s dense |",
        "| :-- | --: |",
        "| a | 1.5 |",
        "| bb | - |",
        "",
        "- A note.",
    ]

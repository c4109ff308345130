"""`bench vram` as a process: what it writes, prints and refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from bench_harness.record import Record
from bench_harness.vram.training_step import Recipe, autocast

torch = pytest.importorskip("torch")

MODELS = """
import sys
import torch
from torch import nn

def small(width=12, depth=2):
    print("a chatty constructor")
    layers = [nn.Linear(10, width)]
    for _ in range(depth):
        layers += [nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(*layers)

def mismatched():
    return nn.Sequential(nn.Linear(10, 12), nn.ReLU(), nn.Linear(13, 2))

def refuses():
    raise ValueError("no such width")

def leaves():
    sys.exit(3)

def number():
    return 3

class Picks(nn.Module):
    def forward(self, x):
        return x[x > 0]

def picky():
    return nn.Sequential(nn.Linear(10, 10), Picks())

class ReadsValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(10, 10)
        self.rates = torch.linspace(0, 1, 3).tolist()

    def forward(self, x):
        return {"first": self.linear(x), "rest": [x]}

class Decides(nn.Module):
    def forward(self, x):
        return x.argmax(-1)

def heads(width=8):
    return nn.TransformerEncoderLayer(width, 4, batch_first=True)

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(10, 10)
        self.second = nn.Linear(10, 10)
        self.second.weight = self.first.weight
        self.mask = torch.tril(torch.ones(10, 10))

    def forward(self, x):
        return self.second(self.first(x)) @ self.mask

def odd(kind):
    if kind == "tied":
        return Tied()
    if kind == "lazy":
        return nn.Sequential(nn.LazyLinear(20), nn.ReLU())
    return torch.compile(nn.Linear(10, 10))

def loss(output):
    return output["first"].pow(2).mean()

def kill():
    import os
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a user's module, `models.py`."""
    (tmp_path / "models.py").write_text(MODELS, encoding="utf-8")
    return tmp_path


def vram(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(cwd.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bench_harness", "vram", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False)


def results_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout)["results"]
    return results


def test_record_first_then_text(project: Path) -> None:
    done = vram(project, "models:small", "--input", "10", "--check", "--tensors", "2", "--plot", "bars.svg")
    assert (done.returncode, done.stderr) == (0, "a chatty constructor\na chatty constructor\n")
    record = Record.read(next((project / "profiles" / "vram-models_small").iterdir()))
    ledger = record.results["ledger"]
    assert sum(ledger["by_kind"].values()) == ledger["peak_bytes"] == sum(ledger["by_module"].values())
    assert len(ledger["tensors"]) == 2
    assert record.results["check"]["ratio"] == pytest.approx(1, abs=0.05)
    assert "(Linear)" in done.stdout
    assert "checked: predicted" in done.stdout
    assert (project / "bars.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert record.artifacts == {"plot": "../../../bars.svg"}


def test_json_is_the_record_and_nothing_else(project: Path) -> None:
    done = vram(project, "models:small", "--input", "10", "--json", "--out", "out")
    assert json.loads(done.stdout) == json.loads((project / "out" / "record.json").read_text(encoding="utf-8"))


def test_parameters_and_optimizer_are_counted_exactly(project: Path) -> None:
    ledger = results_of(vram(project, "models.py:small", "--input", "10", "--arg", "width=200", "--json"))["ledger"]
    parameters = 10 * 200 + 200 + 2 * (200 * 200 + 200)
    assert (ledger["parameters"], ledger["by_kind"]["parameters"]) == (parameters, 4 * parameters)
    # Two moments as large as the parameters, and a step count of 4 bytes for each of 6 tensors.
    assert ledger["by_kind"]["optimizer"] == 8 * parameters + 6 * 4
    assert ledger["built"] == "on fake tensors"


def test_a_constructor_that_reads_values_is_built_for_real(project: Path) -> None:
    flags = ["--input", "10", "--loss", "models:loss", "--optimizer", "none", "--json"]
    ledger = results_of(vram(project, "models:ReadsValues", *flags))["ledger"]
    assert (ledger["built"], ledger["parameters"]) == ("on real tensors", 110)


def test_solve_returns_the_last_value_that_fits(project: Path) -> None:
    flags = ["--input", "10", "--solve", "width", "--limit", "1MB", "--step", "3", "--json"]
    solved = results_of(vram(project, "models:small", *flags))["solve"]
    peaks = {item["value"]: item["peak_bytes"] for item in solved["tried"]}
    assert solved["value"] % 3 == 0
    assert peaks[solved["value"]] <= 1_000_000 < peaks[solved["value"] + 3]


def test_sweep_says_which_module_dominates(project: Path) -> None:
    done = vram(
        project, "models:small", "--input", "10", "--sweep", "depth=1,4,none", "--arg", "width=300", "--out", "out"
    )
    assert done.returncode == 0, done.stderr
    rows = Record.read(project / "out").results["sweep"]["rows"]
    assert rows[0]["peak_bytes"] < rows[1]["peak_bytes"]
    assert "TypeError" in rows[2]["problem"]
    assert "holds most" in done.stdout or "which module holds most depends on depth" in done.stdout


def test_odd_modules(project: Path) -> None:
    done = vram(project, "models:odd", "--input", "10", "--sweep", "kind=tied,lazy,compiled", "--json")
    counts = {row["value"]: row.get("parameters", row) for row in results_of(done)["sweep"]["rows"]}
    assert counts == {"tied": 100 + 10 + 10, "lazy": 10 * 20 + 20, "compiled": 110}


def test_a_module_that_prints_runs_once_and_spoils_no_json(project: Path) -> None:
    source = "import torch\nprint('chatty module')\ndef model():\n    return torch.nn.Linear(3, 2)\n"
    (project / "chatty.py").write_text(source, encoding="utf-8")
    done = vram(project, "chatty.py:model", "--input", "3", "--json")
    assert results_of(done)["ledger"]["peak_bytes"] > 0
    assert done.stderr.count("chatty module") == 1


def test_control_c_is_no_traceback(project: Path) -> None:
    source = "import time\ndef model():\n    open('building', 'w').close()\n    time.sleep(60)\n"
    (project / "slow.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "bench_harness", "vram", "slow.py:model", "--input", "3"]
    process = subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (project / "building").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in errors


def test_autocast_is_that_of_the_device_where_the_inputs_lie() -> None:
    recipe = Recipe(precision="bf16-mixed", device="cuda")
    on_fakes: Any = autocast(recipe, [torch.ones(1)])
    assert on_fakes.device == "cpu"  # where fakes are, for whatever device
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of autocast where there is no CUDA
        on_device: Any = autocast(recipe, [])
    assert on_device.device == "cuda"


def test_cuda_is_marked_unvalidated(project: Path) -> None:
    done = vram(project, "models:small", "--input", "10", "--device", "cuda", "--out", "out")
    record = Record.read(project / "out")
    assert record.results["ledger"]["peak_bytes"] > 8 * 1024**2  # cuBLAS's workspace
    assert "unvalidated" in record.warnings[0]
    assert "unvalidated" in done.stdout


# One process for all: importing torch takes longer than refusing does.
REFUSED: list[tuple[list[str], int, str]] = [
    (["gone:x"], 2, "no module named 'gone'"),
    (["gone.py:x"], 2, "no such file: gone.py"),
    (["models"], 2, "expected module:callable"),
    (["models:smal"], 2, "did you mean 'small'?"),
    (["models:number"], 2, "returned int, expected a torch.nn.Module"),
    (["models:refuses"], 2, "models:refuses() failed: ValueError: no such width"),
    (["models:small", "--arg", "size=3"], 2, "unexpected keyword argument 'size'"),
    (["models:small", "--arg", "3"], 2, "expected name=value"),
    (["models:small", "--batch", "0"], 2, "--batch 0: expected an integer of at least 1"),
    (["models:small", "--tensors", "-1"], 2, "--tensors -1: expected an integer of at least 0"),
    (["models:small", "--sweep", "batch=4,0"], 2, "--sweep batch: 0 is no integer of at least 1"),
    (["models:leaves"], 2, "models:leaves() failed: SystemExit: 3"),
    (["leaving:small"], 2, "importing leaving failed: SystemExit: bye"),
    (["leaving.py:small"], 2, "importing leaving.py failed: SystemExit: bye"),
    (["models:small", "--input", "3"], 2, "does --input fit the model?"),
    (["models:mismatched"], 2, "module 2, operator aten.addmm.default((2,), (16, 12), (13, 2))"),
    (["models:picky"], 2, "module 1, operator aten.index.Tensor((16, 10), [(16, 10)]): its result depends on values"),
    (["models:Decides"], 2, "no floating tensor that depends on its parameters"),
    (["models:small", "--solve", "batch"], 2, "--solve NAME and --limit SIZE belong together"),
    (["models:small", "--solve", "batch", "--limit", "ten"], 2, "--limit ten: expected a size"),
    (["models:small", "--solve", "batch", "--limit", "10"], 2, "batch=1 alone needs"),
    (["models:heads", "--solve", "width", "--limit", "1MB"], 2, "with width=1: models:heads(width=1) failed"),
    (["models:small", "--check", "--device", "cuda"], 2, "torch sees no CUDA device"),
    (["models:small", "--plot", "bars.xyz", "--out", "out"], 2, "--plot bars.xyz"),
    (["models:kill"], 3, "was killed by SIGKILL"),
    (["models:small", "--input", "3,-1"], 2, "--input 3,-1: expected positive sizes"),
    (["models:small", "--input", "10:float31"], 2, "did you mean 'float32'?"),
]
IN_ONE_PROCESS = """
import json, os, sys
from bench_harness.__main__ import main
answers = []
for arguments in json.load(open("cases.json")):
    for number, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(name, os.O_CREAT | os.O_RDWR | os.O_TRUNC), number)
    code = main(["vram", *arguments, "--input", "10"])
    sys.stdout.flush()
    answers.append([int(code), open("out.txt").read(), open("err.txt").read()])
json.dump(answers, open("answers.json", "w"))
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """(exit code, stdout, stderr) of each refused command line."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "models.py").write_text(MODELS, encoding="utf-8")
    (folder / "leaving.py").write_text("import sys\nsys.exit('bye')\n", encoding="utf-8")
    (folder / "cases.json").write_text(json.dumps([arguments for arguments, _, _ in REFUSED]), encoding="utf-8")
    subprocess.run([sys.executable, "-c", IN_ONE_PROCESS], cwd=folder, timeout=240, check=True)
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return {str(arguments): tuple(answer) for (arguments, _, _), answer in zip(REFUSED, answers, strict=True)}


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED, ids=lambda value: str(value)[:50])
def test_bad_input_is_one_line(
    refusals: dict[str, tuple[int, str, str]], arguments: list[str], code: int, words: str
) -> None:
    if "--device" in arguments and __import__("torch").cuda.is_available():
        pytest.skip("there is a CUDA device")
    got, printed, errors = refusals[str(arguments)]
    said = [line for line in errors.splitlines() if line != "a chatty constructor"]
    assert (got, printed, len(said)) == (code, "", 1), errors
    assert words in said[0]


def test_the_record_of_another_command_is_not_overwritten(project: Path) -> None:
    path = project / "out" / "record.json"
    record = Record("profile", [], "2026-01-31T12:00:00Z", 1.0, True)
    assert record.write(project / "out") == path
    done = vram(project, "models:small", "--input", "10", "--out", "out")
    assert done.returncode == 2
    assert "is the record of 'profile' and is not overwritten" in done.stderr

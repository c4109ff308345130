"""Verdicts of other tools and ours on the same planted pairs: slowdowns found, false alarms, seconds.

    python docs/make/verdict_peers.py [--trials 3] [--planted 0 0.05 0.10] [--effect 0.02] [--tools ours hyperfine ...]
                                      [--seed 0] [--json FILE]
    python docs/make/verdict_peers.py --show FILE

One function of pure Python, `work(units)`, in a toy repository of which each planted slowdown is a commit: it does that
much more of the same work. Each tool sees it in its own way:

- ours: `bench compare --a 'python command.py' --b ...`, CPU seconds of whole processes, --effect;
- hyperfine: the same two commands, its own choice of runs; an alarm is a ratio of its means above 1 + effect;
- asv: `asv continuous --factor 1 + effect` of the two commits; an alarm is its list of worse benchmarks;
- pytest-benchmark: base saved, then head by `--benchmark-compare-fail=mean:N%` with the effect; and with 5 %, from the
  same two files, for that is what its manual shows.

Trials go round all tools and slowdowns in random order. A tool that is not installed is named and left out. Seconds are
wall time of all that the tool does for one verdict, with its starts, without building asv's environments. Slowdowns are
of the work; whole processes also start an interpreter, which is a twentieth here. --show prints the table of
verdicts that --json has written, and tries nothing.

Exit codes: 0 printed, 2 bad input, 3 a tool could not be run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.statistics.intervals import proportion_interval

WORK = """
UNITS = {units}

def work(units=UNITS):
    total = 0
    for seed in range(units):
        words = {{f"w{{(seed * number) % 97}}": number for number in range(40)}}
        total += sum(words[word] for word in sorted(words) if word[-1] != "7")
    return total
"""
COMMAND = "import sys; sys.path.insert(0, sys.argv[1]); import toy\nfor _ in range(12): toy.work()\n"
TEST = "import toy\ndef test_work(benchmark):\n    benchmark(toy.work)\n"
SUITE = "import toy\nclass Work:\n    def time_work(self):\n        toy.work()\n"
UNITS = 1000
COPY = "python -c \"import shutil, sysconfig; shutil.copy('{build_dir}/toy.py', sysconfig.get_path('purelib'))\""
ASV = {
    "version": 1,
    "project": "toy",
    "repo": ".",
    "branches": ["HEAD"],
    "environment_type": "virtualenv",
    "build_command": [],
    "install_command": [COPY],
    "uninstall_command": [],
    "benchmark_dir": "suite",
    "env_dir": ".asv/env",
    "results_dir": ".asv/results",
}
TIMEOUT_S = 600


class CouldNotRun(Exception):
    """One line for the user."""


@dataclass
class Toy:
    """The repository: a commit, and a checked-out copy, for base (None) and for each planted slowdown."""

    folder: Path
    effect: float
    commits: dict[float | None, str] = field(default_factory=dict)

    def copy(self, planted: float | None) -> Path:
        """Return the folder with toy.py of a commit."""
        return self.folder / "copies" / str(planted)

    def command(self, planted: float | None) -> str:
        """Return the command that works in a process of its own."""
        return f"{sys.executable} -s -S {self.folder / 'command.py'} {self.copy(planted)}"


def make_toy(folder: Path, planted: list[float], effect: float) -> Toy:
    """Commit base and every slowdown of it."""
    toy = Toy(folder, effect)
    repository = folder / "repository"
    for name, text in {"suite/__init__.py": "", "suite/working.py": SUITE, "asv.conf.json": json.dumps(ASV)}.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "command.py").write_text(COMMAND)
    run(["git", "init", "-q"], repository)
    for slowdown in (None, *planted):
        text = WORK.format(units=round(UNITS * (1 + (slowdown or 0)))) + f"# {slowdown}\n"
        (repository / "toy.py").write_text(text)
        toy.copy(slowdown).mkdir(parents=True)
        (toy.copy(slowdown) / "toy.py").write_text(text)
        (toy.copy(slowdown) / "test_toy.py").write_text(TEST)
        run(["git", "add", "-A"], repository)
        run(
            ["git", "-c", "user.name=toy", "-c", "user.email=toy@localhost", "commit", "-qm", str(slowdown)], repository
        )
        toy.commits[slowdown] = run(["git", "rev-parse", "HEAD"], repository).stdout.strip()
    return toy


def run(command: list[str], cwd: Path, accepted: tuple[int, ...] = (0,), **variables: str) -> Any:
    """Run a command to its end.

    Raises:
        CouldNotRun: it is not there, takes too long or leaves with a code that is none of `accepted`.
    """
    # pytest-benchmark measures nothing where it takes itself for a worker of pytest-xdist.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment = {**inherited, **variables}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CouldNotRun(f"{command[0]}: {error}") from error
    if done.returncode not in accepted:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise CouldNotRun(f"{' '.join(command[:4])} ... left with {done.returncode}: {''.join(last)}")
    return done


def ours(toy: Toy, planted: float) -> dict[str, bool]:
    """Judge by bench compare."""
    sides = ["--a", toy.command(None), "--b", toy.command(planted)]
    flags = ["--metric", "cpu_s", "--effect", str(toy.effect), "--out", str(toy.folder / "compare")]
    done = run([sys.executable, "-m", "bench_harness", "compare", *sides, *flags], toy.folder, (0, 1, 4))
    return {"bench compare": done.returncode == 1}


def hyperfine(toy: Toy, planted: float) -> dict[str, bool]:
    """Judge by the ratio of hyperfine's means."""
    out = toy.folder / "hyperfine.json"
    run(["hyperfine", "-N", "--export-json", str(out), toy.command(None), toy.command(planted)], toy.folder)
    base, head = (result["mean"] for result in json.loads(out.read_text())["results"])
    return {f"hyperfine, means beyond {percent(toy.effect)}": head / base > 1 + toy.effect}


def asv(toy: Toy, planted: float) -> dict[str, bool]:
    """Judge by asv continuous."""
    factor = str(1 + toy.effect)
    command = [sys.executable, "-m", "asv", "continuous", "--factor", factor, toy.commits[None], toy.commits[planted]]
    done = run(command, toy.folder / "repository", (0, 1))
    if "time_work" not in done.stdout + done.stderr:
        raise CouldNotRun(f"asv measured nothing: {done.stdout.strip().splitlines()[-1:]}")
    return {f"asv continuous --factor {factor}": "PERFORMANCE DECREASED" in done.stdout}


def pytest_benchmark(toy: Toy, planted: float) -> dict[str, bool]:
    """Judge by pytest-benchmark."""
    storage = toy.folder / "storage"
    shutil.rmtree(storage, ignore_errors=True)
    common = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--benchmark-storage=file://{storage}"]
    run([*common, "--benchmark-save=base"], toy.copy(None))
    fail = f"--benchmark-compare-fail=mean:{percent(toy.effect, '')}%"
    done = run([*common, "--benchmark-save=head", "--benchmark-compare=0001", fail], toy.copy(planted), (0, 1))
    base, head = (
        json.loads(next(storage.glob(f"*/*_{name}.json")).read_text())["benchmarks"][0]["stats"]["mean"]
        for name in ("base", "head")
    )
    alarm = done.returncode == 1
    if alarm and "Performance has regressed" not in done.stdout + done.stderr:
        raise CouldNotRun(f"pytest failed for another reason: {done.stdout.strip().splitlines()[-1:]}")
    found = {f"pytest-benchmark mean:{percent(toy.effect, '')}%": alarm}
    return found | {"pytest-benchmark mean:5%": head / base > 1.05}


TOOLS: dict[str, tuple[Callable[[Toy, float], dict[str, bool]], Callable[[], bool]]] = {
    "ours": (ours, lambda: True),
    "hyperfine": (hyperfine, lambda: shutil.which("hyperfine") is not None),
    "asv": (asv, lambda: importlib.util.find_spec("asv") is not None),
    "pytest-benchmark": (pytest_benchmark, lambda: importlib.util.find_spec("pytest_benchmark") is not None),
}


def percent(share: float, sign: str = " %") -> str:
    """Return 0.05 as "5 %"."""
    return f"{100 * share:g}{sign}"


def main(arguments: list[str]) -> int:
    """Try, print, keep."""
    parser = argparse.ArgumentParser(description="Verdicts of other tools and ours on the same planted pairs.")
    parser.add_argument("--trials", type=int, default=3, help="of each tool and slowdown (default: 3)")
    parser.add_argument("--planted", type=float, nargs="+", default=[0.0, 0.05, 0.10], help="default: 0 0.05 0.10")
    parser.add_argument("--effect", type=float, default=0.02, help="what each tool is told matters (default: 0.02)")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every verdict here")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the table of what --json has written, only")
    options = parser.parse_args(arguments)
    if options.trials < 1 or not 0 < options.effect < 1 or not all(0 <= each < 10 for each in options.planted):
        parser.error(
            "--trials takes 1 or more, --effect a fraction such as 0.02, --planted 0 or fractions such as 0.05"
        )
    if options.show:
        try:
            verdicts = kept(options.show)
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f"--show {options.show}: not what --json writes: {error}")
        print_table(verdicts)
        return 0
    missing = [name for name in options.tools if not TOOLS[name][1]()]
    for name in missing:
        print(f"{name}: not installed, left out", file=sys.stderr)
    tools = [name for name in options.tools if name not in missing]
    with tempfile.TemporaryDirectory(prefix="verdict-peers-") as folder:
        toy = make_toy(Path(folder), options.planted, options.effect)
        if "asv" in tools:
            prepare_asv(toy, options.planted)
        verdicts = tried(toy, tools, options)
    if options.json:
        # What was asked for, not the command line: that names files of this machine.
        asked = {name: getattr(options, name) for name in ("trials", "planted", "effect", "seed")}
        options.json.write_text(json.dumps({**asked, "verdicts": verdicts}, indent=1) + "\n")
    print_table(verdicts)
    return 0


def kept(path: Path) -> list[dict[str, Any]]:
    """Return the verdicts that --json wrote.

    Raises:
        OSError, ValueError, KeyError, TypeError: it is not such a file.
    """
    verdicts = json.loads(path.read_text())["verdicts"]
    return [{name: each[name] for name in ("rule", "planted", "alarm", "wall_s")} for each in verdicts]


def prepare_asv(toy: Toy, planted: list[float]) -> None:
    """Make asv's environment, which is part of no verdict's seconds."""
    repository = toy.folder / "repository"
    run([sys.executable, "-m", "asv", "machine", "--yes"], repository, HOME=str(toy.folder))
    os.environ["HOME"] = str(toy.folder)
    run([sys.executable, "-m", "asv", "run", "--quick", f"{toy.commits[None]}^!"], repository)


def tried(toy: Toy, tools: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return every verdict, with its seconds."""
    turns = [(name, planted) for name in tools for planted in options.planted for _ in range(options.trials)]
    random.Random(options.seed).shuffle(turns)
    verdicts = []
    for number, (name, planted) in enumerate(turns, start=1):
        begin_s = time.monotonic()
        found = TOOLS[name][0](toy, planted)
        wall_s = time.monotonic() - begin_s
        print(f"{number} of {len(turns)}: {name}, planted {percent(planted)}: {found}, {wall_s:.1f} s", file=sys.stderr)
        verdicts += [
            {"rule": rule, "planted": planted, "alarm": alarm, "wall_s": wall_s} for rule, alarm in found.items()
        ]
    return verdicts


def print_table(verdicts: list[dict[str, Any]]) -> None:
    """Print a Markdown table: per rule and slowdown how many alarms, with 95 % Clopper-Pearson bounds."""
    planted = sorted({each["planted"] for each in verdicts})
    columns = [f"{'false alarms' if not each else 'found'} at {percent(each)}" for each in planted]
    print(f"| rule | {' | '.join(columns)} | seconds (median) |\n|{' --- |' * (len(columns) + 2)}")
    for rule in dict.fromkeys(each["rule"] for each in verdicts):
        of_rule = [each for each in verdicts if each["rule"] == rule]
        cells = [counted([each["alarm"] for each in of_rule if each["planted"] == slowdown]) for slowdown in planted]
        seconds = statistics.median(each["wall_s"] for each in of_rule)
        print(f"| {rule} | {' | '.join(cells)} | {seconds:.1f} |")


def counted(alarms: list[bool]) -> str:
    """Return "3 of 3 [29, 100] %"."""
    span = proportion_interval(sum(alarms), len(alarms), 0.95)
    return f"{sum(alarms)} of {len(alarms)} [{100 * span.low:.0f}, {100 * span.high:.0f}] %"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CouldNotRun as problem:
        print(f"verdict_peers: {problem}", file=sys.stderr)
        sys.exit(3)

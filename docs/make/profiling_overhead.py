"""Measure what `bench profile` costs a program, by engine, `bench memory` (the engine "memory"), and TraceML beside.

    python docs/make/profiling_overhead.py [--rounds 15] [--batches 500] [--engines none py-spy pyinstrument cprofile]
                                           [--traceml PATH/TO/traceml] [--apart] [--json FILE]

What is measured, and how: benchmarks/profiling_overhead.py: the CPU time of the loop, of each run beside a plain one on
the same core; with --apart wall seconds too, and those of whole commands, of runs one after another. With --traceml the
script also runs under `traceml run`: as it is, when TraceML counts no steps, and with traceml.trace_step around each
step, as its quick start says. Both are compared with plain runs by the Python beside that command. Exit codes: 0
printed, 2 bad input, 3 could not measure.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import runpy
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import profiling_overhead as overhead

BEGIN, LOOP = "    begin_s, begin_cpu_s", "    for layers, counts in loader:\n"
TRACEML, TRACEML_STEPS, TRACEML_PLAIN = "traceml, no steps", "traceml, trace_step", "plain, its Python"


class BadInput(Exception):
    """One line for the user."""


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(description="Measure what bench profile costs a program, by engine.")
    parser.add_argument("--rounds", type=int, default=overhead.LONG.rounds)
    parser.add_argument("--batches", type=int, default=overhead.LONG.batches, help="of each run")
    parser.add_argument(
        "--engines", nargs="+", default=overhead.ENGINES, choices=[*overhead.ENGINES, "monitoring", "memory"]
    )
    parser.add_argument("--traceml", type=Path, metavar="COMMAND", help="the command traceml, to measure it too")
    parser.add_argument("--apart", action="store_true", help="run one after another, and measure wall seconds too")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the seconds of all runs and the ratios here")
    options = parser.parse_args(arguments)
    for name, least in (("rounds", 1), ("batches", 2)):
        if getattr(options, name) < least:
            raise BadInput(f"--{name} must be at least {least}, not {getattr(options, name)}")
    if options.traceml and not options.traceml.is_file():
        raise BadInput(f"--traceml: there is no {options.traceml}; it is the command in the bin of its environment")
    if not options.apart and not overhead.can_be_abreast():
        raise BadInput("two runs cannot be kept on one core here; add --apart")
    missing = [engine for engine in options.engines if not overhead.is_installed(engine)]
    if missing:
        raise BadInput(f"{', '.join(missing)}: not installed; pip install 'bench_harness[sampling]', or give --engines")
    return options


def traced(script: str) -> str:
    """Return a script with TraceML around each of its steps, set up before the clock starts."""
    head, loop, rest = script.partition(LOOP)
    body, end, tail = rest.partition("    print(")
    if not end or BEGIN not in head:
        raise BadInput(f"{overhead.SCRIPT} has no such loop any more: change BEGIN and LOOP here")
    head = head.replace("import torch\n", "import torch\nimport traceml_ai as traceml\n", 1)
    head = head.replace(BEGIN, f'    traceml.init(mode="auto")\n{BEGIN}')
    step = "        with traceml.trace_step(model):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    return head + loop + step + end + tail


def calls_per_cpu_s(examples: int = 200) -> float:
    """Return how many calls the data set makes per second of CPU: the overhead of counting them depends on it."""
    balls = runpy.run_path(str(overhead.SCRIPT))["Balls"](examples)
    begin_s = time.process_time()
    for index in range(examples):
        balls[index]
    plain_s = time.process_time() - begin_s
    profile = cProfile.Profile()
    profile.runcall(lambda: [balls[index] for index in range(examples)])
    return sum(entry.callcount for entry in profile.getstats()) / plain_s


def measure(options: argparse.Namespace, folder: Path) -> overhead.Rounds:
    """Measure all that is asked for."""
    contenders = {overhead.PLAIN: [sys.executable]}
    contenders |= {engine: overhead.profiled(engine) for engine in options.engines}
    scripts: dict[str, Path] = {}
    bases: dict[str, str] = {}
    if options.traceml:
        command = options.traceml.absolute()
        scripts[TRACEML_STEPS] = folder / "traced_loop.py"
        scripts[TRACEML_STEPS].write_text(traced(overhead.SCRIPT.read_text()))
        contenders[TRACEML_PLAIN] = [str(command.with_name("python"))]
        run = [str(command), "run", "--mode", "summary", "--no-save-training-output"]
        contenders |= {TRACEML: run, TRACEML_STEPS: run}
        bases = {TRACEML: TRACEML_PLAIN, TRACEML_STEPS: TRACEML_PLAIN}
    amount = overhead.Amount(options.rounds, options.batches)

    def progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    return overhead.measure(
        contenders,
        amount,
        seed=options.seed,
        scripts=scripts,
        bases=bases,
        abreast=not options.apart,
        progress=progress,
    )


def document(rounds: overhead.Rounds, abreast: bool) -> dict[str, object]:
    """Return everything that was measured, for programs."""
    ratios = {
        name: {clock: overhead.ratio(rounds, name, clock)._asdict() for clock in overhead.clocks(abreast)}
        for name in rounds[0]
    }
    seconds = [
        {name: {"own": pair.own._asdict(), "base": pair.base._asdict()} for name, pair in taken.items()}
        for taken in rounds
    ]
    return {"abreast": abreast, "rounds": seconds, "ratios": ratios}


def main(arguments: list[str]) -> int:
    """Measure and print; return the exit code."""
    try:
        options = parsed(arguments)
        with tempfile.TemporaryDirectory() as folder:
            rounds = measure(options, Path(folder))
    except BadInput as error:
        print(f"profiling_overhead.py: {error}", file=sys.stderr)
        return 2
    except overhead.FailedRun as error:
        print(f"profiling_overhead.py: {error}", file=sys.stderr)
        return 3
    print(overhead.table(rounds, not options.apart))
    if {"none", "memory"} <= set(options.engines):
        looks = overhead.ratio(rounds, "memory", "cpu", over="none")
        told = f"{looks.mean:.3f} [{looks.low:.3f}, {looks.high:.3f}]"
        print(f"memory over none, CPU of the loop: {told}: without the hooks")
    print(f"the data set makes {calls_per_cpu_s() / 1e6:.1f} million calls per CPU second")
    if options.json:
        options.json.write_text(json.dumps(document(rounds, not options.apart), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

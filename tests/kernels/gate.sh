#!/usr/bin/env bash
# Has a kernel become slower? tests/kernels/gate.sh BASE_PYTHON HEAD_PYTHON [RUNS]
#
# Each Python has a bench_core installed, pytest and pytest-benchmark. The sides are timed in turns, RUNS (5) processes
# each, and judged by `bench compare --pytest`, whose exit code this is. The suite is the one beside this file for both.
set -euo pipefail

base=$1 head=$2 runs=${3:-5}
kernels=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-build/kernel-gate}
mkdir -p "$out"
rm -f "$out"/base-*.json "$out"/head-*.json
for run in $(seq "$runs"); do
    for side in base head; do
        python=${!side}
        "$python" -m pytest -c "$kernels/gate.ini" --noconftest "$kernels" --benchmark-json="$out/$side-$run.json" > "$out/$side.log" 2>&1 ||
            { cat "$out/$side.log" >&2; exit 3; }
    done
done
bench compare --pytest "$out/base-*.json" "$out/head-*.json" --effect 5% --out "$out/compare"

# make venv | bench | test | asv RANGE=... | clean
# Needs Python >= 3.10, a C compiler, make and git. uv is used where it is installed, else pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
UV := $(shell command -v uv 2>/dev/null)

# The user's own pip configuration reaches uv too, which reads none of pip's.
UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_FIND_LINKS
# Index URL that serves a CPU build of torch, for Linux machines without a GPU: make venv TORCH_INDEX=...
TORCH_INDEX ?=
TORCH := $(shell sed -n 's/^loader = \["\(torch==[^"]*\)"\]/\1/p' pyproject.toml)
# Without bytecode every process compiles torch anew on import, which doubles the time of short benchmarks.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

ifeq ($(UV),)
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check
NEW_VENV := $(PYTHON) -m venv $(VENV)
else
INSTALL := $(UV) pip install --quiet --python $(PY)
NEW_VENV := $(UV) venv --quiet --seed --allow-existing --python $(PYTHON) $(VENV)
endif
INDEX := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),)

# What asv installs into its environments comes through pip; these reach it by the environment.
ifneq ($(TORCH_INDEX),)
export PIP_EXTRA_INDEX_URL := $(TORCH_INDEX) $(PIP_EXTRA_INDEX_URL)
endif

HASH := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo nogit)
MACHINE := $(shell uname -n | tr -c 'A-Za-z0-9._\n-' '-')
# asv and bench_harness file results under this name; asv alone would take the only one it knows, whatever it is.
export BENCH_MACHINE ?= $(MACHINE)
ifndef RUN
RUN := profiles/bench/$(shell date -u +%Y%m%dT%H%M%SZ)-$(HASH)-$(BENCH_MACHINE)
endif
# The store that `make bench` measures: prepared beside the environment, not in the user's cache.
export BENCH_CORE_DATA ?= $(CURDIR)/$(VENV)/data

.PHONY: help venv test lint types contracts pytest bench asv clean
help:
	@echo "make venv     install everything into $(VENV)"
	@echo "make bench    measure this commit: images, examples, loader, memory per worker (under 6 minutes)"
	@echo "make test     lint, types, import contracts, tests"
	@echo "make asv RANGE=main~3..main    measure those commits; RANGE=landmarks: those of the committed history"
	@echo "make clean    remove the environment and everything that was built"

venv: $(VENV)/.installed

# Two stamps: an edit of the C sources rebuilds the extension without resolving every dependency again.
$(VENV)/.dependencies: pyproject.toml bench_harness/pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10) and f'$(PYTHON) is {sys.version.split()[0]}: Python 3.10 or newer is needed; make venv PYTHON=...')"
	test -x $(PY) || $(NEW_VENV)
	$(INSTALL) $(INDEX) "$(TORCH)"
	$(INSTALL) "setuptools>=77" "cffi>=1.17" wheel
	$(INSTALL) --no-build-isolation -e ".[dev]" -e "./bench_harness[dev]"
	@$(PY) -c "import torch; cuda = torch.version.cuda; print(f'note: torch {torch.__version__} is a CUDA build (CUDA {cuda}): gigabytes that a machine without a GPU does not need; make clean, then make venv TORCH_INDEX=<an index of CPU builds>' if cuda else f'torch {torch.__version__}, CPU build')"
	touch $@

$(VENV)/.installed: $(VENV)/.dependencies setup.py MANIFEST.in $(wildcard csrc/*)
	$(INSTALL) --no-build-isolation --no-deps -e . -e ./bench_harness
	touch $@

test: lint types contracts pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy

contracts: venv
	$(BIN)/lint-imports

pytest: venv
	$(BIN)/python -m pytest

# The steps of one quick look at this commit; `bench summary` gathers what they left, and says what is missing.
# Few samples each: enough for a look, not for a verdict. (asv's own --quick runs everything once, cold: a function of
# microseconds would show its first call.)
BENCH_OPTIONS ?=
LOOK := --attribute rounds=1 --attribute repeat=3 --attribute warmup_time=0.02 --show-stderr
bench: venv
	mkdir -p $(RUN)/memray
	$(PY) -m bench_core prepare
	$(PY) -m bench_core load --workers 0 --batches 100 --json > $(RUN)/load-0-workers.json
	$(PY) -m bench_core load --workers 2 --batches 400 --json > $(RUN)/load-2-workers.json
	$(PY) -m memray run --quiet --follow-fork --force -o $(RUN)/memray/load.bin -m bench_core load --workers 2 --batches 20
	$(BIN)/asv machine --yes --machine $(BENCH_MACHINE) > $(RUN)/asv.log
	@echo "asv: every benchmark of this commit, a few minutes; $(RUN)/asv.log grows meanwhile"
	$(BIN)/asv run $(LOOK) --machine $(BENCH_MACHINE) --environment existing:$(CURDIR)/$(PY) --set-commit-hash $$(git rev-parse HEAD) $(BENCH_OPTIONS) \
	    >> $(RUN)/asv.log || echo "asv: some benchmarks failed, see $(RUN)/asv.log"
	$(BIN)/bench summary $(RUN)

# asv builds each commit of RANGE into an environment of its own; RANGE=landmarks measures the commits of the history
# that is committed under profiles/asv. Measured on 2 cores: 2 minutes for the environment, 4 for each commit.
RANGE ?= HEAD^!
ASV_OPTIONS ?= --skip-existing-successful
ASV_RANGE = $(if $(filter landmarks,$(RANGE)),HASHFILE:profiles/asv/landmarks.txt,$(RANGE))
COMMITS = $(if $(filter landmarks,$(RANGE)),grep -c . profiles/asv/landmarks.txt,git rev-list --count $(RANGE))
asv: venv
	@if [ "$$(git rev-parse --is-shallow-repository)" = true ]; then \
	    echo "asv: this is a shallow clone, older commits are not in it: run \`git fetch --unshallow\` first" >&2; exit 2; fi
	@n=$$($(COMMITS)) || exit 2; echo "asv: $$n commits in $(RANGE): expect about $$((2 + 4 * n)) minutes"
	$(BIN)/asv machine --yes --machine $(BENCH_MACHINE)
	$(BIN)/asv run $(ASV_OPTIONS) --machine $(BENCH_MACHINE) "$(ASV_RANGE)"

clean:
	rm -rf $(VENV) .asv build dist *.egg-info bench_harness/*.egg-info bench_harness/build
	rm -f bench_core/*.so

# make venv | bench | memray | test | sanitize | fuzz | asv RANGE=... | clean
# Needs Python >= 3.10, a C compiler, make and git. uv is used where it is installed, else pip.

PYTHON ?= python3
# A relative folder, or an absolute one without blanks in its name: make cannot hold a target with one.
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
UV := $(shell command -v uv 2>/dev/null)
# The folder of the checkout may have blanks in its name: what holds it is quoted, and never a target.
ABSOLUTE_VENV := $(if $(filter /%,$(VENV)),,$(CURDIR)/)$(VENV)
# The store that `make bench` measures: beside the environment, not the user's own.
DATA := $(ABSOLUTE_VENV)/data

# Index URL that serves a CPU build of torch, for Linux machines without a GPU: make venv TORCH_INDEX=...
# Remembered in the environment: `make asv` installs torch too, days later.
ifeq ($(origin TORCH_INDEX),undefined)
TORCH_INDEX := $(shell cat "$(VENV)/.torch-index" 2>/dev/null)
endif
TORCH := $(shell sed -n 's/^loader = \["\(torch==[^"]*\)"\]/\1/p' pyproject.toml)
# The stock backend of the models, without its dependencies: py3nj wants a Fortran compiler, lie_learn NumPy 1.
ESCNN := escnn==1.0.11
# Without bytecode every process compiles torch anew on import, which doubles the time of short benchmarks.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

ifeq ($(UV),)
INSTALL := "$(PY)" -m pip install --quiet --disable-pip-version-check
NEW_VENV := "$(PYTHON)" -m venv "$(VENV)"
INDEX := $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)")
else
INSTALL := "$(UV)" pip install --quiet --python "$(PY)"
NEW_VENV := "$(UV)" venv --quiet --seed --allow-existing --python "$(PYTHON)" "$(VENV)"
# As pip does: the best version of all indexes. uv by itself stops at the first that has a torch, of whatever build.
INDEX := $(if $(TORCH_INDEX),--default-index "$(TORCH_INDEX)" --index-strategy unsafe-best-match)
# The user's settings of pip reach uv, which reads none of them: the environment variables, that is, not pip.conf.
# uv's own variables win where they are set.
comma := ,
empty :=
space := $(empty) $(empty)
ifneq ($(PIP_FIND_LINKS),)
export UV_FIND_LINKS ?= $(subst $(space),$(comma),$(strip $(PIP_FIND_LINKS)))
endif
ifneq ($(PIP_INDEX_URL),)
export UV_INDEX_URL ?= $(PIP_INDEX_URL)
endif
# Expanded here, before the index of torch is added below: uv would take from there whatever else it serves.
EXTRA_INDEXES := $(strip $(PIP_EXTRA_INDEX_URL))
ifneq ($(EXTRA_INDEXES),)
export UV_EXTRA_INDEX_URL ?= $(EXTRA_INDEXES)
endif
ifneq ($(PIP_CERT),)
export SSL_CERT_FILE ?= $(PIP_CERT)
endif
endif

# What asv installs into its environments comes through pip; the index reaches it by the environment.
ifneq ($(TORCH_INDEX),)
export PIP_EXTRA_INDEX_URL := $(TORCH_INDEX) $(PIP_EXTRA_INDEX_URL)
endif

# Empty outside a checkout, before its first commit, and in a folder of somebody else's checkout.
HASH := $(shell [ -z "$$(git rev-parse --show-prefix 2>/dev/null)" ] && git rev-parse --verify -q --short=12 HEAD 2>/dev/null)
ifeq ($(HASH),)
ifneq ($(filter bench memray asv,$(MAKECMDGOALS)),)
$(error this is no git checkout with a commit (`git log -1` says why), and results are filed under commits: clone the repository)
endif
endif
# asv writes benchmarks.json below profiles/: that alone does not change what is measured.
DIRTY := $(if $(shell git status --porcelain --untracked-files=no -- . ':!profiles' 2>/dev/null),-dirty)
MACHINE := $(shell uname -n | tr -c 'A-Za-z0-9._\n-' '-')
# asv and bench_harness file results under this name; asv alone would take the only one it knows, whatever it is.
# `make bench` measures the working tree: edits that are not committed must not pass for the commit they started from.
# `make asv` builds each commit from git.
ASV_MACHINE := $(or $(BENCH_MACHINE),$(MACHINE))
export BENCH_MACHINE := $(or $(BENCH_MACHINE),$(MACHINE)$(DIRTY))
ifndef RUN
RUN := profiles/bench/$(shell date -u +%Y%m%dT%H%M%SZ)-$(HASH)-$(BENCH_MACHINE)
endif

.PHONY: help venv test lint types contracts pytest bench memray asv clean gone
help:
	@echo "make venv     install everything into $(VENV)"
	@echo "make bench    measure this commit: images, examples, loader, memory per worker (under 6 minutes)"
	@echo "make memray   what the loader allocates: per process, and counted over commits; its limits (a minute)"
	@echo "make test     lint, types, import contracts, tests"
	@echo "make sanitize the C code without Python under ASan and UBSan, on every kernel (under a minute)"
	@echo "make fuzz     libFuzzer on the C code for FUZZ_SECONDS (60); needs clang"
	@echo "make asv RANGE=main~3..main    measure those commits; RANGE=landmarks: those of the committed history"
	@echo "make clean    remove the environment and everything that was built"

venv: $(VENV)/.installed

# Three stamps. This one is touched only where the environment's own Python and pip answer: one that an interrupt, a
# missing package or an upgrade of the system's Python left unusable is made anew, or named.
RECENT := -c 'import sys; sys.exit(sys.version_info < (3, 10))'
USABLE := { "$(PY)" $(RECENT) && "$(PY)" -m pip --version; } >/dev/null 2>&1
$(VENV)/.python: $(shell test -x "$(PY)" || echo gone)
	@if $(USABLE); then touch "$@"; exit; fi; \
	"$(PYTHON)" $(RECENT) || { echo "$(PYTHON) is not Python 3.10 or newer: make venv PYTHON=..." >&2; exit 2; }; \
	if [ -e "$(VENV)/pyvenv.cfg" ]; then \
	    echo "$(VENV) is half-made, or of an older Python: removed and made anew" >&2; rm -rf "$(VENV)"; \
	elif [ -n "$$(ls -A "$(VENV)" 2>/dev/null)" ]; then \
	    echo "$(VENV) is in the way, and no virtual environment: move it, or make clean" >&2; exit 2; fi; \
	$(NEW_VENV); $(USABLE) || { rm -rf "$(VENV)"; \
	    echo "$(PYTHON) made no environment with pip, removed (Debian, Ubuntu: install python3-venv)" >&2; exit 2; }; \
	touch "$@"

$(VENV)/.dependencies: $(VENV)/.python pyproject.toml bench_harness/pyproject.toml
	$(INSTALL) $(INDEX) "$(TORCH)"
	$(INSTALL) "setuptools>=77" "cffi>=1.17" wheel
	$(INSTALL) --no-build-isolation -e ".[dev]" -e "./bench_harness[dev]"
	$(INSTALL) --no-deps "$(ESCNN)"
	@"$(PY)" -c "import torch; cuda = torch.version.cuda; print(f'note: torch {torch.__version__} is a CUDA build (CUDA {cuda}): gigabytes that a machine without a GPU does not need; make clean, then make venv TORCH_INDEX=<an index of CPU builds>' if cuda else f'torch {torch.__version__}, CPU build')"
	@$(if $(TORCH_INDEX),echo "$(TORCH_INDEX)" >,rm -f) "$(VENV)/.torch-index"
	touch "$@"

# An edit of the C sources rebuilds the extension without resolving every dependency again.
$(VENV)/.installed: $(VENV)/.dependencies setup.py MANIFEST.in $(wildcard csrc/*) $(wildcard bench_harness/_c*.[ch])
	$(INSTALL) --no-build-isolation --no-deps -e . -e ./bench_harness
	touch "$@"

test: lint types contracts pytest

lint: venv
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .

types: venv
	"$(BIN)/mypy"

contracts: venv
	"$(BIN)/lint-imports"

# In two processes, a file of tests in one of them, in the order of pyproject.toml: the longest files come first.
# `make pytest PYTEST_OPTIONS=` runs all tests in one process, `.venv/bin/python -m pytest tests/...` those of some files.
PYTEST_OPTIONS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder
pytest: venv
	"$(PY)" -m pytest $(PYTEST_OPTIONS)

# The steps of one quick look at this commit; `bench summary` gathers what they left, and says what is missing.
# One round of samples in place of two: enough for a look, not for a verdict. (asv's own --quick runs everything once,
# cold: a function of microseconds would show its first call.)
BENCH_OPTIONS ?=
LOOK := --attribute rounds=1 --show-stderr
ASV_LOG := $(RUN)/asv.log
# asv exits with 2 where some benchmarks failed, and with 2 for a wrong option too.
SOME_FAILED := [ $$code -eq 2 ] && ! grep -q "^usage: asv" "$(ASV_LOG)"
# Never --aggregate: it loses the files of forked workers.
CAPTURE = "$(PY)" -m memray run --quiet --follow-fork --force -o "$(RUN)/memray/load.bin" -m bench_core load --data "$(DATA)" --workers 2 --batches 20
bench: venv
	mkdir -p "$(RUN)/memray"
	"$(PY)" -m bench_core prepare --out "$(DATA)"
	"$(PY)" -m bench_core load --data "$(DATA)" --workers 0 --batches 100 --json > "$(RUN)/load-0-workers.json"
	"$(PY)" -m bench_core load --data "$(DATA)" --workers 2 --batches 400 --json > "$(RUN)/load-2-workers.json"
	$(CAPTURE)
	"$(PY)" -m asv machine --yes --machine "$(BENCH_MACHINE)" > "$(ASV_LOG)"
	@echo "asv: every benchmark of this commit, a few minutes; $(ASV_LOG) grows meanwhile"
	@code=0; \
	"$(PY)" -m asv run $(LOOK) --machine "$(BENCH_MACHINE)" --environment "existing:$(ABSOLUTE_VENV)/bin/python" \
	    --set-commit-hash "$$(git rev-parse HEAD)" $(BENCH_OPTIONS) >> "$(ASV_LOG)" 2>&1 || code=$$?; \
	if $(SOME_FAILED); then echo "asv: some benchmarks failed, see $(ASV_LOG)" >&2; code=0; fi; \
	"$(BIN)/bench" summary "$(RUN)" || exit; \
	if [ $$code -ne 0 ]; then echo "asv measured nothing: $$(grep . "$(ASV_LOG)" | tail -n 1)" >&2; exit 3; fi

# The counts and the limits fail or change only where the code does: no quiet machine is needed for them.
COUNTS := ^(allocations|worker_memory.Allocations)\.
memray: venv
	mkdir -p "$(RUN)/memray"
	"$(PY)" -m bench_core prepare --out "$(DATA)"
	$(CAPTURE)
	"$(PY)" -m asv machine --yes --machine "$(BENCH_MACHINE)"
	"$(PY)" -m asv run $(LOOK) --machine "$(BENCH_MACHINE)" --environment "existing:$(ABSOLUTE_VENV)/bin/python" \
	    --set-commit-hash "$$(git rev-parse HEAD)" --bench '$(COUNTS)'
	"$(PY)" -m pytest tests/bench_core/test_loader_memory.py
	"$(BIN)/bench" summary "$(RUN)"

# asv builds each commit of RANGE into an environment of its own; RANGE=landmarks measures the commits of the history
# that is committed under profiles/asv. Measured on 2 cores: a minute for the environment, 4 for each commit, more for
# the naive ones. Like asv, count along first parents; of its keywords (ALL, NEW, HASHFILE:...) git knows no number.
RANGE ?= HEAD^!
ASV_OPTIONS ?= --skip-existing-successful
LANDMARKS := profiles/asv/landmarks.txt
ASV_RANGE = $(if $(filter landmarks,$(RANGE)),HASHFILE:$(LANDMARKS),$(RANGE))
COUNT_landmarks := grep -c . $(LANDMARKS)
COUNT_HEAD := echo 1
COUNT = $(or $(COUNT_$(RANGE)),git rev-list --count --first-parent "$(RANGE)" --)
asv: venv
	@if [ "$$(git rev-parse --is-shallow-repository)" = true ]; then \
	    echo "asv: this is a shallow clone, older commits are not in it: run \`git fetch --unshallow\` first" >&2; exit 2; fi
	@if n=$$($(COUNT) 2>/dev/null); then echo "asv: $$n commits in $(RANGE): expect about $$((1 + 4 * n)) minutes"; \
	else echo "asv: unknown number of commits in $(RANGE): expect about 1 minute, and 4 for each"; fi
	"$(PY)" -m asv machine --yes --machine "$(ASV_MACHINE)"
	"$(PY)" -m asv run $(ASV_OPTIONS) --machine "$(ASV_MACHINE)" "$(ASV_RANGE)"

include tests/csrc/sanitize.mk

clean:
	rm -rf "$(VENV)" .asv build dist *.egg-info bench_harness/*.egg-info bench_harness/build
	rm -f bench_core/*.so bench_harness/*.so

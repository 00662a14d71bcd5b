# `make help` lists the targets. Every target that needs the environment makes it first.

PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin
STAMP := .venv/.installed
MAKING := .venv/.making

# The tests start many interpreters: what one has compiled is there for the next.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help install test test-all test-matrix test-faults test-tracking test-slurm test-ray test-gpu check demo docs pages bench bench-gpu clean

help:
	@echo 'make install    .venv with aetl (editable), its tools, and the tested versions'
	@echo 'make test       the default tests (JOBS=2 processes)'
	@echo 'make test-all   the slow tests too'
	@echo 'make test-matrix every autoencoder on every backbone, every strategy, one process and two (10 minutes)'
	@echo 'make test-faults 200 interruptions and 300 damages of runs and sweeps (20 minutes)'
	@echo 'make test-tracking the real W&B client, sent to a stand-in server (3 minutes)'
	@echo 'make test-slurm a multirun over a real Slurm on loopback (root installs it where it is missing)'
	@echo 'make test-ray   the launcher for Ray, in an environment beside .venv'
	@echo 'make test-gpu   what a GPU alone can show; a line where there is none (10 minutes)'
	@echo 'make check      ruff, mypy, import-linter'
	@echo 'make demo       a multirun on digits, its comparison and its report'
	@echo 'make docs       a site of README, guides and all config groups, in build/docs/site'
	@echo 'make pages      pages of small real runs, looked at and pressed in a headless browser, in build/pages'
	@echo 'make bench      a table of steps, stages and jobs beside loops by hand (8 minutes)'
	@echo 'make bench-gpu  steps on a GPU beside loops by hand and stock Lightning; a line where there is none (10 minutes)'
	@echo 'make clean      removes caches and builds; keeps .venv and outputs/'
	@echo 'PYTHON=python3.12 chooses the interpreter of a new .venv.'

install: $(STAMP)

# An environment whose making was cut off (MAKING is still there), or whose interpreter is gone,
# is made anew. The way without ensurepip is for systems that package it apart from Python.
$(STAMP): pyproject.toml constraints.txt
	@if [ -e $(MAKING) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    $(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("aetl needs Python 3.11 or newer, this is %d.%d: choose one with make install PYTHON=..." % v[:2])' && \
	    rm -rf .venv && mkdir .venv && touch $(MAKING) && \
	    echo 'Making .venv (a few minutes, 6 GB) ...' && \
	    { $(PYTHON) -m venv .venv >/dev/null 2>&1 || \
	      { $(PYTHON) -m venv --without-pip .venv && \
	        $(PYTHON) -m pip --python $(BIN)/python install -qq pip; }; }; \
	fi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@rm -f $(MAKING)
	@touch $@

test: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-all: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m 'not fault and not gpu and not slurm and not bench'

# All of it, slow or not; case by case, since a few take much longer than the others.
test-matrix: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) -m 'slow or not slow' tests/conformance/test_training.py \
	    tests/conformance/test_parts.py
	$(BIN)/python -m pytest -q -m 'slow or not slow' tests/conformance/test_two_processes.py
	$(BIN)/python -m pytest -q -m 'slow or not slow' tests/conformance/test_transfers.py \
	    -k 'mlp and (receipt or kept)'

# Killed, signalled, filled up and damaged at seeded moments (20 minutes).
test-faults: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) -m 'fault or not fault' tests/fault

test-tracking: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) -m slow tests/tracking

# Without root or apt, or without a network, the test says what is missing and is skipped.
test-slurm: $(STAMP)
	@PATH="$$PATH:/usr/sbin"; command -v slurmctld >/dev/null && command -v munged >/dev/null || \
	    { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	      apt-get install -qq -y --no-install-recommends slurm-wlm munge; } >/dev/null 2>&1 || true
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[slurm]'
	$(BIN)/python -m pytest -q -rs -m slurm

# Ray is large; .venv's packages are seen from an environment of its own.
test-ray: $(STAMP)
	@[ -x .venv-ray/bin/python ] || { $(BIN)/python -m venv --without-pip .venv-ray && \
	    $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	        > "$$(.venv-ray/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth"; }
	@$(BIN)/python -m pip --python .venv-ray/bin/python install -qq --disable-pip-version-check 'ray>=2.40' || \
	    echo 'Ray cannot be installed here.'
	.venv-ray/bin/python -m pytest -q -rs -m slow tests/multirun/test_clusters.py -k ray

# Where a machine with a GPU has no network, PYTHON with all that is needed serves as it is.
define on_gpu
@if $(PYTHON) -c 'import aetl.pipeline, beartype, pytest_timeout' 2>/dev/null; \
    then python=$(PYTHON); else $(MAKE) -s install && python=$(BIN)/python; fi && \
    if $$python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; \
    then $$python $(1); else echo '$@: torch finds no GPU here, so nothing was done'; fi
endef

test-gpu:
	$(call on_gpu,-m pytest -q -rs -m gpu tests/gpu)

bench-gpu:
	$(call on_gpu,-W ignore -m tests.bench.gpu)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: $(STAMP)
	.venv/bin/aetl -m experiment=demo

docs: $(STAMP)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python .ci/docs.py build/docs
	@echo 'build/docs/site/index.html'

pages: $(STAMP)
	$(BIN)/python .ci/pages.py build/pages

bench: $(STAMP)
	$(BIN)/python -W ignore -m tests.bench.table
	$(BIN)/python -m pytest -q tests/bench/test_compare_speed.py -m bench

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find aetl tests -name __pycache__ -type d -prune -exec rm -rf {} +

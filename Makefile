PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt
CSRC := $(shell find csrc -type f -not -name '*.pyc')
CXX_SOURCES := $(filter-out %.py,$(CSRC)) $(shell find tests -name '*.h' -o -name '*.cpp') benchmarks/limits.cpp

.PHONY: help setup demo test test-slow bench gpu-check sanitize lint format clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' Makefile

setup: .venv/installed  ## create .venv, compile csrc, install the package into it (editable)

demo: setup  ## train the default model on scikit-learn's data set `digits`
	$(BIN)/ncg-fast train --data digits

test: setup  ## run the tests, in four minutes, but for those that take long and rarely fail
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup  ## run those as well: kernels of other processors, Triton, compilers, long statistics
	$(BIN)/python -m pytest -m slow

bench: setup  ## time every job against its baselines, in ten minutes; writes benchmarks/results and both READMEs
	$(BIN)/python benchmarks/speed.py --write

gpu-check:  ## on a computer with a GPU: build for it, test, sanitize, time; nothing is downloaded
	.ci/gpu-check

sanitize: setup  ## run the tests of the CPU kernels under GCC's sanitizers, an hour: addresses, undefined behaviour, threads
	.ci/sanitize address,undefined
	.ci/sanitize thread

lint: .venv/lint-installed  ## check style, types and format, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)

format: .venv/lint-installed  ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

clean:  ## remove what building and testing made; keeps .venv's packages and runs/
	rm -rf build dist *.egg-info ncg_fast/_*.so .venv/installed .venv/lint-installed
	rm -rf .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find ncg_fast tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: setup.py pyproject.toml .ci/constraints.txt $(CSRC)
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) --editable '.[experiments,test]'
	touch $@

.venv/lint-installed: .venv/installed
	$(PIP_INSTALL) 'ncg_fast[lint]'
	touch $@

# The short commands of Photogram; `make help` lists them.

PYTHON ?= python3
PORT ?= $(or $(PHOTOGRAM_PORT),8000)
DATA ?= $(or $(PHOTOGRAM_DATA),data)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help install install-dev serve test test-long test-faults check format docs bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## +/\t/' | expand -t 14

install: $(VENV)/.installed  ## make .venv and install what serving needs, from the lock

install-dev: $(VENV)/.installed-dev  ## the same, and what tests and checks need

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(PIP) install -r requirements-dev.lock
	@touch $@

serve: install  ## start the server on PORT (8000) with the embedded model and DATA (./data)
	@exec $(BIN)/photogram serve --port $(PORT) --data "$(DATA)"

test: install-dev  ## run all tests, a file at a time on each core
	$(BIN)/python -m pytest -n logical --dist loadfile

test-long: install-dev  ## run the tests that take minutes: pictures bit by bit in 200 mixes, the quick benchmarks
	$(BIN)/python -m pytest -m long

test-faults: install-dev  ## prove by faults, about 40 minutes: servers killed at every point, disks full, databases gone
	$(BIN)/python -m pytest -m "" tests/faults tests/property/test_ledger.py

check: install-dev  ## style, types, import layers and sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/size.py

format: install-dev  ## let ruff format and fix the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install  ## build the guide into build/guide, as pages that need no server
	$(BIN)/python -m tools.guide build/guide

bench: $(VENV)/.installed-bench  ## measure beside peers, 75 minutes; BENCH="--quick" or BENCH="closed open"
	$(BIN)/python -m benchmarks $(BENCH)

$(VENV)/.installed-bench: $(VENV)/.installed-dev benchmarks/requirements.lock
	$(PIP) install -r benchmarks/requirements.lock
	@touch $@

clean:  ## remove the virtual environment and the caches, but no data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# make demo | test | matrix | check | docs | bench: each sets up what it needs in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "indexpass needs Python 3.10 or later: make PYTHON=/path/to/python3.10 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[broker,demo]' --group dev
	@touch $@

.PHONY: setup
setup: $(READY) ## Set up .venv with everything that the other targets need

.PHONY: demo
demo: $(READY) ## Run the whole product once on this machine: broker, index, pip, Poetry
	$(BIN)/indexpass demo

.PHONY: test
test: $(READY) ## Run the whole test suite
	$(BIN)/python -m pytest -n auto

.PHONY: matrix
matrix: $(READY) ## Run the tests on every Python of this machine, with the newest and the oldest keyring
	$(BIN)/nox

.PHONY: check
check: $(READY) ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: docs
docs: $(READY) ## Build the pages as a site in build/site, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: bench
bench: $(READY) ## Measure the bounds and print them as ratios
	$(BIN)/python benchmarks/run.py

.PHONY: clean
clean: ## Remove what the targets made
	rm -rf $(VENV) dist build .cache .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

# Every target makes `.venv` and installs into it first; the stamps make that happen once, and again when pyproject.toml changes.
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
# Two for each core: many tests wait, for a process that hangs or a screen that paints.
WORKERS ?= $(shell expr 2 \* $$(nproc 2>/dev/null || echo 2))
# What `make bench` runs, with how many supernets of each recipe.
BENCHES ?= bench-nano
SEEDS ?= 5
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo test check fuzz bench docs

help:
	@echo "make demo    run the whole method on the embedded data: how well it ranks, a checked archive and a report of it"
	@echo "make test    run all tests"
	@echo "make check   lint, formatting, types, import rules, and that tests are collected alike twice"
	@echo "make bench   run every recipe on the truths again, for hours (ROWS=docs/results: only what is not there yet)"
	@echo "make docs    these pages as a site in site/, which opens without a network"
	@echo "make fuzz    bad values at every command and option, for ten minutes (SEED=N: other ones)"

demo: $(INSTALLED)
	$(BIN)/kit run recipe full
	$(BIN)/kit submission build full-nano-s0 --out runs/full-nano-s0.tar
	$(BIN)/kit submission check runs/full-nano-s0.tar
	@echo "look at the run, and at every other one, in the dashboard: $(BIN)/kit dashboard; or read the report:"
	@$(BIN)/kit report full-nano-s0 --out runs/report-full-nano-s0

# Without bytecode every process that the tests start would compile the kit anew, and every worker all tests.
test: $(INSTALLED_DEV)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(INSTALLED_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tests/collect_twice.py

# Says first what it costs; stopped, it goes on where it was.
ROWS ?= runs/bench
bench: $(INSTALLED)
	for profile in $(BENCHES); do \
	  ladder="$(BIN)/kit run ladder --profile $$profile --recipes all --seeds $(SEEDS) --rows $(ROWS)/ladder-$$profile"; \
	  $$ladder --dry-run && $$ladder && $(BIN)/kit report ladder-$$profile --out $(ROWS)/report-$$profile || exit 1; \
	done

docs: $(INSTALLED_DEV)
	$(BIN)/mkdocs build --clean
	@echo "open site/index.html"

fuzz: $(INSTALLED_DEV)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py --seed $(or $(SEED),0)

$(INSTALLED): pyproject.toml | $(BIN)/pip
	$(PIP) install --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(BIN)/pip
	$(PIP) install --editable '.[dev]'
	@touch $(INSTALLED) $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "kit needs Python 3.11 or newer, and '$(PYTHON)' is not: name another one, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@# Debian splits ensurepip off into python3-venv; a system pip can fill the environment just as well.
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; \
	else \
	  echo "'$(PYTHON)' cannot make virtual environments: install python3-venv (sudo apt-get install python3-venv)" >&2; \
	  echo "and run the same command again" >&2; exit 1; \
	fi

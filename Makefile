# Two commands: `make up` runs everything, `make test` tests it. `make help` lists the rest.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# Tests of one file run in order in one process, and files in the order of tests/conftest.py: the longest first.
# Three processes keep two cores busy, since tests mostly wait for servers.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder
# Tests start hundreds of processes. Without cached bytecode each compiles all that it imports, which doubles the time.
unexport PYTHONDONTWRITEBYTECODE
# The first Python that is new enough.
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)

PINNED := -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11
# The SDK lies in this repository, so it has no hash and is installed like the project itself.
COMPILE := uv pip compile $(PINNED) --no-emit-package tallybook-sdk pyproject.toml
CONTAINERS := sh deploy/secrets.sh && docker compose up --build

.PHONY: help up test test-slow unit test-containers audit chaos chaos-records lint format load bench bench-events generate web web-test web-dev sdk-js screenshots docs requirements clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

up: $(VENV)/.installed ## run everything on this machine, until Ctrl-C
	@$(if $(PORT),export TALLYBOOK_PORT="$${TALLYBOOK_PORT:-$(PORT)}"; )exec $(BIN)/tallybook up $(ARGS)

test: $(VENV)/.installed-dev ## run the tests, in minutes: ARGS="-k lane"
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL) $(ARGS)

# First those that may run side by side, then one after the other what wants the machine for itself. 5: ARGS chose none.
test-slow: $(VENV)/.installed-dev ## run the long tests: chaos and its mutants, Kafka, kills, installs, benchmarks
	@beside=0; $(BIN)/python -m pytest -m "slow and beside" $(PARALLEL) $(ARGS) || beside=$$?; \
	alone=0; $(BIN)/python -m pytest -m "slow and not beside" $(ARGS) || alone=$$?; \
	case $$beside$$alone in 00|05|50) ;; *) exit 1;; esac

unit: $(VENV)/.installed-dev ## run the tests that need no server
	@$(BIN)/python -m pytest -m "not slow" tests/unit $(PARALLEL) $(ARGS)

test-containers: $(VENV)/.installed-dev ## run `docker compose up` for real: needs root and a container engine
	@$(BIN)/python -m pytest tests/slow/containers -rs $(ARGS)

generate: $(VENV)/.installed ## page views, good and faulty: ARGS="--target redis://127.0.0.1 --mode bursts"
	@exec $(BIN)/tallybook generate $(ARGS)

chaos: $(VENV)/.installed-dev ## attack the counter, then hunt its mutants: SECONDS=120 SEED=...
	@$(BIN)/python -m tests.chaos.clicks.run --mutants --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-records: $(VENV)/.installed-dev ## attack the way of a record into ClickHouse: SECONDS=120 SEED=...
	@$(BIN)/python -m tests.chaos.records.run --mutants --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED)) $(ARGS)

audit: $(VENV)/.installed ## list what is installed (build/sbom.json) and look for known weaknesses
	@.ci/audit

lint: $(VENV)/.installed-dev ## format, ruff, mypy and the arrows between packages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy --python-version 3.10 sdk/python/src
	@$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## format and mend what ruff can
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

load: $(VENV)/.installed-dev ## a load test with Locust: ARGS="spike"
	@$(BIN)/python -m loadtest.run $(ARGS)

bench: $(VENV)/.installed-dev ## the benchmark side by side with Go, into loadtest/results/bench.json
	@$(BIN)/python -m loadtest.bench $(ARGS)

bench-events: $(VENV)/.installed-dev ## events over HTTP and from CSV, then their statistics, into loadtest/results/
	@$(BIN)/python -m loadtest.events $(ARGS)
	@$(BIN)/python -m loadtest.analytics

# Folders with a build.mjs each; what they make is committed, so that nothing else needs Node.
WEB := web/snippet web/dashboard

web: ## build the scripts of pages into ingest/static; needs Node
	@set -e; for folder in $(WEB); do \
		[ -d "$$folder/node_modules" ] || (cd "$$folder" && npm ci --ignore-scripts --no-audit --no-fund); \
		(cd "$$folder" && npx --no-install tsc --noEmit && node build.mjs); \
	done

web-test: ## check and test the source of the dashboard; needs Node
	@cd web/dashboard && { [ -d node_modules ] || npm ci --ignore-scripts --no-audit --no-fund; } && npm run -s check && npm run -s test

web-dev: ## the dashboard from its source, on a service at port 8080; needs Node
	@cd web/dashboard && { [ -d node_modules ] || npm ci --ignore-scripts --no-audit --no-fund; } && npm run -s dev

sdk-js: ## build and test the client for JavaScript; needs Node
	@cd sdk/js && { [ -d node_modules ] || npm ci --ignore-scripts --no-audit --no-fund; } && npm run -s build && npm run -s test

screenshots: $(VENV)/.installed-dev ## every view of the dashboard in three widths and two themes, into web/dashboard/screenshots
	@$(BIN)/python -m tests.harness.browser.screenshots web/dashboard/screenshots $(ARGS)

docs: $(VENV)/.installed-dev ## renew what is generated: configuration, OpenAPI, performance
	@$(BIN)/python -m shared.configuration > docs/configuration.md
	@$(BIN)/python -m ingest.document > docs/openapi.json
	@$(BIN)/python -m loadtest.report

requirements: ## pin what pyproject.toml asks for, with hashes and without addresses
	@$(COMPILE) --extra embedded --extra kafka --extra generator --extra jwt --extra sentry --group build -o requirements.txt
	@$(COMPILE) -c requirements.txt --all-extras --group build --group test --group lint --group load -o requirements-dev.txt
	@$(COMPILE) -c requirements.txt --extra kafka --extra jwt --extra sentry -o deploy/requirements.txt
	@uv pip compile $(PINNED) -c requirements.txt --group build -o deploy/requirements-build.txt

clean: ## remove what was installed; data stays
	@rm -rf $(VENV) build dist *.egg-info

# Installing from pinned hashes. The project and its SDK have none, so they come afterwards, without their dependencies.
define install
	@case "$$(uname -s)" in Linux|Darwin) ;; \
		*) echo "error: tallybook runs on Linux; elsewhere use containers: $(CONTAINERS)" >&2; exit 75;; esac
	@$(if $(PYTHON),,echo "error: tallybook needs Python 3.11 or newer on PATH; in containers it needs none: $(CONTAINERS)" >&2; exit 75)
	@echo "installing $(1) into $(VENV) ..." >&2
	@if [ -n "$(UV)" ]; then \
		{ [ -x $(BIN)/python ] || "$(UV)" venv -q --python "$(PYTHON)" $(VENV); } && \
		"$(UV)" pip install -q --python $(BIN)/python --require-hashes -r $(1) && \
		"$(UV)" pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e ./sdk/python -e .; \
	else \
		{ [ -x $(BIN)/pip ] || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
			echo "error: $(PYTHON) cannot make $(VENV); on Debian and Ubuntu: apt install python3-venv" >&2; false; }; } && \
		$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1) && \
		$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e ./sdk/python -e .; \
	fi || { echo "error: $(1) cannot be installed here, the lines above say why; in containers: $(CONTAINERS)" >&2; exit 75; }
endef

$(VENV)/.installed: requirements.txt pyproject.toml sdk/python/pyproject.toml
	$(call install,requirements.txt)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements.txt pyproject.toml sdk/python/pyproject.toml
	$(call install,requirements-dev.txt)
	@touch $(VENV)/.installed $@

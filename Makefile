# `make` or `make help` lists the targets. Every target brings what it needs: see .ci/venv and tests/services.sh.

SHELL := /bin/bash
PY := .venv/bin/python
# Python 3.11, 3.12 or 3.13: the first that is found, or say PYTHON=…
PYTHON ?=
# Test processes: three for two cores, eight at most; each has a MariaDB and a Valkey of its own.
WORKERS ?= auto
export PYTHON WORKERS

.DEFAULT_GOAL := help
.PHONY: help demo demo-reset story run test js-client check bench lock migration venv venv-dev

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: venv ## the whole thing with a fake WeChat: product on 127.0.0.1:8000, simulator on 127.0.0.1:8100; Ctrl-C stops it
	@exec $(PY) demo.py

demo-reset: ## forget the demo's data
	rm -rf data/demo

story: venv ## scan, follow, bind, buy, settle, withdraw, paid: told step by step, without a browser
	@exec $(PY) demo.py story

run: venv ## production: the Procfile's processes with the settings that BANYAN_CONFIG names
	@exec $(PY) launch.py run

test: venv-dev ## the whole suite on SQLite, MariaDB, Valkey and Chromium
	@tests/services.sh
	@.ci/tests

js-client: venv-dev ## a JavaScript SDK from npm against the simulator (needs node, npm and a registry)
	@command -v npm >/dev/null || { echo 'make js-client needs node and npm' >&2; exit 1; }
	$(PY) -m pytest -m npm tests/simulator/test_js_client.py

check: venv-dev ## everything that CI runs: format, lint, types, imports, tests
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	@tests/services.sh
	@.ci/tests --unless-green

bench: venv-dev ## ratios against the peers, as a table and as bench/results/latest.json
	@tests/services.sh
	$(PY) -m bench

migration: venv-dev ## a new migration from the difference between models and migrations: make migration m="add a column"
	@test -n "$(m)" || { echo 'Say what it does: make migration m="add a column"' >&2; exit 1; }
	$(PY) -m migrations "$(m)"
	$(PY) -m ruff check --fix --quiet migrations/versions
	$(PY) -m ruff format --quiet migrations/versions

lock: ## pin and hash what pyproject.toml asks for (needs uv; uv.lock, which names registries, stays out of git)
	@command -v uv >/dev/null || { echo 'make lock needs uv: python3 -m pip install uv' >&2; exit 1; }
	uv lock
	uv export --quiet --no-emit-project --no-header --format requirements-txt --no-dev -o requirements.lock
	uv export --quiet --no-emit-project --no-header --format requirements-txt --all-groups -o requirements-dev.lock
	@! grep -nE 'https?://|--.*index' requirements.lock requirements-dev.lock || { echo 'a lock names an address' >&2; exit 1; }

venv:
	@.ci/venv requirements.lock

venv-dev:
	@.ci/venv requirements-dev.lock

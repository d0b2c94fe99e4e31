# Every target does its own set-up: a fresh machine needs git, make and python3 (3.11 or newer) with venv.
.DEFAULT_GOAL := help
.PHONY: help install run test check bench pictures web worker lint format types imports lock
VENV := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

help: ## these targets, one line each
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

.venv/bin/python:
	@echo "creating .venv"
	@python3 -m venv .venv

.venv/base.stamp: requirements/base.txt | .venv/bin/python
	@echo "installing requirements/base.txt"
	@$(VENV)/pip install --quiet --require-hashes -r requirements/base.txt
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/base.stamp
	@echo "installing requirements/dev.txt"
	@$(VENV)/pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

install: .venv/dev.stamp ## .venv with the pinned requirements, nothing else

run: .venv/base.stamp ## everything on embedded defaults: web, worker, Valkey, fake Graph API; Ctrl-C stops it
	@DEBUG=$${DEBUG:-true} $(VENV)/python manage.py run

# First by itself: gunicorn reads WEB_CONCURRENCY before it reads this file, and says of a wrong one only where it failed.
web: .venv/base.stamp ## one web server in the foreground, from the environment
	@$(VENV)/python gunicorn.conf.py && exec $(VENV)/gunicorn -c gunicorn.conf.py

worker: .venv/base.stamp ## one worker in the foreground, from the environment
	@$(VENV)/python manage.py rqworker high default low

test: .venv/dev.stamp ## the whole suite in two processes, each on a Valkey and a PostgreSQL of its own
	@$(VENV)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/dev.stamp lint types imports ## lint, format, types, import contracts, migrations, deploy checks, audit
	@$(VENV)/python -m tests.checks

bench: .venv/dev.stamp ## the benchmarks against their peers in the same run, as ratios (ONLY=ingest, worker, pipeline, …)
	@$(VENV)/python -m bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

pictures: .venv/dev.stamp ## the pictures in docs/operations, taken anew of the running product (needs Chromium)
	@$(VENV)/python -m pytest -q tests/browser/pictures.py $(ARGS)

lint: .venv/dev.stamp
	@$(VENV)/ruff check . && $(VENV)/ruff format --check .

format: .venv/dev.stamp ## let ruff lay out the code
	@$(VENV)/ruff check --fix . ; $(VENV)/ruff format .

types: .venv/dev.stamp
	@DEBUG=true $(VENV)/mypy .

imports: .venv/dev.stamp
	@$(VENV)/lint-imports

lock: .venv/dev.stamp ## compile requirements/*.in to pinned, hashed *.txt
	@for name in base dev; do $(VENV)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' requirements/$$name.in -o requirements/$$name.txt; done

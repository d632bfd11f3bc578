# Needs Python 3.11-3.13 and make.  `make` alone lists the targets.
#   PYTHON=/path/to/python   the interpreter to build .venv from (default: the first that works and fits)
#   ARGS="agent=linucb"      passed on to run (agent=ppo unless ARGS names one), replay, test and lock
#   PORT=5000                of `make ui`
#   WORKERS=2                pytest-xdist workers of `make test`; 0 = none (4.5 against more than 6 minutes on two cores)

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup run test test-all lint types lock audit ui replay clean distclean

PYTHON  ?=
ARGS    ?=
PORT    ?= 5000
WORKERS ?= 2
UV      := 0.13.8

VENV  := .venv
PY    := $(VENV)/bin/python
STAMP := $(VENV)/.installed

export MLFLOW_DISABLE_TELEMETRY ?= true

help: ## this list
	@echo "product-push simulator"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## build .venv from requirements.txt (exact versions, hashes checked)

# One process at a time (flock, where there is one): `make run` beside `make test` must not build the same folder twice.
# Candidates are tried by running them, since a version manager's shim may exist and fail.
$(STAMP): requirements.txt pyproject.toml
	@set -e; \
	if command -v flock >/dev/null 2>&1; then exec 9>$(VENV).lock; flock 9; fi; \
	if [ -f $@ ] && [ ! requirements.txt -nt $@ ] && [ ! pyproject.toml -nt $@ ]; then exit 0; fi; \
	found=; bare=; tried=; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3 python); do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; then \
	    if "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	    bare=$${bare:-$$candidate}; \
	  fi; tried="$$tried $$candidate"; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	  version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "error: $$bare has no ensurepip, so it cannot build a virtual environment; on Debian or Ubuntu: sudo apt-get install python$$version-venv" >&2; exit 1; \
	fi; \
	if [ -z "$$found" ]; then \
	  echo "error: no Python 3.11, 3.12 or 3.13 that runs (tried:$$tried); install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	echo "setup: $(VENV) from $$found ($$("$$found" -c 'import platform; print(platform.python_version())'))"; \
	rm -f $@; \
	if ! $(PY) -c 'import pip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1 || [ -n "$(PYTHON)" ]; then "$$found" -m venv --clear $(VENV); fi; \
	export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_HTTP_TIMEOUT=$${UV_HTTP_TIMEOUT:-180} VIRTUAL_ENV="$(CURDIR)/$(VENV)"; \
	echo "setup: installing requirements.txt (a minute or two)"; \
	if $(PY) -m pip install --quiet "uv==$(UV)" && $(VENV)/bin/uv pip install --quiet --require-hashes -r requirements.txt; then :; \
	else echo "setup: uv did not succeed, pip tries (slower)" >&2; $(PY) -m pip install --quiet --require-hashes -r requirements.txt; fi; \
	if [ -x $(VENV)/bin/uv ] && $(VENV)/bin/uv pip install --quiet --no-deps --no-build-isolation -e .; then :; \
	else $(PY) -m pip install --quiet --no-deps --no-build-isolation -e .; fi; \
	touch $@; echo "setup: done"

run: $(STAMP) ## train PPO in the default shop, evaluate, print the table; ARGS="seed=3 env=bandit"
	@$(PY) -m sim.run $(if $(filter agent=%,$(ARGS)),,agent=ppo) $(ARGS)

test: $(STAMP) ## the test suite; ARGS="-k camera" picks
	@$(PY) -m pytest -q -n $(WORKERS) $(ARGS)

test-all: $(STAMP) ## the test suite with the slow tests
	@$(PY) -m pytest -q -n $(WORKERS) -m "" $(ARGS)

lint: $(STAMP) ## ruff
	@$(VENV)/bin/ruff check .

types: $(STAMP) ## mypy
	@$(VENV)/bin/mypy

lock: $(STAMP) ## requirements.in -> requirements.txt (keeps versions that still fit; ARGS=--upgrade renews)
	@$(VENV)/bin/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet $(ARGS) -o requirements.txt

# A package that could not be looked up is not a clean one: pip-audit alone would end with 0.
audit: $(STAMP) ## known vulnerabilities of requirements.txt (pip-audit; asks pypi.org, or ARGS="-s osv")
	@report=$$(mktemp); trap 'rm -f "$$report"' EXIT; \
	if $(VENV)/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.txt --progress-spinner off $(ARGS) >"$$report" 2>&1; \
	then cat "$$report"; \
	elif grep -q '^Found [0-9]' "$$report"; then cat "$$report"; exit 1; \
	else echo "audit: nothing is known, the database of vulnerabilities was not reached ($$(tail -n 1 "$$report" | cut -c 1-160)); try again with a network that reaches pypi.org, or ARGS=\"-s osv\"" >&2; exit 2; fi

ui: $(STAMP) ## MLflow's pages over all runs, on this machine only; PORT=5000
	@uri=$$($(PY) -m sim.tracking); \
	case "$$uri" in \
	  http*) echo "runs are tracked by the server at $$uri: open that address" ;; \
	  *) echo "http://127.0.0.1:$(PORT) answers in ten seconds or so; Ctrl-C ends it"; \
	     exec $(VENV)/bin/mlflow ui --workers 1 --host 127.0.0.1 --port $(PORT) --backend-store-uri "$$uri" ;; \
	esac

replay: $(STAMP) ## the session player's page of the latest run; ARGS="run=outputs/..."
	@if $(PY) -c 'import importlib.util as u, sys; sys.exit(u.find_spec("sim.replay") is None)'; \
	then $(PY) -m sim.replay $(or $(ARGS),run=latest); \
	else echo "the session player comes with the command sim.replay, which this version does not have yet" >&2; exit 1; fi

clean: ## caches and builds (keeps .venv, runs and mlflow.db)
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and .venv (keeps runs and mlflow.db)
	@rm -rf $(VENV) $(VENV).lock

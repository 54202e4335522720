# The two commands: `make run` and `make test`. Everything else is for those who work on the tower.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test check clean help
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run: $(VENV)/.base ## start the tower here (PORT=8000, DEMO=1, CONTROLTOWER_HOME=...); Ctrl-C stops it
	@exec $(BIN)/python -m controltower.launcher

test: $(VENV)/.dev ## every test; ARGS="tests/flows -k late" runs some
	@sh scripts/test.sh $(ARGS)

check: $(VENV)/.dev ## lint, types and floors only
	@$(BIN)/python -m pytest -q -p no:xdist tests/architecture

clean: ## removes the virtual environment and caches; data in CONTROLTOWER_HOME stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis staticfiles

# a stamp holds the checksum of the requirements it was made from, so that a checkout with new times installs nothing
$(VENV)/.base $(VENV)/.dev: FORCE
	@PYTHON="$(PYTHON)" sh scripts/environment.sh $(VENV) $(patsubst .%,%,$(notdir $@))

FORCE:

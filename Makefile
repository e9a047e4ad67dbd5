# Works on a machine that has only Python, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GENKIT := $(BIN)/genkit
RUN := runs/quickstart
# The pinned versions need Python 3.11 or newer; on 3.10 pip finds older ones that fit.
PINS = $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" * (sys.version_info >= (3, 11)))')

.PHONY: help quickstart test test-slow bench lint format clean
.DEFAULT_GOAL := help

help:  ## show these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "genkit needs Python 3.10 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PINS) -e '.[dev]'
	touch $@

quickstart: $(VENV)/.done  ## train, export, sample, evaluate and report a small model: about 3 minutes
	@echo 'About 3 minutes on two cores with AVX-512; with AVX2 alone less than 6 are expected.'
	@# A finished run starts anew; an interrupted one goes on from its newest checkpoint.
	@if [ -e $(RUN)/report.html ]; then rm -rf $(RUN); fi
	$(GENKIT) train configs/cgan/glyphs.yaml --out $(RUN) $$([ -e $(RUN)/config.yaml ] && echo --resume)
	$(GENKIT) export $(RUN)
	$(GENKIT) sample $(RUN) --count 2000 --labels 0-9 --out $(RUN)/samples.npz --grid $(RUN)/samples-grid.png
	$(GENKIT) evaluate $(RUN)/samples.npz --reference synthetic:glyphs:test --train synthetic:glyphs:train
	$(GENKIT) report $(RUN)
	@echo
	@echo "Images: $(RUN)/samples-grid.png"
	@echo "Report: $(RUN)/report.html"

# One worker a core, each with one thread: tests are too small for more.
test: $(VENV)/.done lint  ## lint, types and tests
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

test-slow: $(VENV)/.done  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 3600

bench: $(VENV)/.done  ## speed against what genkit is compared with: about half an hour, alone
	$(BIN)/python -m benchmarks.bench

lint: $(VENV)/.done  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.done  ## lay out the code and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the environment, caches and the quickstart's run
	rm -rf $(VENV) $(RUN) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

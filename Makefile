# Needs only a Python >= 3.11 with its venv module, and make. `make PYTHON=python3.12 …` chooses another one.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.installed
ARGS ?=

# Never the reader's own ~/airflow.
export AIRFLOW_HOME := $(CURDIR)/.airflow

.PHONY: help install test soak lint types demo ui bench clean
help:
	@echo "make test | soak | lint | types | demo | ui | bench | clean   (make test ARGS='-k budget' passes options on)"

install: $(READY)

# Airflow takes about eight seconds to import uncompiled, so compile even where PYTHONDONTWRITEBYTECODE is set.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 found; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[redis,openlineage,dev]'
	$(BIN)/python -m compileall -q -j 0 airflow_src_provider
	@touch $@

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not system" $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m system $(ARGS) || [ $$? -eq 5 ]

# All faults, hundreds of random schedules, large fuzz tests, long system tests: an hour or two, with a table at the end.
# make soak ARGS='--seed 7 --only faults' repeats a part.
soak: $(READY)
	$(BIN)/python -m scripts.soak $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy $(ARGS)

demo: $(READY)
	$(BIN)/python scripts/demo.py $(ARGS)

ui: $(READY)
	$(BIN)/python scripts/ui.py $(ARGS)

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv .airflow .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make demo | test | test-slow | docs | studies-smoke. Everything happens in .venv, made on first use.
PYTHON ?= python3
BIN := .venv/bin
# One worker per core, so that a test needs no threads of its own.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

.PHONY: demo test test-slow lint docs studies-smoke clean

demo: .venv/demo
	$(BIN)/spikern compare digits --restart

test: .venv/dev lint
	$(PYTEST)

test-slow: .venv/dev
	$(PYTEST) -m slow

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

studies-smoke: .venv/dev
	$(PYTEST) -m slow -k smoke_run tests/test_study.py

.venv/demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

.venv/docs: .venv/dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,docs]"
	touch $@

clean:
	rm -rf .venv docs/_build

# make demo | test | docs | studies-smoke. Everything happens in .venv, made on first use.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint docs studies-smoke clean

demo: .venv/demo
	$(BIN)/spikern compare digits --restart

test: .venv/dev lint
	$(BIN)/pytest

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

studies-smoke: .venv/dev
	$(BIN)/pytest -m slow -k smoke_run tests/test_study.py

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

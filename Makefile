# Two commands do everything: `make compare` and `make test`. Both set up what is missing first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find servers harness notebooks -type f -not -name '*.pyc' 2>/dev/null)

.PHONY: compare test lint types tests bench clean

compare: $(VENV)/.lab
	$(BIN)/labrun compare --rps 2000

test: lint types tests

lint: $(VENV)/.lab
	$(BIN)/ruff check servers harness tests benchmarks
	$(BIN)/ruff format --check servers harness tests benchmarks

types: $(VENV)/.lab
	$(BIN)/mypy servers harness benchmarks tests/support
	for suite in analysis charts harness servers; do $(BIN)/mypy tests/$$suite || exit 1; done

# The installed wheel is what the tests import: `servers` and `harness` are common names.
tests: $(VENV)/.lab
	$(BIN)/pytest

bench: $(VENV)/.lab
	$(BIN)/python -m benchmarks

# Everything that the lab depends on, in the versions that were tested together.
$(VENV)/.dependencies: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip hatchling
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation '.[test,bench]'
	touch $@

# The lab itself, as a wheel, again whenever a source file has changed.
$(VENV)/.lab: $(VENV)/.dependencies $(SOURCES)
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/*.whl
	touch $@

clean:
	rm -rf dist build $(VENV)

# Two commands do everything: `make compare` and `make test`. Both set up what is missing first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find servers harness notebooks -type f -not -name '*.pyc' 2>/dev/null)

.PHONY: compare test lint types collected tests notebooks api site site-test bench bench-ci bench-regress bench-summary bench-history clean

compare: $(VENV)/.lab
	$(BIN)/labrun compare --rps 2000

# The tests are translated once, beside the types: the eight who run them would each do it anew.
unexport PYTHONDONTWRITEBYTECODE
test: lint
	@$(MAKE) --no-print-directory -j2 types collected
	@$(MAKE) --no-print-directory tests

lint: $(VENV)/.lab
	$(BIN)/ruff check servers harness tests benchmarks website
	$(BIN)/ruff format --check servers harness tests benchmarks website

types: $(VENV)/.lab
	$(BIN)/mypy servers harness benchmarks tests website

# What cannot be collected is said by the tests themselves, which this only gets ready.
collected: $(VENV)/.lab
	@$(BIN)/pytest --collect-only -qq > /dev/null 2>&1 || true

# The installed wheel is what the tests import: `servers` and `harness` are common names.
tests: $(VENV)/.lab
	$(BIN)/pytest -n 8 --dist loadfile --no-loadscope-reorder --durations=10 -m 'not alone'
	$(BIN)/pytest --durations=10 -m alone

# The course, measured on this machine: some minutes, with nothing beside it.
notebooks: $(VENV)/.lab
	PYTHONPATH=$(CURDIR) $(BIN)/python -m harness.course.execute --reference results/reference

# docs/api.md, from the docstrings.
api: $(VENV)/.lab
	PYTHONPATH=$(CURDIR) $(BIN)/griffe2md harness.lab --output docs/api.md

# build/site, which can be opened as files: texts, course, API, records. SITE_URL: where it will be.
site: $(VENV)/.lab
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "the site is build/site: open build/site/index.html"

# Every page of it in a browser, of which `make test` looks at two of each folder.
site-test: $(VENV)/.lab
	LAB_EVERY_PAGE=1 $(BIN)/pytest tests/project/test_site.py

bench: $(VENV)/.lab
	$(BIN)/python -m benchmarks

# What .github/workflows/bench.yml runs. BASE_REF: where the branch came from; REGRESS and HISTORY:
# options of the two measurements. `make bench-ci` runs it all here, shortened.
BASE_REF ?= HEAD~1
HISTORY ?= --rps 2000
BENCH := build/bench
SHORT := --rounds 5 --duration 1 --warmup 0.3 --rps 500

bench-ci:
	$(MAKE) bench-regress REGRESS="$(SHORT)"
	$(MAKE) bench-summary
	$(MAKE) bench-history HISTORY="$(SHORT)"

bench-regress: $(VENV)/.lab
	$(BIN)/labrun regress --against-ref "$$(git merge-base HEAD $(BASE_REF))" --out $(BENCH) $(REGRESS)

# The last verdict, for a person (on GitHub, in the summary of the step) and for machines. Status 1,
# a regression, has been told by bench-regress already.
bench-summary: $(VENV)/.lab
	last=$$(ls -d $(BENCH)/*-regress | tail -n 1); \
	for form in markdown junit csv benchmark-action openmetrics; do \
		$(BIN)/labrun regress "$$last" --format $$form > $(BENCH)/regress.$$form || test $$? -eq 1 || exit 2; \
	done
	cat $(BENCH)/regress.markdown >> "$${GITHUB_STEP_SUMMARY:-/dev/stdout}"

bench-history: $(VENV)/.lab
	$(BIN)/labrun compare --out $(BENCH)/history --name main $(HISTORY)
	rm -rf $(BENCH)/history/*/*.parquet $(BENCH)/history/*/charts
	$(BIN)/labrun history $(BENCH)/history --out $(BENCH)/history
	cp $(BENCH)/history/history.html $(BENCH)/history/index.html

# Everything that the lab depends on, in the versions that were tested together.
$(VENV)/.dependencies: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip hatchling
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation '.[test,bench,site]'
	touch $@

# The lab itself, as a wheel, again whenever a source file has changed.
$(VENV)/.lab: $(VENV)/.dependencies $(SOURCES)
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/*.whl
	touch $@

clean:
	rm -rf dist build $(VENV)

# Everything runs from .venv; `make setup` makes it, and every other target makes it first where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup demo web site browser dist test test-fast check lint types audit soak clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Python 3.11 or newer is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11 setup" if v < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch, then e2gan and its tools (one to four minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@touch $@

demo: $(STAMP)
	$(BIN)/e2gan demo --out demo

# The page of `export --format web`, built into the package from web/, with Node from PyPI. Needs the network the first time.
PAGE := src/e2gan/assets/web/index.html
web: $(PAGE)

$(PAGE): $(STAMP) $(shell find web -path web/node_modules -prune -o -type f -print)
	$(BIN)/python web/build.py

# A site of sample effects, on the base whose frames phones are quick at, for any static host (docs/export/web.md).
SITE := site
SAMPLES := $(addprefix small-,brush sketch cartoon golden winter vintage infrared)
site: $(STAMP) $(PAGE)
	rm -rf $(SITE)
	$(BIN)/e2gan export --format web --adapter $(SAMPLES) --out $(SITE)

# The sdist, with the built page in it, and from that sdist the wheel (docs/releasing.md). Needs no network.
dist: $(STAMP) $(PAGE)
	rm -rf dist
	$(BIN)/python -m build --no-isolation

# Chromium for the tests of the page: the machine's own, else Playwright's.
browser: $(STAMP)
	@command -v chromium chromium-browser google-chrome >/dev/null || $(BIN)/python -m playwright install chromium

# One process a core and one thread a process: threads that wait by spinning would take the others' cores.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

test: $(STAMP)
	$(PYTEST)

test-fast: $(STAMP)
	$(PYTEST) -m 'not slow'

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/pyright

# The tests of the page skip, and say why, where Node's packages or Chromium cannot be had: without a network, for one.
check: lint types
	-$(MAKE) web browser
	$(MAKE) test

# Known advisories of all that is installed, from PyPI's own service; in an environment of its own. Needs the network.
AUDIT := $(VENV)/audit
audit: $(STAMP)
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7,<3'; }
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > $(AUDIT)/installed.txt  # 2.13.0+cpu is 2.13.0
	$(AUDIT)/bin/pip-audit --requirement $(AUDIT)/installed.txt --no-deps --disable-pip --strict

# Hours; it goes on where it was stopped. SOAK=--quick is a check of minutes.
soak: $(STAMP)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m tests.faults.soak $(SOAK)

clean:
	rm -rf $(VENV) demo demo.partial site site.partial soak web/node_modules src/e2gan/assets/web build dist .pytest_cache .ruff_cache

# Everything happens in .venv; `make demo` and `make test` install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Data sets of the experiments, when they lie beside the checkout; tests that need one say so when it is absent.
ifeq ($(origin ISD_DATA),undefined)
ifneq ($(wildcard ../shared/data/README.md),)
export ISD_DATA := $(abspath ../shared/data)
endif
endif
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: install demo test bench docs notebooks lint types check clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	touch $@

demo: install
	rm -rf runs/quickstart
	$(BIN)/isd simulate examples/quickstart.toml --out runs/quickstart

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The short ones; `python -m tests.benchmarks.NAME --help` tells the options of each, and of the long ones.
bench: install
	for name in library scoring fitting agreement rounds scaling gpu; do \
		$(BIN)/python -m tests.benchmarks.$$name --json bench-$$name.json || exit 1; done

docs: install
	$(BIN)/properdocs build --strict

# What the notebooks show, written into them anew.
notebooks: install
	$(BIN)/python -m tests.docs.notebooks

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

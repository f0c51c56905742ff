# Each target does all the set-up it needs: Python 3.11 or newer, make and a C++ compiler are enough.
PYTHON  ?= python3
PYTHONS ?= python3.11 python3.12 python3.13
CXX     ?= g++

# Where the Python that is named is. pyenv has names for all of its Pythons that fail until it is told which is meant.
ASKED    = -c 'import sys; print(sys.executable)' 2>/dev/null
FOUND    = $(shell $(PYTHON) $(ASKED) || PYENV_VERSION=$(patsubst python%,%,$(notdir $(PYTHON))) $(PYTHON) $(ASKED))

# python3 has .venv; another Python that is named has an environment of its own beside it, unless .venv is of its version.
ifeq ($(PYTHON),python3)
VENV    ?= .venv
else
VERSION := $(shell $(or $(FOUND),false) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo $(notdir $(PYTHON)))
VENV    ?= $(if $(wildcard .venv/bin/python),$(if $(wildcard .venv/bin/python$(VERSION)),.venv,.venv-$(VERSION)),.venv)
endif
BIN      = $(VENV)/bin

.PHONY: demo test lint validate bench matrix answers compared nest clean

demo: $(VENV)/ready
	$(BIN)/refsim validate --report report

# Two processes, one thread each: on two cores half the time, and threads of many small networks only wait for one another.
test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

validate: $(VENV)/ready
	$(BIN)/python -m pytest -m "slow or not slow"

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks.throughput

# Every Python with the versions that constraints.txt pins for it, and then their spikes and reports held against one another.
matrix:
	rm -rf .matrix
	for python in $(PYTHONS); do $(MAKE) --no-print-directory test answers PYTHON=$$python || exit 1; done
	$(MAKE) --no-print-directory compared PYTHON=$(firstword $(PYTHONS))

answers: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.across_versions write .matrix

compared: $(VENV)/ready
	$(BIN)/python -m benchmarks.across_versions compare $(sort $(wildcard .matrix/*.json))

# NEST has an environment of its own; its figures are stored in validation/nest/.
nest: .venv-nest/ready
	.venv-nest/bin/python -m benchmarks.nest_reference

.venv-nest/ready:
	test -x .venv-nest/bin/python || $(PYTHON) -m venv .venv-nest
	.venv-nest/bin/python -m pip install --quiet --disable-pip-version-check nest-simulator==3.10.0
	touch $@

# The environment is made anew when what it installs changes.
$(VENV)/ready: setup.cfg pyproject.toml constraints.txt
	@test -n "$(FOUND)" || { echo "refsim needs Python 3.11 or newer; '$(PYTHON)' was not found. Name yours: make PYTHON=python3.12"; exit 1; }
	@$(FOUND) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "refsim needs Python 3.11 or newer; this is $$($(FOUND) --version). Name yours: make PYTHON=python3.12"; exit 1; }
	@command -v $(CXX) >/dev/null || { echo "refsim needs a C++ compiler; '$(CXX)' was not found. Install g++, or name yours: make CXX=clang++"; exit 1; }
	test -x $(BIN)/python || $(FOUND) -m venv $(VENV) || { echo "The virtual environment could not be made; on Debian install python3-venv."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .venv-* .matrix build dist *.egg-info report .pytest_cache .mypy_cache .ruff_cache

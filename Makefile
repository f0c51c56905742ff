# Each target does all the set-up it needs: Python 3.11 or newer, make and a C++ compiler are enough.
PYTHON ?= python3
CXX    ?= g++
BIN    := .venv/bin

.PHONY: demo test lint validate bench nest clean

demo: .venv/ready
	$(BIN)/refsim validate --report report

# Two processes, one thread each: on two cores half the time, and threads of many small networks only wait for one another.
test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

validate: .venv/ready
	$(BIN)/python -m pytest -m "slow or not slow"

bench: .venv/ready
	$(BIN)/python -m benchmarks.throughput

# NEST has an environment of its own; its figures are stored in validation/nest/.
nest: .venv-nest/ready
	.venv-nest/bin/python -m benchmarks.nest_reference

.venv-nest/ready:
	test -x .venv-nest/bin/python || $(PYTHON) -m venv .venv-nest
	.venv-nest/bin/python -m pip install --quiet --disable-pip-version-check nest-simulator==3.10.0
	touch $@

# The environment is made anew when what it installs changes.
.venv/ready: setup.cfg pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "refsim needs Python 3.11 or newer; '$(PYTHON)' was not found. Name yours: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "refsim needs Python 3.11 or newer; this is $$($(PYTHON) --version). Name yours: make PYTHON=python3.12"; exit 1; }
	@command -v $(CXX) >/dev/null || { echo "refsim needs a C++ compiler; '$(CXX)' was not found. Install g++, or name yours: make CXX=clang++"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "The virtual environment could not be made; on Debian install python3-venv."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .venv-nest build dist *.egg-info report .pytest_cache .mypy_cache .ruff_cache

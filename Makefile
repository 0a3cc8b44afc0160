# One word per task; each sets up what it needs and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Whatever the shell says: tests start hundreds of processes of Python, and each would compile all that it imports.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup demo chaos test test-all check format lock clean

setup: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(INSTALLED)

demo: setup
	$(BIN)/python -m local.demo

# A hundred rollouts whose servers are killed at random moments, two beside each other; `make chaos RUNS=10` for fewer.
RUNS ?= 100
chaos: setup
	$(BIN)/python -m chaos --runs $(RUNS) --at-once 2

# Six files side by side, on two cores too: much of the time servers are waited for.
test: setup
	$(BIN)/python -m pytest --numprocesses=6 --dist=loadfile --no-loadscope-reorder

# The long forms too, which prove the same promises in full: an hour and a half, before a release.
test-all: test chaos
	$(BIN)/python -m pytest tests/workflows/whole_matrix.py --numprocesses=2 --dist=load
	$(BIN)/python -m pytest tests/workflows/whole_week.py tests/local/zero_downtime_enforced.py

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Renew the lock. It carries hashes and no address of any index, so every mirror serves it.
lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) .rollout build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

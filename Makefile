PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --no-input --disable-pip-version-check
COMPILE = $(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-strip-extras \
	--python-version 3.11 --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make requirements"

.PHONY: demo test faults fuzz soak mutants week bench docs recording dashboards format lint requirements clean

demo: .venv/runtime
	@exec $(BIN)/python -m exporter demo $(DEMO_ARGS)

test: lint
	tests/fetch-prometheus .cache/prometheus
	tests/install-chromium
	$(BIN)/python -m pytest --cov

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/hadolint Dockerfile
	$(BIN)/yamllint --strict alerts deploy grafana

faults: .venv/dev
	$(BIN)/python -m tests.faults --write
	$(BIN)/python -m pytest -v --no-header tests/test_listener.py -k test_a_fault_costs_nobody

fuzz: .venv/dev
	tests/fetch-prometheus .cache/prometheus
	$(BIN)/python -m tests.fuzz --payloads 1000000

soak: .venv/dev
	$(BIN)/python -m tests.soak --days 30

mutants: .venv/dev
	tests/fetch-prometheus .cache/prometheus
	$(BIN)/python -m tests.alerts.mutants

week: .venv/dev
	tests/fetch-prometheus .cache/prometheus
	$(BIN)/python -m tests.alerts.days --days 7 --servers 3500

bench: .venv/dev
	tests/fetch-prometheus .cache/prometheus bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

docs: .venv/dev
	$(BIN)/python docs/generate.py

recording: .venv/dev
	$(BIN)/python -m docs.record

dashboards: .venv/dev
	$(BIN)/python -m grafana

format: .venv/dev
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

requirements: .venv/dev
	$(COMPILE) --output-file requirements.txt pyproject.toml
	$(COMPILE) --output-file requirements-dev.txt --constraint requirements.txt --group dev pyproject.toml
	$(COMPILE) --output-file requirements-build.txt --constraint requirements-dev.txt --group build

clean:
	rm -rf .venv .cache .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist

# One environment, stamped with what it holds: made, what serving needs, what developing needs.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is %d.%d. Name one: make PYTHON=python3.11" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		$(PYTHON) -c 'import sys; sys.exit("Python lacks its venv module. Mend: apt-get install python%d.%d-venv" % sys.version_info[:2])'
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/runtime: requirements.txt .venv/made
	@$(PIP) install --require-hashes --requirement requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt .venv/made
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch .venv/runtime $@

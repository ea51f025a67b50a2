# make demo    a generated company through the whole pipeline, printed
# make check   lint, types, imports, SQL, tests: what must be green before anything lands
# make ui      the Dagster UI on the demo's state, on loopback
# make soak    the long versions of the tests      make bench    dated timings into benchmarks/
.PHONY: demo check lint types imports sql ui soak bench lock clean setup
.DEFAULT_GOAL := demo

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
export PYTHONHASHSEED := 0
export DAGSTER_DISABLE_TELEMETRY := yes

setup: $(VENV)/.ready

# uv when it is there; else pip-installed into a corner of its own, so that nothing outside this folder changes.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V)"; exit 1; }
	@UV=$$(command -v uv || true); \
	if [ -z "$$UV" ]; then \
		$(PYTHON) -m venv $(VENV)/uv && $(VENV)/uv/bin/python -m pip install --quiet uv && UV=$(VENV)/uv/bin/uv; \
	fi; \
	set -e; \
	[ -x $(BIN)/python ] || $$UV venv --quiet --allow-existing --python $$($(PYTHON) -c 'import sys; print(sys.executable)') $(VENV); \
	$$UV pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock; \
	$$UV pip install --quiet --compile-bytecode --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

demo: setup
	@$(BIN)/breakeven demo

check: setup
	@$(MAKE) --no-print-directory --jobs 2 types sql lint imports
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

types: setup
	@$(BIN)/mypy

imports: setup
	@$(BIN)/lint-imports --no-cache --config pyproject.toml

sql: setup
	@$(BIN)/sqlfluff lint --disable-progress-bar --processes 1 dbt_like_models sql

ui: setup
	@$(BIN)/breakeven ui

soak: setup
	@$(BIN)/python -m benchmarks.soak

bench: setup
	@$(BIN)/python -m benchmarks.bench

lock: setup
	@UV=$$(command -v uv || echo $(VENV)/uv/bin/uv); $$UV pip compile --quiet --generate-hashes --universal --python-version 3.11 \
		--no-header --no-annotate --all-extras --group dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) dist demo .breakeven

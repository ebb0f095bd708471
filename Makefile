# Every command of the project; CI and pre-commit run the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export CONVCG_HOME ?= $(CURDIR)/.convcg
export DAGSTER_HOME ?= $(CONVCG_HOME)/dagster
export MLFLOW_DISABLE_TELEMETRY := true
# Threads that wait by spinning slow everything down as soon as the cores are shared.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test soak dev install format lint typecheck validate clean
.PHONY: next-day late-file status repair maintenance bench-data bench-late bench-delay

demo: install dagster-home  ## simulated days of logs to a trained model, an index and a report
	$(BIN)/python -m convcg_simulation land --into $(CONVCG_HOME)
	$(BIN)/python -m convcg_assets.commands.main_job

run: install dagster-home  ## the main job on the logs that CONVCG_SOURCE describes
	$(BIN)/python -m convcg_assets.commands.main_job

dev: install dagster-home  ## dagster dev on the same lake
	$(BIN)/dagster dev -w workspace.yaml

next-day: install  ## land the next simulated day, beside a running `make dev`
	$(BIN)/python -m convcg_simulation next-day --into $(CONVCG_HOME)

late-file: install  ## land a late batch of one advertiser's conversions
	$(BIN)/python -m convcg_simulation late-file --into $(CONVCG_HOME)

status: install dagster-home  ## which days differ from what they would be now, and why
	$(BIN)/python -m convcg_assets.commands.repair_job --dry-run

repair: install dagster-home  ## read what has landed and rebuild what differs, without a daemon
	$(BIN)/python -m convcg_assets.commands.repair_job

maintenance: install  ## remove old files, never a version that a kept model was trained on
	$(BIN)/python -m convcg_assets.builds.cleanup

soak: install  ## any order, same result: many more sequences, with other seeds
	CONVCG_SEQUENCES=$${CONVCG_SEQUENCES:-2000} CONVCG_SEED=$${CONVCG_SEED:-1000000} $(BIN)/pytest -n 2 --dist loadfile tests/repair

test: install  ## all tests
	$(BIN)/pytest -n 2 --dist loadfile

install: $(VENV)/.installed  ## a virtual environment with the pinned dependencies

# torch first and by itself: named with its version it is the build that the platform offers, where
# a range would take the newest with gigabytes of CUDA.
$(VENV)/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable ".[dev,spark]"
	touch $@

.PHONY: dagster-home run
dagster-home:
	@mkdir -p $(DAGSTER_HOME)
	@cp dagster.yaml $(DAGSTER_HOME)/dagster.yaml

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

typecheck: install
	$(BIN)/pyright --pythonpath $(BIN)/python

validate: install dagster-home  ## the code location loads
	$(BIN)/dagster definitions validate -w workspace.yaml

bench-data: install  ## raw logs to training examples; JSON on the last line
	$(BIN)/python -m benchmarks.bench_data

bench-late: install  ## one late file against a full rebuild; JSON on the last line
	$(BIN)/python -m benchmarks.bench_late

bench-delay: install  ## the ladder of weights for unripe labels; JSON on the last line
	$(BIN)/python -m benchmarks.bench_delay

clean:
	rm -rf $(CONVCG_HOME)

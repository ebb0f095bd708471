# Every command of the project; CI and pre-commit run the same ones. `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export CONVCG_HOME ?= $(CURDIR)/.convcg
export DAGSTER_HOME ?= $(CONVCG_HOME)/dagster
export MLFLOW_DISABLE_TELEMETRY := true
MANIFESTS := $(addprefix deploy/kubernetes/, namespace.yaml home.yaml access.yaml code.yaml webserver.yaml \
	daemon.yaml server.yaml metrics.yaml mlflow.yaml network.yaml)
# Threads that wait by spinning slow everything down as soon as the cores are shared.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help demo run dev next-day late-file status repair maintenance test test-postgres test-s3 soak install
.PHONY: dagster-home format lint typecheck validate check-deploy bench-data bench-late bench-delay bench-public
.PHONY: bench-peers bench-training bench-torchrun bench-index bench-serve bench-candidates bench-user-store
.PHONY: serve ablation test-torchrun clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "On your own logs, and with options: $(BIN)/convcg --help"

demo: install  ## simulated days of logs to a trained model, an index and a report
	$(BIN)/convcg demo

run: install  ## all tables and the model from the logs that CONVCG_SOURCE describes
	$(BIN)/convcg run

dev: install dagster-home  ## dagster dev on the same lake
	$(BIN)/dagster dev -w workspace.yaml

next-day: install  ## land the next simulated day, beside a running `make dev`
	$(BIN)/convcg simulate next-day

late-file: install  ## land a late batch of one advertiser's conversions
	$(BIN)/convcg simulate late-file

status: install  ## which days are stale, and why
	$(BIN)/convcg status

serve: install  ## candidates by the model in service: http://localhost:8080
	$(BIN)/convcg serve

repair: install  ## read what has landed and rebuild what differs, without a daemon
	$(BIN)/convcg repair

maintenance: install  ## remove old files, never a version that a kept model was trained on
	$(BIN)/convcg maintain

soak: install  ## any order, same result: many more sequences, with other seeds
	CONVCG_SEQUENCES=$${CONVCG_SEQUENCES:-2000} CONVCG_SEED=$${CONVCG_SEED:-1000000} $(BIN)/pytest -n 2 --dist loadfile tests/builds

test: install  ## all tests but those of a command of their own
	$(BIN)/pytest -n 2 --dist loadfile -m "not torchrun"

test-postgres: $(VENV)/.installed-postgres  ## the tests of Postgres, with drivers and a server of its own
	CONVCG_TEST_POSTGRES_REQUIRED=1 $(BIN)/pytest -n 2 --dist loadfile -m postgres

test-s3: $(VENV)/.installed-s3  ## the tests of object stores, with a server that stands in for S3
	CONVCG_TEST_S3_REQUIRED=1 $(BIN)/pytest -n 2 --dist loadfile -m s3

test-torchrun: install  ## the tests of training on several processes, by gloo on this machine
	CONVCG_TEST_TORCHRUN_REQUIRED=1 $(BIN)/pytest -n 2 --dist loadfile -m torchrun

install: $(VENV)/.installed  ## a virtual environment with the pinned dependencies

# torch first and by itself: named with its version it is the build that the platform offers, where
# a range would take the newest with gigabytes of CUDA.
$(VENV)/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable ".[dev,spark]"
	touch $@

$(VENV)/.installed-postgres: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[postgres,postgres-server]"
	touch $@

$(VENV)/.installed-s3: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[s3-server]"
	touch $@

dagster-home:
	@mkdir -p $(DAGSTER_HOME)
	@cp convcg_assets/defs/dagster.yaml $(DAGSTER_HOME)/dagster.yaml

format: install  ## rewrite the code in its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: install  ## form, faults and which package may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

typecheck: install  ## types, by pyright
	$(BIN)/pyright --pythonpath $(BIN)/python

validate: install dagster-home  ## the code location loads
	$(BIN)/dagster definitions validate -w workspace.yaml

check-deploy: install  ## the files of deploy/ and the Dockerfile; nothing is started
	$(BIN)/yamllint --strict --config-file .yamllint.yaml deploy workspace.yaml convcg_assets/defs/dagster.yaml
	$(BIN)/hadolint Dockerfile
	$(BIN)/kubernetes-validate --strict --quiet $(MANIFESTS)
	@if command -v kubectl > /dev/null; then \
		kubectl kustomize deploy/kubernetes > $(VENV)/rendered.yaml && \
		$(BIN)/kubernetes-validate --strict --quiet $(VENV)/rendered.yaml; \
	else echo "not rendered: there is no kubectl"; fi
	@if command -v promtool > /dev/null; then \
		promtool check config deploy/prometheus/prometheus.yaml && \
		promtool test rules deploy/prometheus/convcg.rules.test.yaml; \
	else echo "rules of Prometheus not tested: there is no promtool"; fi

bench-data: install  ## raw logs to training examples; JSON on the last line
	$(BIN)/python -m benchmarks.bench_data

bench-late: install  ## one late file against a full rebuild; JSON on the last line
	$(BIN)/python -m benchmarks.bench_late

bench-training: install  ## training from files beside training from memory; JSON on the last line
	$(BIN)/python -m benchmarks.bench_training

bench-torchrun: install  ## training on one process beside two; JSON on the last line
	$(BIN)/python -m benchmarks.bench_torchrun

bench-index: install  ## the index's own settings, filters, changes; JSON on the last line
	$(BIN)/python -m benchmarks.bench_index

bench-candidates: install  ## candidates of many users; JSON on the last line
	$(BIN)/python -m benchmarks.bench_candidates

bench-serve: install  ## the server under load, beside MLflow's; JSON on the last line
	$(BIN)/python -m benchmarks.bench_serve

bench-user-store: install  ## ways to keep users' features for the server; JSON on the last line
	$(BIN)/python -m benchmarks.bench_user_store

bench-delay: install  ## the ladder of weights for unripe labels; JSON on the last line
	$(BIN)/python -m benchmarks.bench_delay

ablation: install  ## each switch of the model against the default, on the logs at hand
	$(BIN)/python -m benchmarks.ablation

bench-public: install  ## the towers on data with published results (CONVCG_REAL_DATA)
	$(BIN)/python -m benchmarks.bench_public

bench-peers: install  ## other libraries beside the towers, on the logs at hand
	$(BIN)/python -m benchmarks.bench_peers

clean:  ## remove everything that was built (CONVCG_HOME)
	rm -rf $(CONVCG_HOME)

# Articula. Every target does its own set-up; state lives under build/.
PYTHON := .venv/bin/python
DICOM ?=
SEED ?= 1
# two processes that average their gradients; against page faults and spinning threads, which cost half of the training
TRAINING := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736 OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 nice -n 19 \
	.venv/bin/torchrun --standalone --nproc-per-node 2

.DEFAULT_GOAL := help
.PHONY: help autoscaling chart gpu-check demo test faults faults-short fuzz bench up down check models secrets drill cluster-check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install ## Send a knee study through the whole system and show its result (DICOM=<folder> for your own)
	@$(PYTHON) -m tools.demo $(if $(DICOM),--dicom "$(DICOM)")

test: install tensorrt store check ## Check the code and run all tests
	@$(PYTHON) -m pytest -q --numprocesses 2 --dist loadgroup --no-loadscope-reorder

faults: install ## Break every part of the real system, thousands of studies long, and say what came of it (SEED=1 replays)
	@$(PYTHON) -m tests.faults --studies 3000 --faults 600 --seed $(SEED) --crash-points --check $(ARGS)

faults-short: install ## The same for some minutes: 300 studies, 60 faults, every kind once
	@$(PYTHON) -m tests.faults --seed $(SEED) $(ARGS)

up: install ## Start Orthanc, Triton and the services, and leave them running
	@$(PYTHON) -m tools.stack up

down: ## Stop what "make up" started
	@$(PYTHON) -m tools.stack down

check: install ## Lint, formats, types and import contracts
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

fuzz: install ## Damage studies for an hour and say what the intake makes of them
	@$(PYTHON) -m tests.fuzz

bench: install ## Measure the intake beside MONAI, SimpleITK and highdicom (installs them under build/)
	@test -x build/bench-venv/bin/python || $(PYTHON) -m venv build/bench-venv
	@build/bench-venv/bin/python -m pip install --quiet --disable-pip-version-check ".[bench,tools]"
	@build/bench-venv/bin/python -m tests.bench

models: install ## Train the models on synthetic knees and export them (hours; resumes)
	@.venv/bin/pip install --quiet torch==2.13.0 onnxscript
	@$(PYTHON) -m tools.train.dataset --count 400
	@$(PYTHON) -m tools.train.dataset --first 2000000 --count 40
	@$(PYTHON) -m tools.train.labelmap
	@$(TRAINING) -m tools.train.segmentation --threads 1
	@$(TRAINING) -m tools.train.classification --threads 1
	@$(PYTHON) -m tools.train.export

secrets: ## Make the passwords and certificates that compose.yaml mounts
	@test -x build/secrets-venv/bin/python || python3 -m venv build/secrets-venv
	@build/secrets-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/install/secrets.lock.txt
	@build/secrets-venv/bin/python -m tools.secrets

drill: install ## Lose a whole machine on purpose, restore it, and count the results
	@$(PYTHON) -m tools.drill

chart: install store ## Check the Helm chart without a cluster: lint, schemas, properties, and its commands run
	@for values in charts/articula/examples/*.yaml; do \
		build/helm/helm lint --strict --quiet charts/articula --values $$values && \
		build/helm/helm template articula charts/articula --values $$values >/dev/null || exit 1; done
	@$(PYTHON) -m pytest -q tests/chart
	@$(PYTHON) -m tools.chart

gpu-check: install ## On a GPU machine: build engines, compare answers, load and drain Triton, write build/gpu/report.md
	@$(PYTHON) -m tools.gpu_check $(ARGS)

autoscaling: install ## Simulate a year of hospitals, then scale real Tritons for five minutes (fetches Prometheus)
	@$(PYTHON) -m tools.simulate_autoscaling --trace
	@$(PYTHON) -m tools.simulate_autoscaling --live

cluster-check: install ## Install the chart on your cluster and see that it keeps its promises (ARGS="--values ... --user ...")
	@$(PYTHON) -m tools.cluster_check $(ARGS)

clean: ## Stop everything and remove build/ and .venv/
	-@test -x $(PYTHON) && $(PYTHON) -m tools.stack down
	@rm -rf build .venv

.PHONY: install tensorrt store
install:
	@tools/install/install.sh

tensorrt: install
	@tools/install/tensorrt.sh

store: install
	@tools/install/store.sh

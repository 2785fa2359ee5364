# One command each; every target sets up what it needs. `make test` is exactly what CI runs.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: forecast mutation scenarios soak help dist sbom image browser doctor docs conformance setup fmt lint type unit check lab-binaries lab-test test demo bench lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/.ready ## Locked environment in .venv

.venv/.ready: requirements/uv.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) lab/doctor.py --only python
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes --compile-bytecode -r requirements/dev.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

fmt: setup ## Format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup ## Types
	$(BIN)/mypy

unit: setup ## Unit and contract tests
	$(PYTEST) tests/unit tests/contract -n 2 -q

check: lint type unit ## The quick part of the tests

lab-binaries: setup ## Build the lab's Go binaries once, into a cache outside the clone
	$(BIN)/python -m lab.build

lab-test: lab-binaries ## Tests on the lab's real parts
	$(PYTEST) tests/lab tests/cluster -q

test: doctor browser check lab-test ## Everything

browser: ## Chromium and its driver, for the tests of the status page
	@$(PYTHON) lab/doctor.py --only browser 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -q && apt-get install -qy --no-install-recommends chromium chromium-driver fonts-liberation; } || \
	  $(PYTHON) lab/doctor.py --only browser

doctor: ## Name what is missing on this machine
	@$(PYTHON) lab/doctor.py

demo: doctor setup ## Fill, back up, lose, restore, measure: the whole job in the lab
	$(BIN)/python -m lab demo

scenarios: lab-binaries ## Every drill scenario: its disaster strikes a lab, the drill measures it and leaves nothing behind
	DR_SCENARIOS=all $(PYTEST) tests/cluster/test_scenarios.py -q

soak: lab-binaries ## The campaigns: half an hour of mischief, every kill, scenario, fault and forecast; stopped, it goes on: MINUTES=30 ONLY=part
	$(BIN)/python -m lab campaigns --minutes $(or $(MINUTES),30) $(foreach part,$(ONLY),--only $(part))

mutation: lab-binaries ## Every fault in copies of a lab's points, and 100 clean drills; stopped, it goes on: DIR=.lab OUT=out/mutation
	$(BIN)/python -m lab status --dir $(or $(DIR),.lab) >/dev/null 2>&1 || $(BIN)/python -m lab up --dir $(or $(DIR),.lab) --snapshot-granularity 1
	$(BIN)/python -m lab mutation --dir $(or $(DIR),.lab) --out $(or $(OUT),out/mutation)

conformance: setup ## Contracts against the real thing: make conformance BUCKET=name KEY_RING=projects/P/locations/L/keyRings/R
	@test -n "$(BUCKET)$(KEY_RING)" || { echo "name a BUCKET or a KEY_RING"; exit 2; }
	test -z "$(BUCKET)" || DR_CONFORMANCE_BUCKET=$(BUCKET) $(PYTEST) tests/contract/test_storage_server.py -q
	test -z "$(KEY_RING)" || DR_CONFORMANCE_KEY_RING=$(KEY_RING) $(PYTEST) tests/contract/test_kms_server.py -q

docs: setup ## Generated parts of the documentation
	$(BIN)/python docs/render.py

bench: lab-binaries ## Benchmarks; JSON results in out/bench
	$(BIN)/python -m benchmarks

forecast: lab-binaries ## Thirty drills held against the forecast of small ones; goes on where it was stopped
	$(BIN)/python -m benchmarks.forecast

dist: setup ## Wheel and sdist in dist/
	$(BIN)/python -m hatchling build -d dist

sbom: setup ## Bill of materials of what is shipped (CycloneDX), in dist/
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --mc-type application --spec-version 1.6 --output-reproducible --of JSON -o dist/dr.cdx.json

image: ## The image, where there is a container engine
	docker build --tag dr:$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) .

lock: ## Renew the locked requirements
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -q --upgrade -o requirements/dev.txt
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -q -c requirements/dev.txt -o requirements/run.txt
	echo 'hatchling>=1.27' | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -q -c requirements/dev.txt -o requirements/build.txt
	echo uv | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -q --upgrade -o requirements/uv.txt

clean: ## Remove what the targets made in the clone
	rm -rf .venv .lab out .mypy_cache .ruff_cache .pytest_cache

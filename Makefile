PYTHON ?= python3
# What faults and benchmarks of a real model use: demo, or gemma once it is there.
MODEL ?= demo
BIN = .venv/bin
STAMP = .venv/.made-from
PIP = $(BIN)/pip install --quiet --disable-pip-version-check
PIP_LOG = .venv/pip.log

# Which containers: dev, with the code of this folder, or prod; each has its settings in compose/.env.dev or .env.prod.
FOR ?= dev
SERVICE ?=
COMPOSE = docker compose --env-file compose/.env.$(FOR) -f compose/compose.yaml $(if $(filter dev,$(FOR)),-f compose/compose.dev.yaml)

.PHONY: help setup embedding embedding-multilingual gemma openai-node run test fuzz check lint format bench quality coverage-openai \
	faults faults-short operate operate-short up up-prod down logs shell migrate settings clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '%-24s%s\n' "$$name" "$$what"; done

setup: $(STAMP) ## installs everything into .venv

# The stamp is older than what it was made from when something must be installed anew.
$(STAMP): requirements.txt requirements-embedded.txt requirements-ctransformers.txt requirements-dev.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Forebay needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "Installing into .venv, once: minutes in which nothing is shown here. What pip says is in $(PIP_LOG)."
	@{ $(PIP) -r requirements-dev.txt && $(PIP) --no-deps -r requirements-ctransformers.txt && $(PIP) --no-deps -e .; } \
		>$(PIP_LOG) 2>&1 || { cat $(PIP_LOG) >&2; exit 1; }
	@touch $@

# Needs the network once; without it everything but embeddings works, so it stops nothing.
embedding: setup ## the model for embeddings, which the network gives once
	@$(BIN)/python -m models.embedding || true

# A model for embeddings of a hundred languages, three times as large: only who asks for it gets it.
embedding-multilingual: setup ## one for a hundred languages
	@$(BIN)/python -m models.multilingual

# A real model under terms of use of its own, which it asks for: nothing else fetches it.
gemma: setup ## a real model, under terms of its own
	@$(BIN)/python -m models.gemma

# OpenAI's client for Node, which tests try beside the one for Python: where it can't be fetched they leave it out.
openai-node: .venv/node/.made-from ## OpenAI's client for Node

.venv/node/.made-from: tests/sdk/node/package-lock.json
	@mkdir -p .venv/node && cp tests/sdk/node/package.json tests/sdk/node/package-lock.json .venv/node/
	@{ cd .venv/node && npm ci --no-audit --no-fund --loglevel error >/dev/null && touch .made-from; } || \
		echo "OpenAI's client for Node can't be fetched: tests leave it out"

run: embedding ## starts everything here and gives a tour
	@$(BIN)/forebay demo

# Most tests wait for something most of the time: two at once take half as long on two cores. One of the two runs all
# that share a platform, which come first (tests/support/sharing.py).
test: embedding openai-node ## all tests
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder --durations 30

# The tests ask a platform anything for seconds; this does for minutes, and another thing each time: FUZZ_SEED=7 repeats.
fuzz: FUZZ_S ?= 300
fuzz: FUZZ_SEED ?= $(shell date +%s)
fuzz: setup ## asks a platform anything, for FUZZ_S seconds
	FUZZ_S=$(FUZZ_S) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/python -m pytest -v tests/flow/test_walls.py -k answered_as_the_page_says

check: setup ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint: check ## the same as check

format: setup ## formats the code and mends what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: embedding ## measures
	$(BIN)/python -m benchmarks.jobs --model $(MODEL)
	$(BIN)/python -m benchmarks.embed
	$(BIN)/python -m benchmarks.ingesting
	$(BIN)/python -m benchmarks.search --data .forebay/benchmarks
	$(BIN)/python -m benchmarks.asking --model $(MODEL)
	$(BIN)/python -m benchmarks.streams

# OpenAI's own document, which isn't part of this project.
OPENAI ?= ../shared/openai-openapi/openapi.json

# Sixty questions over forty documents: found, answered, cited, refused.
quality: embedding ## how good search and answers are
	@$(BIN)/python -m benchmarks.quality --model $(MODEL) $(ARGS)

# How much of OpenAI's API is on our page, and of how much of that a test shows an effect. ARGS=--missing lists the rest.
coverage-openai: setup ## how much of OpenAI's API is here
	@$(BIN)/python -m benchmarks.coverage_openai --document $(OPENAI) $(ARGS)

faults: setup ## kills everything in turn, under load
	$(BIN)/python -m tests.faults --model $(MODEL)

# What tells soonest that something is wrong. Of the rest, which measure one tenant while another attacks, some are drawn.
SHORT = F02,LOST,F03,BACKGROUND,QUEUE,TURNS,F05,F07,F08,F15,F26,F30,UNHEARD,F06,STAGES,F39,MIX
DRAWN = BATCH,FAMILY,NESTED,OPENAI,TOKENISE,WAITS,SCHEDULED-STREAMS,BODIES,NO-KEY,EXPIRY-STORM,PRIORITY-FLOOD,POISON-BY-NEIGHBOUR,PDF-TURN,INGEST-VS-SEARCH,DISK-FULL-LOGS
DRAW ?= 3

# A commit plays one seed, its own, which also says what is drawn and which third of F06 and STAGES is played: it proves
# less than `make faults`, and a week of commits proves as much. SEEDS=… as a run has printed it repeats that run.
faults-short: SEEDS ?= $(shell printf %d 0x$$({ git rev-parse HEAD 2>/dev/null || echo 0001; } | cut -c1-4))
faults-short: setup ## a part of that
	$(BIN)/python -m tests.faults --model $(MODEL) --short --rows $(SHORT) --drawn $(DRAWN) --draw $(DRAW) --seeds $(SEEDS)

# Real servers, two machines' worth of processes behind nginx, restarts under load, an upgrade, a backup, an image, and
# `forebay doctor` on all of it, as docs/operating.md says: some minutes. STEPS=servers,rolling takes only some; what
# needs a program that isn't here (nginx, git's history, buildah) is left out and says so.
STEPS ?=
operate: setup ## goes the way of an operator
	$(BIN)/python -m tests.operate $(if $(STEPS),--steps $(STEPS))

# For CI, in little more than a minute on two cores: without the upgrade and the image, with the echo alone, and of two
# machines only one restarted.
operate-short: setup ## a part of that
	$(BIN)/python -m tests.operate --short --steps servers,machines,rolling,backup,doctor

up: settings ## containers for developing; starts them anew when the code changes
	$(COMPOSE) up --build --detach --wait

up-prod: ## containers as in production
	@$(MAKE) --no-print-directory up FOR=prod

down: settings ## stops the containers; FOR=prod those of production, as with all that follow
	$(COMPOSE) down

logs: settings ## follows the containers' logs; SERVICE=worker-demo-chat one of them
	$(COMPOSE) logs --follow $(SERVICE)

shell: settings ## a shell in a container that runs; SERVICE=control in another than the API's
	$(COMPOSE) exec $(or $(SERVICE),api) bash

migrate: settings ## brings the containers' database to the newest tables
	$(COMPOSE) run --rm --env FOREBAY_MIGRATE=0 api forebay migrate

settings:
	@compose/settings.sh compose/.env.$(FOR)

clean: ## removes what was made, but no data folder
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

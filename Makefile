# Nothing is needed before any of these: each target makes what it stands on.
#   make setup | page | try [AUDIO=file] | demo [AUDIO=file] | serve | test | test-data [DATA=folder] | fuzz | soak | lint | format | lock
#   make docs | docs-serve | bench [AUDIO=file] [DATA=folder] | accuracy [DATA=folder]

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV = $(shell command -v uv || echo $(BIN)/uv)
HAVE_UV = command -v uv >/dev/null || test -x $(BIN)/uv || \
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt

# Python keeps what it has compiled, whatever the environment says: every process starts in a third of the time.
unexport PYTHONDONTWRITEBYTECODE

# The starter models run on a fresh machine; the environment may name others.
export WHISPER_MODEL ?= starter
export DIARIZATION_MODEL ?= starter
export ALIGN_MODEL ?= attention
STARTER := $(or $(MODEL_DIR),$(or $(DATA_DIR),data)/models)/starter/manifest.json

# The page, built from web/ by the Node.js of requirements/node.txt.
PAGE := whisperx_api/page/index.html
NODE := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix web

.PHONY: setup page try demo serve test test-data fuzz soak bench accuracy docs docs-serve lint format lock

setup: $(VENV)/installed $(PAGE) $(STARTER)

page: $(PAGE)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements/engine.txt pyproject.toml | $(BIN)/python
	$(HAVE_UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/engine.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

$(VENV)/node: requirements/node.txt | $(BIN)/python
	$(HAVE_UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/node.txt
	touch $@

web/node_modules/.package-lock.json: web/package-lock.json web/package.json web/.npmrc | $(VENV)/node
	$(NODE) ci --silent

$(PAGE): $(shell find web/src -type f) web/index.html web/vite.config.ts web/tsconfig.json \
		web/node_modules/.package-lock.json
	$(NODE) run --silent build

$(VENV)/tested: requirements/dev.txt $(VENV)/node $(VENV)/installed
	@command -v cc >/dev/null || { echo "The tests' scoring is compiled here: install a C compiler, like gcc." >&2; exit 1; }
	$(HAVE_UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/dev.txt
	touch $@

$(STARTER): | $(VENV)/installed
	$(BIN)/whisperx-api models pull starter

try: setup
	$(BIN)/python -m whisperx_api.demo --page $(AUDIO)

demo: setup
	$(BIN)/python -m whisperx_api.demo $(AUDIO)

serve: setup
	$(BIN)/whisperx-api serve

# What measures time runs after the rest, with nothing beside it. TESTS may name none of either; how much of the code is
# run is only asked of all of them.
NONE_OF_THEM = test $$? -eq 5

test: setup $(VENV)/tested
	$(NODE) test --silent
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not alone' $(TESTS) || $(NONE_OF_THEM)
	$(BIN)/coverage run -m pytest -m alone $(TESTS) || $(NONE_OF_THEM)
	TEST_BACKEND=cluster $(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not alone' \
		$(or $(TESTS),tests/integration) || $(NONE_OF_THEM)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='whisperx_api/jobs/*,whisperx_api/api/*,whisperx_api/storage/*' \
		--fail-under=$(if $(TESTS),0,90)

test-data: setup $(VENV)/tested
	$(BIN)/python -m pytest tests/data

# What a test run tries a little of, at length and anew each time.
fuzz: setup $(VENV)/tested
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest --timeout=7200 tests/fuzz

# Hundreds of jobs and kills.
soak: setup $(VENV)/tested
	SOAK=long $(BIN)/python -m pytest --timeout=7200 --capture=no tests/soak

bench: setup $(VENV)/tested
	$(BIN)/python -m bench.service $(AUDIO)
	$(BIN)/python -W ignore -m bench.job $(DATA)
	$(BIN)/python -W ignore -m bench.first_text $(DATA)
	$(BIN)/python -W ignore -m bench.diarization $(DATA)
	$(BIN)/python -W ignore -m bench.alignment
	$(BIN)/python -W ignore -m bench.accuracy $(DATA)
	$(BIN)/python -W ignore -m bench.length $(DATA)
	$(BIN)/python -W ignore -m bench.polls $(DATA)
	$(BIN)/python -W ignore -m bench.upload
	$(BIN)/python -W ignore -m bench.queue
	$(BIN)/python -W ignore -m bench.page
	$(BIN)/python -m bench.report

accuracy: setup $(VENV)/tested
	$(BIN)/python -W ignore -m bench.accuracy $(DATA)

# The documents as pages, in build/site. A link that leads nowhere, or a page that asks another host for something, is an error.
DOCS_FROM = env NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs

docs: $(VENV)/tested
	$(DOCS_FROM) build --clean
	$(BIN)/python -m docsite.check build/site

docs-serve: $(VENV)/tested
	$(DOCS_FROM) serve --dev-addr 127.0.0.1:8001

lint: $(VENV)/tested web/node_modules/.package-lock.json docs
	$(NODE) run --silent check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml whisperx_api migrations bench requirements docsite examples
	$(BIN)/python requirements/audit.py requirements/dev.txt requirements/uv.txt

format: $(VENV)/tested
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	bash requirements/lock.sh

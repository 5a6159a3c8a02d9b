# Nothing is needed before any of these: each target makes what it stands on.
#   make setup | demo [AUDIO=file] | serve | test | test-data [DATA=folder] | lint | format | lock

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV = $(shell command -v uv || echo $(BIN)/uv)

# The starter models run on a fresh machine; the environment may name others.
export WHISPER_MODEL ?= starter
export DIARIZATION_MODEL ?= starter
export ALIGN_MODEL ?= attention
STARTER := $(or $(MODEL_DIR),$(or $(DATA_DIR),data)/models)/starter/manifest.json

.PHONY: setup demo serve test test-data lint format lock

setup: $(VENV)/installed $(STARTER)

$(VENV)/installed: requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

$(STARTER): | $(VENV)/installed
	$(BIN)/whisperx-api models pull starter

demo: setup
	$(BIN)/python -m whisperx_api.demo $(AUDIO)

serve: setup
	$(BIN)/whisperx-api serve

test: setup
	$(BIN)/coverage run -m pytest $(TESTS)
	$(BIN)/coverage report --include='whisperx_api/jobs/*,whisperx_api/api/*,whisperx_api/storage/*' --fail-under=90

test-data: setup
	$(BIN)/python -m pytest tests/data

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

format: $(VENV)/installed
	$(BIN)/ruff check --fix .

lock:
	bash requirements/lock.sh

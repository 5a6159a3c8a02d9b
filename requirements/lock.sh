#!/usr/bin/env bash
# Makes the lock files anew, each bound to the one before, so that the images run the versions that the tests ran.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_FIND_LINKS UV_INDEX UV_DEFAULT_INDEX

lock() {
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@"
}

lock pyproject.toml --extra engine --extra cluster --group dev --output-file requirements/dev.txt
lock pyproject.toml --extra engine --extra cluster --constraint requirements/dev.txt --output-file requirements/engine.txt
lock pyproject.toml --extra cluster --constraint requirements/engine.txt --output-file requirements/base.txt
python3 requirements/without_torch.py < requirements/engine.txt > requirements/engine-cpu.txt
lock requirements/uv.in --output-file requirements/uv.txt
lock requirements/node.in --output-file requirements/node.txt

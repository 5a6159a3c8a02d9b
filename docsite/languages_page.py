"""Whisper's languages, and the alignment model of each: the tables are whisperx's, read without importing it.

To import them takes torch and seconds; they are literals in its source.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from docsite.markdown import table
from whisperx_api.languages import LANGUAGES, OTHER_NAMES

TABLES = ("DEFAULT_ALIGN_MODELS_HF", "DEFAULT_ALIGN_MODELS_TORCH")
"""The later one counts where both have a language."""


def render() -> str:
    """Return a table of all languages: code, names, alignment model."""
    models = align_models()
    rows = [
        (f"`{code}`", name + _others(code), f"`{models[code]}`" if code in models else "none: cross-attention")
        for code, name in sorted(LANGUAGES.items(), key=lambda item: item[1])
    ]
    return table(("code", "language", "alignment model"), rows)


def align_models() -> dict[str, str]:
    """Return the name of the alignment model by language."""
    spec = find_spec("whisperx")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("whisperx is not installed, whose alignment models are shown", name="whisperx")
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse((Path(spec.origin).parent / "alignment.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in TABLES:
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return {language: name for each in TABLES for language, name in found[each].items()}


def _others(code: str) -> str:
    others = [name for name, of in OTHER_NAMES.items() if of == code]
    return f" ({', '.join(others)})" if others else ""

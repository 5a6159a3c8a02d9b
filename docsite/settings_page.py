"""Every setting as the documents show it: from the class `Settings`, in the groups of `.env.example`."""

from __future__ import annotations

import types
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from docsite.markdown import cell, table
from whisperx_api.env_example import groups, text_of
from whisperx_api.settings import Settings

TYPES = {str: "text", bool: "`true`, `false`", int: "whole number", float: "number", Path: "path"}
"""What the types of settings are called."""
BOUNDS = {"ge": "from {}", "gt": "more than {}", "le": "to {}", "lt": "less than {}"}


def render() -> str:
    """Return the settings, a table a group; each has an anchor, its name in small letters."""
    return "\n\n".join(f"## {group.capitalize()}\n\n{_table(names)}" for group, names in groups())


def kind(annotation: Any) -> str:
    """Return what a setting's type is called: `text`, or the values of an enum, or a list."""
    if get_origin(annotation) in (Union, types.UnionType):
        (one,) = (part for part in get_args(annotation) if part is not type(None))
        return kind(one)
    if get_origin(annotation) is tuple:
        return "list, with commas"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{one.value}`" for one in annotation)
    return TYPES[annotation]


def bounds(field: FieldInfo) -> str:
    """Return the bounds of a number: `from 1 to 64`; nothing where there are none."""
    found = {name: getattr(rule, name) for rule in field.metadata for name in BOUNDS if hasattr(rule, name)}
    return " ".join(BOUNDS[name].format(found[name]) for name in BOUNDS if name in found)


def _table(names: list[str]) -> str:
    rows = []
    for name in names:
        field = Settings.model_fields[name]
        flag = f"--{name.replace('_', '-')}"
        flag = f"`{flag}`, `--no-{flag[2:]}`" if field.annotation is bool else f"`{flag}`"
        default = text_of(field.default)
        rows.append(
            (
                f'<span id="{name}"></span>`{name.upper()}`<br>{flag}',
                " ".join(filter(None, (kind(field.annotation), bounds(field)))),
                f"`{default}`" if default else "",
                cell(field.description or ""),
            )
        )
    return table(("variable, flag", "type", "default", "meaning"), rows)

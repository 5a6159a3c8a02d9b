"""The API as the documents show it: every endpoint, from the OpenAPI document that the server gives out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from docsite.api_examples import call
from docsite.markdown import cell, table

Schema = Mapping[str, Any]

GROUPS = {
    "transcribe": "Tasks",
    "openai": "As OpenAI's audio API",
    "webhooks": "Webhooks",
    "models": "Models",
    "operations": "Operations",
}
"""Heading of each tag, in the order of the page."""
ANSWERS = Path(__file__).parent / "answers.json"
"""What a server has answered to the examples: lists cut to their first parts."""
REFERENCE = "#/components/schemas/"
UNSAID = "Successful Response"
"""What FastAPI says of an answer of which nothing is said."""
DEEPEST = 3
"""How far objects without a name of their own are taken apart."""


@dataclass(frozen=True)
class Operation:
    """One endpoint, as the document has it."""

    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def anchor(self) -> str:
        return re.sub(r"\W+", "-", self.name.lower()).strip("-")


def document() -> dict[str, Any]:
    """Return the OpenAPI document, of a server with default settings, whatever the environment says."""
    from whisperx_api.app import create_app
    from whisperx_api.settings import Settings

    return create_app(Settings.model_construct()).openapi()


def operations(api: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield every endpoint, in the document's order."""
    for path, methods in api["paths"].items():
        for method, described in methods.items():
            yield Operation(method.upper(), path, described)


def render() -> str:
    """Return every endpoint by group, with its parameters, fields, answers and an example, and then the objects."""
    api = document()
    answers = json.loads(ANSWERS.read_text(encoding="utf-8"))
    parts = []
    for tag, title in GROUPS.items():
        parts.append(f"## {title}")
        parts += [_operation(one, answers) for one in operations(api) if one.described["tags"] == [tag]]
    return "\n\n".join([*parts, "## Objects", *map(_object, *zip(*_objects(api), strict=True))])


# --- an endpoint ---


def _operation(one: Operation, answers: Mapping[str, Any]) -> str:
    described = one.described
    parts = [f"### {one.method} {one.path} {{ #{one.anchor} }}", described.get("description", "").strip()]
    if given := described.get("parameters"):
        rows = [
            (
                f"`{each['name']}`",
                each["in"],
                *_about(_given(each["schema"]), each.get("required", False), _meaning(each)),
            )
            for each in given
        ]
        parts.append(table(("parameter", "in", "type", "default", "meaning"), rows))
    for media_type, content in described.get("requestBody", {}).get("content", {}).items():
        parts.append(f"Body, as `{media_type}`:")
        parts.append(table(("field", "type", "default", "meaning"), _fields(content["schema"])))
    parts.append(_answers(described["responses"]))
    parts.append(_example(one, answers))
    return "\n\n".join(filter(None, parts))


def _answers(responses: Mapping[str, Any]) -> str:
    rows = []
    for status, answer in responses.items():
        forms = ", ".join(
            f"`{media_type}`{_of(content.get('schema', {}))}"
            for media_type, content in answer.get("content", {}).items()
        )
        said = answer.get("description", "")
        rows.append((status, HTTPStatus(int(status)).phrase if said == UNSAID else cell(said), forms))
    return table(("answer", "", "form"), rows)


def _of(schema: Schema) -> str:
    """Return what an answer holds, where that is an object with a name."""
    named = _kind(schema)
    return f": {named}" if "](#" in named else ""


def _example(one: Operation, answers: Mapping[str, Any]) -> str:
    example = f"```bash\n{call(one.method, one.path)}\n```"
    if one.name not in answers:
        return example
    answer = answers[one.name]
    text = answer if isinstance(answer, str) else json.dumps(answer, indent=2, ensure_ascii=False)
    return f"{example}\n\n```{'text' if isinstance(answer, str) else 'json'}\n{text.rstrip()}\n```"


# --- objects ---


def _objects(api: Mapping[str, Any]) -> list[tuple[str, Schema]]:
    named = dict(api["components"]["schemas"])
    for operation in operations(api):
        for answer in operation.described["responses"].values():
            for content in answer.get("content", {}).values():
                schema = content.get("schema", {})
                if "properties" in schema and schema.get("title"):  # stands where it is used, without a reference
                    named.setdefault(schema["title"], schema)
    return sorted((name, schema) for name, schema in named.items() if name not in VALIDATION)


VALIDATION = ("HTTPValidationError", "ValidationError")
"""FastAPI's own form of a 422, which this service does not send."""


def _object(name: str, schema: Schema) -> str:
    parts = [f"### {name} {{ #{_object_anchor(name)} }}", schema.get("description", "").strip()]
    if "enum" in schema:
        parts.append(f"One of {_values(schema['enum'])}.")
    if schema.get("properties"):
        parts.append(table(("field", "type", "default", "meaning"), _fields(schema, answer=True)))
    return "\n\n".join(filter(None, parts))


def _object_anchor(name: str) -> str:
    return f"object-{name.lower()}"


# --- fields and types ---


def _fields(schema: Schema, prefix: str = "", depth: int = 0, answer: bool = False) -> list[tuple[str, ...]]:
    rows = []
    for name, field in schema.get("properties", {}).items():
        needed = name in schema.get("required", ()) and not answer
        shown = field if answer else _given(field)
        rows.append((f"`{prefix}{name}`", *_about(shown, needed, field.get("description"))))
        inner, mark = _inside(field)
        if inner is not None and depth < DEEPEST:
            rows += _fields(inner, f"{prefix}{name}{mark}.", depth + 1, answer)
    return rows


def _inside(field: Schema) -> tuple[Schema | None, str]:
    """Return the object that a field holds and that has no name, and the mark of a list of such."""
    for one in field.get("anyOf", (field,)):
        if one.get("type") == "array":
            return (one["items"], "[]") if "properties" in one["items"] else (None, "")
        if "properties" in one:
            return one, ""
    return None, ""


def _meaning(described: Schema) -> str | None:
    return described.get("description") or described["schema"].get("description")


def _given(schema: Schema) -> Schema:
    """Return the type of what a caller gives: null there means no more than that it may be left out."""
    if "anyOf" not in schema:
        return schema
    kinds = [one for one in schema["anyOf"] if one.get("type") != "null"]
    return {**schema, "anyOf": kinds}


def _about(schema: Schema, required: bool, description: str | None) -> tuple[str, str, str]:
    """Return a field's type, default and meaning."""
    default = schema.get("default")
    shown = "" if default is None or default == [] else f"`{json.dumps(default, ensure_ascii=False).strip(chr(34))}`"
    return _kind(schema) + _bounds(schema), "required" if required else shown, cell(description or "")


def _kind(schema: Schema) -> str:
    """Return what a type is called, as Markdown."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        return f"[{name}](#{_object_anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) + _bounds(one) for one in schema["anyOf"]))
    if "allOf" in schema:
        return _kind(schema["allOf"][0])
    if "enum" in schema:
        return _values(schema["enum"])
    if "const" in schema:
        return _values([schema["const"]])
    if schema.get("title") and "properties" in schema and schema["title"] in STANDING_ALONE:
        return f"[{schema['title']}](#{_object_anchor(schema['title'])})"
    kind, form = str(schema.get("type", "anything")), schema.get("format", "")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    return {"date-time": "time", "date": "day", "binary": "file"}.get(form, NAMES.get(kind, kind))


NAMES = {"string": "text", "integer": "whole number", "boolean": "`true`, `false`", "null": "null", "object": "object"}
STANDING_ALONE = ("Problem",)
"""Objects that stand in the document without a reference."""


def _values(values: list[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _bounds(schema: Schema) -> str:
    low, high, longest = schema.get("minimum"), schema.get("maximum"), schema.get("maxLength")
    if low is not None and high is not None:
        return f" {low:g} to {high:g}"
    if low is not None or high is not None:
        return f" from {low:g}" if low is not None else f" to {high:g}"
    return f", at most {longest} characters" if longest is not None else ""

"""Converts JSON Schemas to the subset that Gemini supports.

Source of the subset: `response_json_schema` of `google.genai.types.GenerateContentConfig`. An
unsupported keyword is moved into the description, where the model still reads it.
"""

from __future__ import annotations

from typing import Any

from llmspell.providers.body_parts import invalid_schema
from llmspell.providers.strict_json import write_json

Schema = dict[str, Any]

_PLAIN = {
    *("$id", "$anchor", "type", "format", "title", "minItems", "maxItems", "minimum", "maximum"),
    *("required", "propertyOrdering"),
}
_NAMED = {"properties", "$defs"}
_ONE = {"items", "additionalProperties"}
_LISTED = {"anyOf", "oneOf", "prefixItems"}


def accepted(schema: Schema) -> Schema:
    """Return the schema in the supported subset.

    Raises:
        InvalidArguments: It is not a valid schema.
    """
    try:
        return _accepted(schema)
    except (TypeError, ValueError, AttributeError, RecursionError):
        raise invalid_schema(schema) from None


def _accepted(schema: Schema) -> Schema:
    if "$ref" in schema:  # Gemini allows no other keywords next to it
        kept = {"$ref": schema["$ref"]}
        return kept | {"$defs": _each(schema["$defs"])} if "$defs" in schema else kept
    kept, rest = Schema(), Schema()
    for name, value in schema.items():
        if name not in ("description", "$schema"):
            kept |= (known := _known(name, value))
            rest |= {} if known else {name: value}
    descriptions = [schema.get("description"), write_json(rest) if rest else None]
    if any(descriptions):
        kept["description"] = "\n\n".join([text for text in descriptions if text])
    return kept


def _known(name: str, value: Any) -> Schema:
    """Convert one keyword; empty if it is not supported."""
    if name in _PLAIN:
        return {name: value}
    if name in _NAMED and isinstance(value, dict):
        return {name: _each(value)}
    if name in _ONE:
        return {name: _accepted(value) if isinstance(value, dict) else value}
    if name in _LISTED and isinstance(value, list):
        return {name: [_any_or(inner) for inner in value]}
    choices = [value] if name == "const" else value
    if name in ("enum", "const") and isinstance(choices, list) and all(map(_listable, choices)):
        return {"enum": choices}
    return {}


def _each(schemas: Any) -> Schema:
    return {name: _any_or(inner) for name, inner in schemas.items()}


def _any_or(schema: Any) -> Schema:
    """Convert a schema; a boolean schema, such as `true` for anything, becomes an empty one."""
    return _accepted(schema) if isinstance(schema, dict) else {}


def _listable(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)

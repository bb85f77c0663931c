"""Converts JSON Schemas to the subset that Anthropic's structured outputs support.

Source of the subset: `anthropic.lib._parse._transform` of the official Python SDK. An unsupported
keyword is moved into the description, where the model still reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmspell.providers.body_parts import invalid_schema
from llmspell.providers.strict_json import write_json

Schema = dict[str, Any]

_FORMATS = {
    *("date-time", "time", "date", "duration", "email", "hostname"),
    *("uri", "ipv4", "ipv6", "uuid"),
}
_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_NAMED = "#/$defs/"


def to_supported_schema(schema: Schema) -> Schema | None:
    """Return the schema in the supported subset, or None if it has no equivalent there.

    Objects with arbitrary keys, values of any type and recursive types have no equivalent.

    Raises:
        InvalidArguments: It is not a valid schema.
    """
    try:
        supported = _supported(schema)
    except (_UnsupportedError, ValueError):
        return None
    except (TypeError, AttributeError, RecursionError):
        raise invalid_schema(schema) from None
    named = supported.get("$defs", {})
    uses = {name: set(_uses(inner)) for name, inner in named.items()}
    all_uses = set(_uses(supported))
    return supported if all_uses <= uses.keys() and not _circular(uses) else None


class _UnsupportedError(Exception):
    """Part of the schema has no equivalent."""


def _supported(schema: Any) -> Schema:
    if not isinstance(schema, dict):
        raise _UnsupportedError
    rest, supported = dict(schema), Schema()
    if "$defs" in rest:
        supported["$defs"] = _each(rest.pop("$defs"))
    if "$ref" in rest:
        return supported | {"$ref": rest["$ref"]}
    if isinstance(rest.get("type"), list):
        rest["anyOf"] = [{"type": name} | _conditions(rest) for name in rest.pop("type")]
        rest = {name: rest[name] for name in ("anyOf", "description", "title") if name in rest}
    kind = rest.pop("type", None)
    described = rest.pop("description", None)
    supported |= _choice(rest) or _typed(kind, rest)
    if "title" in rest:
        supported["title"] = rest.pop("title")
    descriptions = [described, write_json(rest) if rest else None]
    if any(descriptions):
        supported["description"] = "\n\n".join([text for text in descriptions if text])
    return supported


def _conditions(schema: Schema) -> Schema:
    return {n: v for n, v in schema.items() if n not in ("type", "description", "title", "default")}


def _each(schemas: Any) -> Schema:
    if not isinstance(schemas, dict):
        raise _UnsupportedError
    return {name: _supported(inner) for name, inner in schemas.items()}


def _choice(rest: Schema) -> Schema:
    """Pop the schema's alternatives (enum, const, anyOf, …) from `rest`; empty if it has none."""
    if isinstance(rest.get("enum"), list) and rest["enum"] and all(map(_simple, rest["enum"])):
        return {"enum": rest.pop("enum")}
    if "const" in rest and _simple(rest["const"]):
        return {"const": rest.pop("const")}
    for name, ours in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
        if isinstance(rest.get(name), list):
            return {ours: [_supported(inner) for inner in rest.pop(name)]}
    return {}


def _simple(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def _typed(kind: Any, rest: Schema) -> Schema:
    """Return the type with its supported keywords, which are popped from `rest`."""
    if kind not in _TYPES:
        raise _UnsupportedError
    supported: Schema = {"type": kind}
    if kind == "object":
        if rest.pop("additionalProperties", False) not in (False, True) or "properties" not in rest:
            raise _UnsupportedError
        supported |= {"properties": _each(rest.pop("properties")), "additionalProperties": False}
        if "required" in rest:
            supported["required"] = rest.pop("required")
    elif kind == "array" and "items" in rest:
        supported["items"] = _supported(rest.pop("items"))
    if kind == "array" and rest.get("minItems") in (0, 1):
        supported["minItems"] = rest.pop("minItems")
    if kind == "string" and rest.get("format") in _FORMATS:
        supported["format"] = rest.pop("format")
    return supported


def _uses(schema: Any) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(_NAMED)
        for inner in schema.values():
            yield from _uses(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _uses(inner)


def _circular(uses: dict[str, set[str]]) -> bool:
    """Whether any definition refers to itself, directly or indirectly."""
    left = dict(uses)
    while left:
        ends = [name for name, used in left.items() if not used & left.keys()]
        if not ends:
            return True
        for name in ends:
            del left[name]
    return False

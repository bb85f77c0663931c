"""JSON Schemas from the shapes that Lua authors write, and validation of such schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmspell.schema_checker import MAX_PATTERNS, Problem, matcher, problems, target
from llmspell.values import Value, in_order

MAX_TABLES, MAX_VALUES = 1000, 20_000
"""Limits of one schema."""

MAX_PATTERN = 1000
"""Limit of one pattern, in characters."""

TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_OWN_NAMES = {"list": "array", "table": "object"}
_KEYWORDS = {
    "$defs", "$ref", "$schema", "additionalProperties", "allOf", "anyOf", "const", "default",
    "description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "items",
    "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "multipleOf", "oneOf",
    "optional", "pattern", "prefixItems", "properties", "required", "title", "type", "uniqueItems",
}  # fmt: skip


def schema_of(shape: Value) -> dict[str, Any]:
    """Return the JSON Schema that a shape stands for.

    A type's name stands for the type (`"integer"`, also `"list"` and `"table"`; `"any"` for
    anything), `{"string"}` for a list of it, and a table of names for an object with exactly
    those fields. A field is required unless its type ends in `?`, has a `default`, or says
    `optional = true`. A table that already is a JSON Schema is used as it is: it has a `type`,
    `anyOf`, `enum` or `$ref`, and only keys that are keywords of JSON Schema.

    Keys are sorted: a model's prompt cache compares schemas as text, and the order of Lua tables
    differs from run to run.

    Raises:
        ValueError: The shape is invalid, with the place in it, or too large.
    """
    _check_size(shape)
    return _schema(in_order(shape), "")


def _schema(shape: Value, place: str) -> dict[str, Any]:
    if isinstance(shape, str):
        return _named(shape, place)
    if isinstance(shape, list) and len(shape) == 1:
        return {"type": "array", "items": _schema(shape[0], f"{place}[1]")}
    if isinstance(shape, dict) and _is_schema(shape):
        return _given(shape, place)
    if isinstance(shape, dict) or shape == []:
        return _object(dict(shape), place)
    raise ValueError(f"{place or 'the shape'}: expected a type's name or a table, not {shape!r}")


def _named(text: str, place: str) -> dict[str, Any]:
    name = text.removesuffix("?")
    if name == "any":
        return {}
    name = _OWN_NAMES.get(name, name)
    if name not in TYPES:
        raise ValueError(
            f"{place or 'the shape'}: unknown type {text!r}; types are "
            "string, integer, number, boolean, list, table, any"
        )
    return {"type": name}


def _is_schema(shape: dict[Any, Value]) -> bool:
    kind = shape.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    typed = bool(kinds) and all(k in (*TYPES, *_OWN_NAMES) for k in kinds)
    return (typed or bool(shape.keys() & {"anyOf", "oneOf", "enum", "$ref"})) and (
        shape.keys() <= _KEYWORDS
    )


def _given(schema: dict[str, Any], place: str) -> dict[str, Any]:
    schema = {key: value for key, value in schema.items() if key != "optional"}
    if isinstance(kind := schema.get("type"), str):
        schema["type"] = _OWN_NAMES.get(kind, kind)
    if schema.get("properties") == []:
        schema["properties"] = {}
    if isinstance(properties := schema.get("properties"), dict):
        schema["properties"] = {k: _schema(v, _at(place, k)) for k, v in properties.items()}
    if "items" in schema:
        schema["items"] = _schema(schema["items"], f"{place}[]")
    return schema


def _object(fields: dict[Any, Value], place: str) -> dict[str, Any]:
    properties, required = {}, []
    for name, shape in fields.items():
        if not isinstance(name, str):
            raise ValueError(f"{place or 'the shape'}: a field's name must be a string")  # noqa: TRY004 - it comes from Lua
        properties[name] = _schema(shape, _at(place, name))
        if not _is_optional(shape):
            required.append(name)
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        "additionalProperties": False,
    }


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _is_optional(shape: Value) -> bool:
    if isinstance(shape, str):
        return shape.endswith("?")
    return isinstance(shape, dict) and ("default" in shape or shape.get("optional") is True)


def schema_problems(schema: dict[str, Any], value: Value) -> list[str]:
    """Return why a value does not match a JSON Schema, one line per problem; empty when it does.

    The schema must be one that `check_schema` accepts. As in Lua, an empty list is also an empty
    table, and bytes are a string. A value that takes too long to check is a problem too.
    """
    return problems(schema, value)


def check_schema(schema: dict[str, Any]) -> None:
    """Raise ValueError for an invalid or too large JSON Schema, or one with unsupported keywords.

    Nothing is fetched: a `$ref` must lead to another part of the same schema.
    """
    _check_size(schema)
    _check_keys(schema)
    from jsonschema import Draft202012Validator, FormatChecker, SchemaError

    try:
        # Without format checks: patterns are not in Python's syntax.
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(()))
    except SchemaError as error:
        raise ValueError(str(Problem(tuple(error.absolute_path), error.message))) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    parts = list(_parts(schema, ""))
    for place, part in parts:
        if unknown := part.keys() - _KEYWORDS:
            raise ValueError(f"{_at(place, str(min(unknown)))}: not a supported keyword")
    _check_references(schema, parts)
    _check_patterns(parts)


def _check_size(schema: Value) -> None:
    tables, values = _size(schema)
    if tables > MAX_TABLES or values > MAX_VALUES:
        raise ValueError(
            f"it is too large: {tables:,} tables with {values:,} values, "
            f"where {MAX_TABLES:,} and {MAX_VALUES:,} are allowed"
        )


def _check_keys(schema: Value) -> None:
    rest = [schema]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if strange := [key for key in value if not isinstance(key, str)]:
                raise ValueError(f"a table in it has the key {strange[0]!r}, which is not a string")
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)


def _size(value: Value) -> tuple[int, int]:
    """Return the number of dicts in a value, and of values of any kind."""
    tables, values, rest = 0, 0, [value]
    while rest:
        value = rest.pop()
        values += 1
        if isinstance(value, dict):
            tables += 1
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
    return tables, values


def _parts(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a schema and its subschemas with their places, except `true` and `false`."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for keyword in ("items", "additionalProperties"):
        yield from _parts(schema.get(keyword), _at(place, keyword))
    for keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
        for part in schema.get(keyword, ()):
            yield from _parts(part, _at(place, keyword))
    for keyword in ("properties", "$defs"):
        for name, part in schema.get(keyword, {}).items():
            yield from _parts(part, _at(_at(place, keyword), name))


def _check_references(schema: dict[str, Any], parts: list[tuple[str, dict[str, Any]]]) -> None:
    """Check that each `$ref` leads to a checked schema, not to a default that looks like one."""
    known = {id(part) for _, part in parts}
    for place, part in parts:
        reference = part.get("$ref", "#")
        try:
            referenced = target(schema, reference)
        except LookupError:
            referenced = None
        if id(referenced) not in known and not isinstance(referenced, bool):
            raise ValueError(
                f"{_at(place, '$ref')}: {reference!r} does not lead to a part of the schema"
            )


def _check_patterns(parts: list[tuple[str, dict[str, Any]]]) -> None:
    patterns = {part["pattern"]: place for place, part in parts if "pattern" in part}
    if len(patterns) > MAX_PATTERNS:
        raise ValueError(f"it has {len(patterns)} patterns, where {MAX_PATTERNS} are allowed")
    for pattern, place in patterns.items():
        if len(pattern) > MAX_PATTERN:
            raise ValueError(f"{_at(place, 'pattern')}: longer than {MAX_PATTERN:,} characters")
        matcher(pattern)

"""JSON Schema for what Lua authors write: shapes, full schemas, and checks against them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from llmspell.values import Value

TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_OWN_NAMES = {"list": "array", "table": "object"}
_KEYWORDS = {
    "$defs", "$ref", "$schema", "additionalProperties", "allOf", "anyOf", "const", "default",
    "description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "items",
    "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "multipleOf", "oneOf",
    "optional", "pattern", "prefixItems", "properties", "required", "title", "type", "uniqueItems",
}  # fmt: skip


def schema_of(shape: Value) -> dict[str, Any]:
    """The JSON Schema a shape stands for.

    A type's name stands for the type (`"integer"`, also `"list"` and `"table"`; `"any"` for
    anything), `{"string"}` for a list of it, and a table of names for an object with exactly
    those fields. A field is required unless its type ends in `?`, has a `default`, or says
    `optional = true`. A table that is a JSON Schema already is one: it has a `type`, `anyOf`,
    `enum` or `$ref`, and no key that is no keyword of JSON Schema.

    Raises:
        ValueError: For anything else, with its place.
    """
    return _schema(shape, "")


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
    """What keeps a value from fitting a JSON Schema, a line a problem; empty when it fits.

    As in Lua, an empty list is an empty table too, and bytes are a string. Nothing is fetched: a
    `$ref` that leads nowhere in the schema is a problem.
    """
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    registry: Registry[Any] = Registry()
    try:
        errors = list(_validator()(schema, registry=registry).iter_errors(value))
    except Unresolvable as error:
        return [f"the schema's $ref {error.ref!r} leads nowhere"]
    except RecursionError:
        return ["the schema leads in a circle"]
    except (OverflowError, ValueError) as error:
        return [str(error)]  # multipleOf, of a number beyond all bounds
    return [_problem(list(error.absolute_path), error.message) for error in errors]


def _problem(path: list[str | int], message: str) -> str:
    return f"{'.'.join(map(str, path))}: {message}" if path else message


def check_schema(schema: dict[str, Any]) -> None:
    """Raise ValueError when a JSON Schema is none, or asks for what we do not check."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(_problem(list(error.absolute_path), error.message)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _check_keywords(schema, "")


def _check_keywords(schema: Any, place: str) -> None:
    if not isinstance(schema, dict):
        return  # true and false are schemas
    if unknown := schema.keys() - _KEYWORDS:
        raise ValueError(
            f"{_at(place, str(min(unknown)))}: not among the keywords that are checked"
        )
    if "pattern" in schema:
        _matcher(schema["pattern"])
    for keyword in ("items", "additionalProperties"):
        _check_keywords(schema.get(keyword), _at(place, keyword))
    for keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
        for part in schema.get(keyword, ()):
            _check_keywords(part, _at(place, keyword))
    for keyword in ("properties", "$defs"):
        for name, part in schema.get(keyword, {}).items():
            _check_keywords(part, _at(_at(place, keyword), name))


@cache
def _validator() -> Any:
    """Checks by draft 2020-12 with Lua's types, and patterns that cannot keep the host busy."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "object": lambda _, value: isinstance(value, dict) or value == [],
            "string": lambda _, value: isinstance(value, (str, bytes)),
        }
    )
    return extend(Draft202012Validator, {"pattern": _pattern}, type_checker=types)  # type: ignore[no-untyped-call]


def _pattern(_validator: Any, pattern: str, value: Value, _schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not _matcher(pattern).isinstance_python(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


@lru_cache
def _matcher(pattern: str) -> Any:
    """Matches in time proportional to the text, where Python's `re` may take years.

    Raises:
        ValueError: For look-around, back-references, and what is no pattern.
    """
    from pydantic_core import SchemaError, SchemaValidator
    from pydantic_core.core_schema import str_schema

    try:
        return SchemaValidator(str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        reason = str(error).rstrip().splitlines()[-1].removeprefix("error: ")
        raise ValueError(f"the pattern {pattern!r} cannot be used: {reason}") from error

"""Our schemas beside those Anthropic's own SDK makes of the same."""

import jsonschema
import pytest
from anthropic import transform_schema
from hypothesis import given
from hypothesis import strategies as st

from llmspell.providers.anthropic_schema import to_supported_schema

leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "format": "date-time", "title": "When"},
        {"type": "string", "format": "isbn", "maxLength": 13},
        {"type": "integer", "minimum": 1, "description": "How many"},
        {"type": "number", "exclusiveMaximum": 2.5},
        {"type": "boolean", "default": True},
        {"type": "null"},
        {"enum": ["a", 1, None]},
        {"type": "string", "enum": ["a", "b"]},
        {"const": "x", "description": "Always x"},
        {"$ref": "#/$defs/leaf", "description": "dropped beside a reference"},
    ]
)


def nested(inner):
    named = st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    lists = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda p: {"type": "object", "properties": p, "required": sorted(p)}, named),
        st.builds(lambda p: {"type": "object", "properties": p, "minProperties": 1}, named),
        st.builds(
            lambda i, n: {"type": "array", "items": i, "minItems": n}, inner, st.integers(0, 3)
        ),
        st.builds(lambda i: {"type": "array", "items": i, "uniqueItems": True}, inner),
        st.builds(lambda o: {"anyOf": o}, lists),
        st.builds(lambda o: {"oneOf": o, "description": "One of them"}, lists),
        st.builds(lambda o: {"allOf": o}, lists),
    )


schemas = st.recursive(leaves, nested, max_leaves=8)


def undescribed(schema):
    """Without descriptions: what cannot be said is told there, in words of our own."""
    if isinstance(schema, list):
        return [undescribed(inner) for inner in schema]
    if isinstance(schema, dict):
        return {name: undescribed(v) for name, v in schema.items() if name != "description"}
    return schema


@given(schemas)
def test_they_are_the_official_sdks(schema):
    whole = {"type": "object", "properties": {"it": schema}, "$defs": {"leaf": {"type": "string"}}}
    assert undescribed(to_supported_schema(whole)) == undescribed(transform_schema(whole))


def test_what_it_has_no_word_for_is_described():
    schema = {"type": "string", "format": "isbn", "maxLength": 13, "description": "A book"}
    assert to_supported_schema(schema) == {
        "type": "string",
        "description": 'A book\n\n{"format":"isbn","maxLength":13}',
    }


def test_a_list_of_types_becomes_a_choice():
    schema = {"type": ["string", "null"], "format": "date", "description": "When", "title": "Date"}
    assert to_supported_schema(schema) == {
        "anyOf": [
            {"type": "string", "format": "date"},
            {"type": "null", "description": '{"format":"date"}'},
        ],
        "description": "When",
        "title": "Date",
    }
    for value in ("2026-11-29", None):
        jsonschema.validate(value, to_supported_schema(schema))


TREE = {"type": "object", "properties": {"inner": {"$ref": "#/$defs/tree"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "array", "items": {}},
        {"type": "date"},
        {"enum": []},
        {"$ref": "#"},
        {"$ref": "#/$defs/nothing", "$defs": {}},
        {"$defs": {"tree": TREE}, "$ref": "#/$defs/tree"},
        {"$defs": [], "type": "string"},
        {"type": "string", "default": float("nan")},
    ],
)
def test_what_no_model_can_be_held_to(schema):
    assert to_supported_schema(schema) is None


def test_types_that_refer_to_others_are_held_to():
    schema = {
        "$defs": {"leaf": {"type": "string"}, "pair": {"anyOf": [{"$ref": "#/$defs/leaf"}]}},
        "$ref": "#/$defs/pair",
    }
    assert to_supported_schema(schema) == schema

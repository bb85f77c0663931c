import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_values import values

from llmspell.schema import check_schema, schema_of, schema_problems

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def table(required=(), /, **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        "additionalProperties": False,
    }


# Shapes


@pytest.mark.parametrize(
    ("shape", "schema"),
    [
        ("string", STRING),
        ("integer?", INTEGER),
        ("list", {"type": "array"}),
        ("table", {"type": "object"}),
        ("any", {}),
        (["string"], {"type": "array", "items": STRING}),
        ([["integer"]], {"type": "array", "items": {"type": "array", "items": INTEGER}}),
        ([], table()),
        ({}, table()),
        (
            {"winner": "integer", "why": "string?"},
            table(["winner"], winner=INTEGER, why=STRING),
        ),
        (
            {"points": [{"x": "number"}]},
            table(
                ["points"], points={"type": "array", "items": table(["x"], x={"type": "number"})}
            ),
        ),
        ({"n": {"type": "integer", "default": 3}}, table(n={"type": "integer", "default": 3})),
        ({"n": {"type": "integer", "optional": True}}, table(n=INTEGER)),
        (
            {"n": {"type": "list", "items": "string"}},
            table(["n"], n={"type": "array", "items": STRING}),
        ),
        ({"type": "string", "name": "string"}, table(["type", "name"], type=STRING, name=STRING)),
        ({"type": {"x": "string"}}, table(["type"], type=table(["x"], x=STRING))),
        ({"title": "string"}, table(["title"], title=STRING)),
    ],
    ids=repr,
)
def test_a_shape_stands_for_a_schema(shape, schema):
    assert schema_of(shape) == schema
    check_schema(schema_of(shape))


@pytest.mark.parametrize(
    ("given", "schema"),
    [
        ({"type": "string", "minLength": 1}, {"type": "string", "minLength": 1}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"enum": ["a", 1]}, {"enum": ["a", 1]}),
        ({"anyOf": [STRING, INTEGER]}, {"anyOf": [STRING, INTEGER]}),
        (
            {"$ref": "#/$defs/x", "$defs": {"x": STRING}},
            {"$ref": "#/$defs/x", "$defs": {"x": STRING}},
        ),
        ({"type": "object", "properties": []}, {"type": "object", "properties": {}}),
        (
            {
                "type": "object",
                "properties": {"a": "string", "b": {"type": "table"}},
                "required": ["a"],
            },
            {
                "type": "object",
                "properties": {"a": STRING, "b": {"type": "object"}},
                "required": ["a"],
            },
        ),
    ],
    ids=repr,
)
def test_a_schema_stays_one(given, schema):
    assert schema_of(given) == schema


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("strin", "strin"),
        ("", "''"),
        ("integer??", "integer?"),
        (5, "5"),
        (None, "None"),
        (True, "True"),
        (["string", "integer"], "integer"),
        ({"a": {"b": "numbr"}}, "a.b: "),
        ({"a": ["strng"]}, "a[1]: "),
        ({"a": {"default": 3}}, "a.default: "),
        ({1: "string", "x": "string"}, "string"),
        ({"a": {2: "string"}}, "a: "),
        ({"a": {"type": "list", "items": "strng"}}, "a[]: "),
    ],
    ids=repr,
)
def test_what_is_no_shape_is_refused_with_its_place(shape, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        schema_of(shape)


@given(values)
def test_any_value_is_a_shape_or_refused(value):
    try:
        schema = schema_of(value)
        check_schema(schema)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most are refused, and some are not
        return
    schema_problems(schema, value)


# Schemas


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "text"}, "type: "),
        ({"type": "object", "required": "a"}, "required: "),
        ({"properties": {"a": {"minimum": "x"}}}, "properties.a.minimum: "),
        ({"type": "string", "pattern": "(a"}, "pattern"),
        ({"type": "string", "pattern": "(" * 5000 + ")" * 5000}, "deep"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-ahead"),
        ({"type": "string", "pattern": r"(a)\1"}, "pattern"),
        (
            {"items": {"anyOf": [{"patternProperties": {"a+": {}}}]}},
            "items.anyOf.patternProperties",
        ),
        ({"$defs": {"x": {"$id": "http://evil.com/"}}}, "$defs.x.$id"),
        (
            {"properties": {"a": {"unevaluatedProperties": False}}},
            "properties.a.unevaluatedProperties",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_schema_is_refused_with_its_place(schema, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        check_schema(schema)


PERSON = table(
    ["name"],
    name=STRING,
    age={"type": "integer", "minimum": 0},
    tags={"type": "array", "items": STRING},
)


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ({"name": "Ada", "age": 36, "tags": ["x"]}, []),
        ({"name": "Ada", "age": 36.0, "tags": []}, []),
        ({"name": b"\xff"}, []),
        ({}, ["name"]),
        ([], ["name"]),
        ({"name": 1, "age": -1}, ["name: ", "age: "]),
        ({"name": "Ada", "tags": ["a", 1]}, ["tags.1: "]),
        ({"name": "Ada", "agee": 1}, ["agee"]),
        ({"name": "Ada", 1: 2}, ["1"]),
        ("text", ["text"]),
        (None, ["None"]),
    ],
)
def test_every_problem_names_its_place(value, places):
    problems = schema_problems(PERSON, value)
    assert len(problems) == len(places)
    for place in places:
        assert any(place in problem for problem in problems)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "array"},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
    ],
)
def test_the_empty_table_is_a_table_and_a_list(schema):
    assert schema_problems(schema, []) == []


def test_a_pattern_cannot_keep_the_host_busy():
    text = "a" * 50_000 + "!"
    assert schema_problems({"type": "string", "pattern": "^(a+)+$"}, text)
    assert not schema_problems({"type": "string", "pattern": "^(a+)+!$"}, text)
    assert not schema_problems({"type": "string", "pattern": "b"}, "abc")
    assert not schema_problems({"pattern": "b"}, 5)


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -0.0, 1e308, 10**400, 2**63])
@pytest.mark.parametrize("of", [0.1, 3, 1e-300])
def test_numbers_beyond_all_bounds(number, of):
    assert isinstance(
        schema_problems({"type": "number", "multipleOf": of, "maximum": 5}, number), list
    )


def test_references_stay_within_the_schema():
    tree = {
        "$ref": "#/$defs/t",
        "$defs": {"t": {"type": "object", "additionalProperties": {"$ref": "#/$defs/t"}}},
    }
    check_schema(tree)
    assert schema_problems(tree, {"a": {"b": []}}) == []
    assert "a.b: " in schema_problems(tree, {"a": {"b": 1}})[0]
    assert "nowhere" in schema_problems({"$ref": "#/$defs/t"}, 1)[0]
    assert "circle" in schema_problems({"$ref": "#"}, 1)[0]


def test_nothing_is_fetched(tmp_path):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "string"}')

    file = tmp_path / "schema.json"
    file.write_text('{"type": "string"}')
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for url in (f"http://127.0.0.1:{server.server_port}/s", file.as_uri()):
            assert "nowhere" in schema_problems({"$ref": url}, 1)[0]
        server.shutdown()
    assert asked == []


simple = st.sampled_from(["string", "integer", "number", "boolean", "list", "table", "any"])
shapes = st.recursive(
    simple,
    lambda inner: (
        st.tuples(inner).map(list) | st.dictionaries(st.sampled_from("abcxyz"), inner, max_size=3)
    ),
    max_leaves=8,
)
EXAMPLES = {
    "string": "s",
    "integer": 1,
    "number": 0.5,
    "boolean": True,
    "list": [1],
    "table": {"k": 1},
    "any": None,
}


def example_of(shape):
    if isinstance(shape, str):
        return EXAMPLES[shape]
    if isinstance(shape, list):
        return [example_of(shape[0])] * 2
    return {name: example_of(field) for name, field in shape.items()}


@given(shapes)
def test_a_value_of_a_shape_fits_and_another_does_not(shape):
    schema = schema_of(shape)
    check_schema(schema)
    assert schema_problems(schema, example_of(shape)) == []
    if shape != "any":
        assert schema_problems(schema, object())
    if isinstance(shape, dict):
        assert schema_problems(schema, example_of(shape) | {"other": 1})

import json
import re
import signal
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.validators import extend
from plain_values import nested, values

from llmspell.schema import TYPES, check_schema, schema_of, schema_problems
from llmspell.schema_checker import MAX_STEPS

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
        ({"type": "string", "pattern": "(" * 90 + ")" * 300}, "pattern"),
        ({"items": {"pattern": "a" * 1001}}, "items.pattern: longer than 1,000"),
        ({"anyOf": [{"pattern": f"a{n}"} for n in range(33)]}, "33 patterns"),
        ({"anyOf": [{}] * 1000}, "1,001 tables"),
        ({"enum": list(range(20_000))}, "20,002 values"),
        ({"properties": {"a": {"$ref": "#/$defs/x"}}}, "properties.a.$ref: "),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "$ref: "),
        ({"$ref": "#x"}, "$ref: "),
        ({"$ref": "x"}, "$ref: "),
        ({"$ref": "#/anyOf/-1", "anyOf": [{}]}, "$ref: "),
        ({"$ref": "#/anyOf/1", "anyOf": [{}]}, "$ref: "),
        ({"type": "string", "pattern": "(?=a)b"}, "look-ahead"),
        ({"type": "string", "pattern": r"(a)\1"}, "pattern"),
        (
            {"items": {"anyOf": [{"patternProperties": {"a+": {}}}]}},
            "items.anyOf.patternProperties",
        ),
        ({"prefixItems": [{"a": 1, 2.0: 3}]}, "the key 2.0"),
        ({"enum": [{"a": {1: 2}}]}, "the key 1"),
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


SLOW = "^(a+)+$"  # for Python's `re`


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/default", "default": {"patternProperties": {SLOW: {}}}},
        {"$ref": "#/examples/0", "examples": [{"pattern": SLOW}]},
        {"$ref": "#/properties/a%2Fdefault", "properties": {"a": {"default": {"not": {}}}}},
        {"$ref": "#/enum/0", "enum": [{}]},
    ],
    ids=str,
)
def test_what_is_no_part_of_the_schema_cannot_be_referred_to(schema):
    with pytest.raises(ValueError, match="not lead to a part of the schema"):
        check_schema(schema)


@pytest.mark.parametrize("draft", ["https://json-schema.org/draft/2020-12/schema", "http://evil/"])
def test_a_dialect_does_not_change_what_checks(draft):
    schema = {"$schema": draft, "additionalProperties": {"$schema": draft, "pattern": SLOW}}
    check_schema(schema)
    assert schema_problems(schema, {"a": "a" * 60 + "!"})


def bomb(keyword):
    """Each definition refers to the one before it twice."""
    parts = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, 60)}
    return {"$ref": "#/$defs/d59", "$defs": {"d0": {"type": "string"}} | parts}


FEW = {"type": "array", "items": {"enum": [str(n) * 1000 for n in range(1000)]}}
CIRCLE = {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"anyOf": [{"$ref": "#"}, False]}}, False]}


@contextmanager
def no_longer_than_its_steps():
    """Fails what takes the processor five times longer than the most steps of a plain check."""
    items = MAX_STEPS // 10 // 6  # 6 steps for each: a tenth of the most
    begin = time.process_time()
    assert schema_problems({"items": INTEGER}, [0] * items) == []
    most = 5 * 10 * (time.process_time() - begin)

    def stop(*_):
        pytest.fail(f"it took the processor more than {most:.1f} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (bomb("allOf"), "fits"),
        (bomb("anyOf"), 1),
        (bomb("oneOf"), 1),
        (CIRCLE, [[1] * 20] * 20),
        ({"uniqueItems": True}, [{"a": n} for n in range(100_000)]),
        ({"uniqueItems": True}, [str(n) if n % 2 else n for n in range(100_000)]),
        ({"uniqueItems": True}, [n * (2**61 - 1) for n in range(100_000)]),  # their hashes are 0
        (FEW, [-1] * 100_000),
        ({"items": {"type": "string"}}, list(range(1_000_000))),
        ({"items": {}}, [0] * 1_000_000),
        ({"additionalProperties": {"allOf": [{}] * 900}}, {str(n): 0 for n in range(100_000)}),
        ({"allOf": [False] * 5000}, ["x" * 1000] * 1000),
        ({"required": [str(n) for n in range(15_000)]}, {}),
        ({"items": {"required": [str(n) for n in range(15_000)]}}, [{}] * 10_000),
        ({"pattern": "(?:[ab]*a[ab]{600}c)"}, "abbabaab" * 100_000),
        ({"items": {"pattern": "(?:[ab]*a[ab]{600}c)"}}, ["abbabaab" * 100] * 10_000),
        ({"const": [[0] * 9000] * 2}, [[0] * 9000] * 2),
        ({"minLength": 1 << 63, "maxLength": 1e308}, "x" * 1_000_000),
        ({"multipleOf": 5e-324}, 10**4000),
    ],
    ids=lambda value: str(value)[:30],
)
def test_checking_takes_no_longer_than_its_steps(schema, value):
    check_schema(schema)
    with no_longer_than_its_steps():
        problems = schema_problems(schema, value)
    assert len(problems) <= 22
    assert all(len(problem) <= 500 for problem in problems)


def test_a_value_that_takes_too_long_does_not_fit():
    assert schema_problems(bomb("allOf"), "fits") == [
        "checking it would take more than 5,000,000 steps"
    ]


def test_a_large_schema_and_a_large_value_are_checked():
    fields = {f"field{n}": {"type": "integer", "minimum": 0} for n in range(900)}
    schema = {"type": "array", "items": table(fields, **fields)}
    check_schema(schema)
    row = dict.fromkeys(fields, 1)
    assert schema_problems(schema, [row] * 200) == []
    assert schema_problems(schema, [row] * 200 + [row | {"field7": -1}]) == [
        "200.field7: -1 is less than the minimum of 0"
    ]
    people = [{"name": "Ada", "age": 36, "tags": ["x", "y"]}] * 20_000
    assert schema_problems({"type": "array", "items": PERSON}, people) == []


def test_a_deeply_nested_value_does_not_fit():
    tree = {"items": {"$ref": "#"}}
    assert schema_problems(tree, nested(50)) == []
    assert schema_problems(tree, nested(2000)) == ["it is nested too deeply"]


def test_there_is_an_end_to_problems():
    found = schema_problems({"items": {"type": "string"}}, [1] * 100)
    assert len(found) == 21
    assert found[-1] == "and more"
    assert len(schema_problems({"enum": ["x" * 1000] * 100}, "y" * 1000)[0]) == 500


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
    odd = {"properties": {"a/b ~%": {"$ref": "#/properties/c"}, "c": STRING}, "items": True}
    odd |= {"allOf": [{"$ref": "#/items"}, {"items": {"$ref": "#/properties/a~1b%20~0%25"}}]}
    check_schema(odd)
    assert schema_problems(odd, {"a/b ~%": 1}) == ["a/b ~%: 1 is not of type 'string'"]
    assert schema_problems(odd, [1]) == ["0: 1 is not of type 'string'"]


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_a_schema_that_leads_in_a_circle_fits_nothing(keyword):
    assert "circular" in schema_problems({"$ref": "#"}, 1)[0]
    assert schema_problems({keyword: [{"$ref": "#"}, {"$ref": "#"}]}, 1)


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
            with pytest.raises(ValueError, match="not lead to a part"):
                check_schema({"$ref": url})
            with pytest.raises(LookupError):
                schema_problems({"$ref": url}, 1)
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


# Against the reference implementation

small = st.sampled_from(
    [None, True, False, 0, 1, 1.0, 2, -1.5, 3, "", "a", "ab", "bb", [1], {"a": 1}]
)
instances = st.recursive(
    small,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)
counts = st.integers(0, 3)
bounds = st.sampled_from([-1, 0, 0.5, 1, 2, 2.5])
leaves = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*TYPES, ["string", "null"], ["integer", "array"]]),
        "enum": st.lists(small.filter(bool), min_size=1, max_size=3),
        "const": small.filter(bool),
        "minimum": bounds,
        "maximum": bounds,
        "exclusiveMinimum": bounds,
        "exclusiveMaximum": bounds,
        "multipleOf": st.sampled_from([0.1, 0.5, 1, 1.5, 2]),
        "minLength": counts,
        "maxLength": counts,
        "minItems": counts,
        "maxItems": counts,
        "uniqueItems": st.booleans(),
        "pattern": st.sampled_from(["a", "^b", "a|b$", "^$"]),
        "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
    },
)
inner_schemas = st.recursive(
    leaves | st.booleans() | st.just({"$ref": "#/$defs/x"}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=3),
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
        },
    ),
    max_leaves=6,
)
Reference = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "object", lambda _, value: isinstance(value, dict) or value == []
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.tuples(inner_schemas, leaves), instances)
def test_verdicts_are_those_of_the_reference_implementation(schemas, value):
    schema = {"allOf": [schemas[0]], "$defs": {"x": schemas[1]}}
    check_schema(schema)
    assert bool(schema_problems(schema, value)) == (not Reference(schema).is_valid(value))


def test_the_same_shape_is_the_same_text_whatever_the_order_of_its_keys():
    shape = {"b": "string", "a": {"type": "object", "properties": {"d": {}, "c": {}}}}
    turned = {"a": {"properties": {"c": {}, "d": {}}, "type": "object"}, "b": "string"}
    assert json.dumps(schema_of(shape)) == json.dumps(schema_of(turned))
    assert list(schema_of(shape)["properties"]) == ["a", "b"]

"""Plain values as text: exact, and ordinary JSON where that can say it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import StateError
from llmspell.state.encoding import decode, encode, same

tags = st.sampled_from(["$bytes", "$number", "$table"])
texts = st.text(st.characters())  # lone surrogates too
integers = st.integers(-(2**63), 2**63 - 1)
atoms = st.none() | st.booleans() | integers | st.floats() | texts | st.binary()
keys = texts | tags | integers | st.floats(allow_nan=False) | st.binary()
values = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(tags, inner, max_size=2)
    ),
    max_leaves=20,
)


def exactly(value):
    """Something that is equal only for values of the same types, order, signs and nans."""
    if isinstance(value, list):
        return ["list", *map(exactly, value)]
    if isinstance(value, dict):
        return ["dict", *((exactly(k), exactly(v)) for k, v in value.items())]
    if isinstance(value, float):
        return "float", repr(value)
    return type(value).__name__, value


@given(values)
def test_what_is_decoded_is_what_was_encoded(value):
    text = encode(value)
    text.encode()
    assert exactly(decode(text)) == exactly(value)


@given(values)
def test_a_value_is_the_same_as_itself(value):
    assert same(value, decode(encode(value)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {"name": "Åse", "n": [1, 1.0, -0.5, True, None]},
            '{"name":"Åse","n":[1,1.0,-0.5,true,null]}',
        ),
        ({}, "{}"),
        (b"\x00\xff", '{"$bytes":"AP8="}'),
        (-math.inf, '{"$number":"-inf"}'),
        ({1: "a", 2.5: b""}, '{"$table":[[1,"a"],[2.5,{"$bytes":""}]]}'),
        ({"$bytes": "mine"}, '{"$table":[["$bytes","mine"]]}'),
        ({"$bytes": 1, "b": 2}, '{"$bytes":1,"b":2}'),
    ],
)
def test_the_text(value, text):
    assert encode(value) == text
    assert decode(text) == value


@pytest.mark.parametrize(
    "text", ["", "{", '{"$bytes":"*"}', '{"$bytes":1}', '{"$number":"x"}', '{"$table":[1]}']
)
def test_damaged_text(text):
    with pytest.raises(StateError, match="damaged"):
        decode(text)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ("a", b"a", False),
        ([], {}, True),
        ([1], {1: 1}, False),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ([1, 2], [1], False),
        ([math.nan], [math.nan], True),
    ],
)
def test_sameness_is_that_of_lua(left, right, equal):
    assert same(left, right) is equal
    assert same(right, left) is equal

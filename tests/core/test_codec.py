import math
import struct
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from plain_values import named, nested, values

from llmspell.lua.codec import MAX_NUMBER_KEYS, Found, MalformedMessage, decode, encode
from llmspell.values import MAX_DEPTH, LuaFunction, NotPlain

BROKEN = (MalformedMessage, struct.error, IndexError)  # what `decode` says it raises


def decoded(data):
    value, end = decode(data, 0, Found())
    assert end == len(data)
    return value


@given(values)
def test_what_is_encoded_is_decoded(value):
    assert decoded(encode(value)) == value


@given(values)
def test_types_are_kept_too(value):
    assert repr(decoded(encode(value))) == repr(value)


@given(values, st.binary(max_size=5), st.binary(max_size=5))
def test_a_value_may_stand_anywhere(value, before, after):
    data = before + encode(value) + after
    assert decode(data, len(before), Found()) == (value, len(data) - len(after))


def test_nan_crosses_as_a_value():
    assert math.isnan(decoded(encode([float("nan")]))[0])


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (2**63 - 1, 2**63 - 1),
        (2**63, 2.0**63),
        (-(2**63), -(2**63)),
        (-(2**63) - 1, -(2.0**63)),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        ((1, 2), [1, 2]),
        (b"text", "text"),
        (b"\xff", b"\xff"),
        ({2**63: 1}, {2.0**63: 1}),
    ],
)
def test_what_lua_holds_otherwise_becomes_that(value, arrives):
    result = decoded(encode(value))
    assert result == arrives
    assert type(result) is type(arrives)


@given(st.integers(-(2**63) - 5, -(2**63) + 5) | st.integers(2**63 - 5, 2**63 + 5) | st.integers())
def test_every_integer_can_be_encoded(number):
    result = decoded(encode(number))
    assert result == number or isinstance(result, float)


def test_lone_surrogates_cross_as_the_bytes_they_are():
    assert decoded(encode("\ud800")) == "\ud800".encode("utf-8", "surrogatepass")
    assert decoded(encode("caf\udce9")) == b"caf\xe9"


def test_functions_are_numbers_and_are_listed():
    found = Found()
    value, _ = decode(encode({"f": LuaFunction(3), "g": [LuaFunction(2**32 - 1)]}), 0, found)
    assert [f.id for f in found.functions] == [3, 2**32 - 1]
    assert value["f"] is found.functions[0]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        1j,
        Exception,
        len,
        {True: 1},
        {None: 1},
        {float("nan"): 1},
        {(1,): 1},
        {LuaFunction(1): 1},
        [[object()]],
        type("Text", (str,), {})("x"),
    ],
    ids=named,
)
def test_anything_else_is_refused(value):
    with pytest.raises(NotPlain):
        encode(value)


def test_the_key_of_a_table_may_be_of_a_subclass_of_str():
    key = type("Text", (str,), {})("not a key so far")
    assert encode({key: 1}) == encode({str(key): 1}) == encode({key: 1})


@pytest.mark.parametrize("make", [lambda v: [v], lambda v: {"k": v}])
def test_depth_has_a_limit_that_decoding_shares(make):
    deepest = nested(MAX_DEPTH, make)
    assert decoded(encode(deepest)) == deepest
    with pytest.raises(NotPlain, match="deep"):
        encode(nested(MAX_DEPTH + 1, make))


def test_a_value_that_contains_itself_is_refused():
    circle = {}
    circle["me"] = [circle, circle]
    with pytest.raises(NotPlain, match="contains itself"):
        encode(circle)


def test_size_has_a_limit_that_shared_parts_cannot_get_round():
    bomb = "x" * 100
    for _ in range(40):
        bomb = [bomb, bomb]
    with pytest.raises(NotPlain, match="too large"):
        encode(bomb, limit=10_000)
    assert encode("x" * 95, limit=100)
    with pytest.raises(NotPlain, match="100 bytes"):
        encode("x" * 96, limit=100)


tags = st.sampled_from([bytes([tag]) for tag in b"ntfidsA0TeF"])
counts = st.sampled_from([0, 1, 3, 2**16, 2**31, 2**32 - 1]).map(lambda n: n.to_bytes(4, "little"))
noise = st.lists(tags | counts | st.binary(max_size=9), max_size=60).map(b"".join)


@given(noise | st.binary(max_size=300))
@example(b"A\xff\xff\xff\xff" * 60)
@example(b"T" * 500)
@example(b"s\xff\xff\xff\xff")
@example(b"T0ne")
@example(b"Ttne")
@example(b"Td" + struct.pack("<d", math.nan) + b"ne")
@example(b"F" + b"\xff" * 8)
def test_noise_is_a_plain_value_or_malformed(data):
    try:
        value, end = decode(data, 0, Found())
    except BROKEN:
        return
    assert end <= len(data)
    encode(value)  # what was accepted is plain


@given(values, st.data())
def test_a_value_cut_short_is_malformed(value, data):
    whole = encode(value)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BROKEN):
        decode(whole[:cut], 0, Found())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"?",
        b"e",
        b"sab",
        b"s\x05\x00\x00\x00abc",
        b"i123",
        b"d123",
        b"F" + (2**32).to_bytes(8, "little"),
        b"F" + (-1).to_bytes(8, "little", signed=True),
        b"A\x02\x00\x00\x00n",
        b"Tn",
        b"Tnne",
        b"T0ne",
        b"A\x01\x00\x00\x00" * 100 + b"n",
        b"Tt" * 100,
    ],
)
def test_broken_bytes(data):
    with pytest.raises(BROKEN):
        decode(data, 0, Found())


def test_numbers_as_keys_have_a_limit_as_their_hashes_can_be_chosen():
    keys = [7 * n + 0.5 for n in range(MAX_NUMBER_KEYS)]
    assert len(decoded(encode(dict.fromkeys(keys, 1)))) == MAX_NUMBER_KEYS
    assert len(decoded(encode([n for n, _ in enumerate(keys)] * 2))) == 2 * MAX_NUMBER_KEYS
    for too_many in (dict.fromkeys([*keys, -1], 1), [{key: 1} for key in [*keys, -1]]):
        with pytest.raises(MalformedMessage, match="too many numbers as keys"):
            decoded(encode(too_many))


def test_a_lie_about_a_length_allocates_nothing():
    data = b"A\xff\xff\xff\xff" + b"A\xff\xff\xff\xff" + b"s\xff\xff\xff\xff" + b"n" * 1000
    tracemalloc.start()
    try:
        with pytest.raises(BROKEN):
            decode(data, 0, Found())
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()

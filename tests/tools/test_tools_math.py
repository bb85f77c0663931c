import math
import time

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmspell.errors import InvalidArguments, ToolError
from llmspell.tools.math import _FUNCTIONS, calculate

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 + 2 * 3", 7),
        (" -2 ** 2 ", -4),
        ("7 // 2 + 7 % 4 - -1", 7),
        ("1e3 / 4", 250.0),
        ("1_000 * .5", 500.0),
        ("(1 + 2) * +3", 9),
        ("1 < 2 <= 2 != 3", True),
        ("1 == 2", False),
        ("sqrt(2) ** 2", 2.0000000000000004),
        ("log(8, 2) + log2(8) + log10(1000)", 9.0),
        ("round(2.567, 2) + round(2.4)", 4.57),
        ("round(1234, -2)", 1200),
        ("max(1, 2.5) - min(3, 4)", -0.5),
        ("factorial(5) + comb(5, 2)", 130),
        ("gcd(12, 18.0) + lcm(4, 6)", 18),
        ("pow(7, 200) % 13", pow(7, 200, 13)),
        ("2 ** -2", 0.25),
        ("(-1) ** 10 ** 9 + 1 ** 10 ** 9", 2),
        ("2 ** -10 ** 9", 0.0),
        ("cos(pi) + e - e", -1.0),
    ],
)
async def test_results(call, expression, result):
    found = await call(calculate, expression=expression)
    assert found == pytest.approx(result)
    assert type(found) is type(result)


async def test_variables(call):
    assert await call(calculate, expression="x ** 2 + pi", variables={"x": 3, "pi": 1}) == 10
    assert await call(calculate, expression="1", variables=[]) == 1
    with pytest.raises(ToolError, match="no number named 'heigth'") as caught:
        await call(calculate, expression="heigth * 2", variables={"height": 1})
    assert caught.value.hint == "did you mean height?"
    with pytest.raises(InvalidArguments, match="variables"):
        await call(calculate, expression="x", variables={"x": "2"[:0]})


async def test_integers_beyond_64_bits_become_floats(call):
    assert await call(calculate, expression="2 ** 63 - 1") == 2**63 - 1
    found = await call(calculate, expression="2 ** 63")
    assert (found, type(found)) == (2.0**63, float)
    assert await call(calculate, expression="-2 ** 63") == -(2**63)


@pytest.mark.parametrize(
    "expression",
    [
        "2 ** 10 ** 9",
        "9 ** 9 ** 9",
        "9 ** 9 ** 9 ** 9 ** 9",
        "(-9) ** 9 ** 9",
        "pow(9, pow(9, 9))",
        "factorial(10 ** 6)",
        "factorial(factorial(20))",
        "comb(10 ** 300, 10 ** 299)",
        "round(5, -10 ** 9)",
        "round(5.0, 10 ** 9)",
        "lcm(" + ", ".join(f"2 ** {n} - 1" for n in range(900, 960)) + ")",
        "*".join(["(10 ** 200)"] * 80),
        "9" * 1000,
        "2 ** 1024 - 1",
    ],
)
async def test_large_numbers_fail_fast(call, expression):
    started = time.perf_counter()
    with pytest.raises(ToolError, match=r"cannot calculate this: "):
        await call(calculate, expression=expression)
    assert time.perf_counter() - started < 0.2


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1 / 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("5.0 % 0", "division by zero"),
        ("(-8) ** (1 / 3)", "no real power"),
        ("sqrt(-1)", "cannot calculate"),
        ("1e308 * 10", "not a finite number"),
        ("1e999", "not a finite number"),
        ("exp(1000)", "cannot calculate"),
        ("factorial(1.5)", "is not an integer"),
        ("factorial(1e999)", "cannot calculate"),
        ("", "not an arithmetic expression"),
        ("1 +", "not an arithmetic expression"),
        ("1\n2", "not an arithmetic expression"),
        ("\0", "not an arithmetic expression"),
        ("x = 1", "not an arithmetic expression"),
        ("import os", "not an arithmetic expression"),
        ("(" * 500 + "1" + ")" * 499, "not an arithmetic expression"),
        ("2x", "is not a number"),
        ("1if 1else 2", "is not a number"),
        ("1j", "is not a number"),
        ("x", "no number named"),
        ("sqr(2)", "no function named"),
        ("sqrt", "no number named"),
        ("sqrt()", "sqrt does not take 0 values"),
        ("max(1)", "max does not take 1 value"),
        ("round(1, digits=2)", "this kind of call"),
        ("max(*x)", "cannot contain"),
        ("__import__('os')", "no function named|anything but numbers"),
        ("().__class__", "a dot"),
        ("'a' * 3", "anything but numbers"),
        ("'a' < 'b'", "anything but numbers"),
        ("True + 1", "anything but numbers"),
        ("[1]", "a list"),
        ("1, 2", "a comma"),
        ("2 ^ 3", "this operator"),
        ("1 << 10 ** 9", "this operator"),
        ("~1", "this operator"),
        ("1 in 2", "cannot contain"),
        ("1 and 2", "and or or"),
        ("(lambda: 1)()", "this kind of call"),
        ("[x for x in y]", "cannot contain"),
        ("(x := 1)", "cannot contain"),
        ("f'{1}'", "cannot contain"),
        ("...", "anything but numbers"),
    ],
)
async def test_what_cannot_be_calculated(call, expression, reason):
    with pytest.raises(ToolError, match=reason):
        await call(calculate, expression=expression)


async def test_hints(call):
    with pytest.raises(ToolError) as caught:
        await call(calculate, expression="2 ^ 3")
    assert caught.value.hint == "a power is written **"
    with pytest.raises(ToolError) as caught:
        await call(calculate, expression="sqr(3)")
    assert caught.value.hint == "did you mean sqrt?"


async def test_long_sums_and_deep_nesting(call):
    assert await call(calculate, expression="+".join("1" * 300)) == 300
    with pytest.raises(InvalidArguments, match="expression"):
        await call(calculate, expression="+".join("1" * 600))
    with pytest.raises(ToolError, match=r"too deeply nested|no arithmetic"):
        await call(calculate, expression="-" * 999 + "1")


def test_the_description_lists_every_function():
    listed = calculate.description.partition("Functions:")[2].partition(". Constants")[0]
    words = listed.replace("\n", " ").replace("(to a base, or natural)", "")
    words = words.replace("(to some digits)", "")
    assert [word.strip() for word in words.split(",")] == sorted(_FUNCTIONS)


atoms = st.one_of(
    st.integers(-20, 20).map(lambda n: f"({n})"),
    st.sampled_from(["10**300", "1e308", "0", "x", "pi", "y", "(1/3)", "9**9"]),
)
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "<", "==", "^", "<<", "and"]
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(
            lambda p: f"({p[0]} {p[1]} {p[2]})"
        ),
        st.tuples(st.sampled_from([*_FUNCTIONS, "eval"]), st.lists(inner, max_size=3)).map(
            lambda p: f"{p[0]}({', '.join(p[1])})"
        ),
    ),
    max_leaves=12,
)
noise = st.text(
    st.sampled_from("0123456789.eExj_+-*/%()<>=!,^&|~ \n\t'\"\\[]{}:;@#abπ²٣"), max_size=60
)


@settings(max_examples=600, deadline=None)
@given(expressions | noise)
def test_there_is_a_number_or_a_tool_error_and_soon(expression):
    started = time.perf_counter()
    try:
        result = anyio.run(calculate, expression[:1000], {"x": 2.5, "y": -3})
    except ToolError:
        result = 0
    assert isinstance(result, (bool, int, float))
    assert math.isfinite(result)
    assert not isinstance(result, int) or -(2**63) <= result < 2**63
    assert time.perf_counter() - started < 1

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import subprocess
import sys
import types
import typing
import uuid

import pydantic
import pytest
from hypothesis import given
from plain_values import named, nested, values

from llmspell.lua.codec import Found, decode, encode
from llmspell.values import MAX_DEPTH, LuaFunction, NotPlain, plain


class Colour(enum.Enum):
    RED = "red"
    BOTH = ("red", 1)


class Text(str):
    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    on: dt.date


class Place(pydantic.BaseModel):
    name: str
    point: Point
    url: pydantic.HttpUrl | None = None
    secret: pydantic.SecretStr = pydantic.SecretStr("s3cret")


class Pair(typing.NamedTuple):
    a: int
    b: int


@given(values)
def test_plain_values_stay_what_they_are(value):
    again = plain(value)
    assert again == value
    assert encode(again) == encode(value)


DAY = dt.date(2026, 11, 22)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Colour.BOTH, ["red", 1]),
        (Number.ONE, 1),
        (Text("t"), "t"),
        ((1, (2, 3)), [1, [2, 3]]),
        (Pair(1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (collections.deque([1, 2]), [1, 2]),
        (collections.UserList([1]), [1]),
        (array.array("i", [1, 2]), [1, 2]),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        ({"a": 1}.keys(), ["a"]),
        (bytearray(b"\xff"), b"\xff"),
        (memoryview(b"\xff"), b"\xff"),
        (types.MappingProxyType({"a": (1,)}), {"a": [1]}),
        (
            {Colour.RED: 1, Text("t"): 2, 3: 4, 0.5: 5, b"\xff": 6},
            {"red": 1, "t": 2, 3: 4, 0.5: 5, b"\xff": 6},
        ),
        (DAY, "2026-11-22"),
        (dt.datetime(2026, 11, 22, 8, 30, tzinfo=dt.UTC), "2026-11-22T08:30:00+00:00"),
        (dt.time(8, 30), "08:30:00"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.50"), "1.50"),
        (pydantic.HttpUrl("https://example.com/x"), "https://example.com/x"),
        (Point(1, DAY), {"x": 1, "on": "2026-11-22"}),
        (
            Place(name="Oslo", point=Point(1, DAY), url="http://a.b/"),
            {
                "name": "Oslo",
                "point": {"x": 1, "on": "2026-11-22"},
                "url": "http://a.b/",
                "secret": "**********",
            },
        ),
        (pydantic.RootModel[list[int]]([1, 2]), [1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_python_values_have_a_plain_form(value, expected):
    result = plain(value)
    assert result == expected
    assert decode(encode(result), 0, Found())[0] == expected


def test_the_plain_form_has_no_classes_of_its_own():
    result = plain({Text("k"): [Text("v"), Number.ONE]})
    assert type(next(iter(result))) is str
    assert [type(item) for item in result["k"]] == [str, int]


def test_a_function_of_the_spell_stays_itself():
    function = LuaFunction(7)
    assert plain({"f": [function]})["f"][0] is function
    assert not function.retained
    assert function.retain() is function
    assert function.retained
    assert "7" in repr(function)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        len,
        Point,
        Place,
        1j,
        dt.timedelta(1),
        {True: 1},
        {None: 1},
        {(1, 2): 1},
        {float("nan"): 1},
        [{"deep": {"er": object()}}],
        (n for n in [1]),
    ],
    ids=named,
)
def test_anything_else_is_refused(value):
    with pytest.raises(NotPlain) as caught:
        plain(value)
    assert str(caught.value)


def test_a_model_without_a_json_form_is_refused_by_name():
    class Blob(pydantic.BaseModel):
        data: bytes

    with pytest.raises(NotPlain, match="Blob"):
        plain(Blob(data=b"\xff"))


@pytest.mark.parametrize("make", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,)])
def test_depth_has_a_limit(make):
    assert plain(nested(MAX_DEPTH, make)) is not None
    with pytest.raises(NotPlain, match="deep"):
        plain(nested(MAX_DEPTH + 2, make))


def test_a_value_that_contains_itself_is_refused_soon():
    circle = []
    circle += [circle, circle]
    with pytest.raises(NotPlain, match="contains itself"):
        plain(circle)


def test_plain_values_need_no_heavy_import():
    code = (
        "import sys; from llmspell.values import plain, NotPlain\n"
        "try: plain(object())\n"
        "except NotPlain: pass\n"
        "plain({'a': [1, 'x']})\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

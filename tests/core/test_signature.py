import contextlib
import dataclasses
import enum
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import annotated_types
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.signature import Signature
from llmspell.values import LuaFunction

if TYPE_CHECKING:
    from nowhere import Unseen


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Point(pydantic.BaseModel):
    x: int = 0
    y: int = 0


class Shape(pydantic.BaseModel):
    name: str
    points: list[Point] = []
    options: dict[str, Any] = {}


@dataclasses.dataclass
class Window:
    width: int = 80


def refused(function, arguments, **options):
    with pytest.raises(InvalidArguments) as caught:
        Signature(function).bind(arguments, **options)
    return caught.value


# Reading


def test_name_docs_and_order():
    def weather(city: str, days: int = 1, *, unit: Literal["C", "F"] = "C") -> str:
        """Weather for a city,
        as text.

        It may rain.

        Args:
            city: Name, in English.
                Note: not the country.
            days (int): How many
                days.
            unit: C
        Returns:
            Text: not a parameter.

        Free of charge.
        """

    signature = Signature(weather)
    assert signature.name == "weather"
    assert signature.summary == "Weather for a city, as text."
    assert signature.description.startswith("Weather for a city,\nas text.\n\nIt may rain.")
    assert signature.description.endswith("Free of charge.")
    properties = signature.schema["properties"]
    assert list(properties) == ["city", "days", "unit"]
    assert properties["city"] == {
        "type": "string",
        "description": "Name, in English. Note: not the country.",
    }
    assert properties["days"] == {"type": "integer", "default": 1, "description": "How many days."}
    assert properties["unit"]["enum"] == ["C", "F"]
    assert signature.schema["required"] == ["city"]
    assert signature.schema["additionalProperties"] is False
    assert "Returns" not in signature.description
    assert (
        signature.usage
        == "takes city (string), days (integer, optional), unit ('C' or 'F', optional)"
    )


def test_a_function_without_docs_or_parameters():
    def bare(): ...

    signature = Signature(bare)
    assert (signature.summary, signature.description) == ("", "")
    assert signature.schema["properties"] == {}
    assert signature.usage == "takes no arguments"
    assert signature.bind({}) == {}


def test_parameters_the_host_fills_in_are_hidden():
    def handler(effect: Effect, key: str): ...

    signature = Signature(handler, injected=(Effect,))
    assert signature.injections == {"effect": Effect}
    assert signature.injected_first is Effect
    assert list(signature.schema["properties"]) == ["key"]
    with pytest.raises(InvalidArguments, match="effect is not a parameter"):
        signature.bind({"key": "k", "effect": "mine"})


def test_only_the_first_parameter_of_a_handler_is_filled_in():
    def late(key: str, effect: Effect): ...

    with pytest.raises(TypeError, match="first"):
        _ = Signature(late, injected=(Effect,)).injected_first
    assert Signature(lambda: 0, injected=(Effect,)).injected_first is None


@pytest.mark.parametrize("source", ["*args", "**more", "a, /", "a, *args, b=1"])
def test_what_cannot_be_given_by_name_is_refused(source):
    scope = {}
    exec(f"def f({source}): ...", scope)
    with pytest.raises(TypeError, match=r"f: .*by name"):
        _ = Signature(scope["f"]).parameters


def test_a_decorated_function_is_read_through():
    import functools

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @decorate
    def area(shape: "Shape") -> int:
        """An area."""

    assert Signature(area).summary == "An area."
    assert Signature(area).bind({"shape": {"name": "s"}})["shape"] == Shape(name="s")


def test_a_method_has_no_self():
    class Weather:
        def today(self, city: str): ...

    assert Signature(Weather().today).usage == "takes city (string)"


FUTURE = """
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nowhere import Unseen


def later(point: Point, points: list[Point] | None = None) -> Unseen: ...


def unseen(what: Unseen): ...


class Point(BaseModel):
    x: int
    inner: Point | None = None
"""


def test_annotations_of_the_future_and_types_defined_later():
    scope = {"BaseModel": pydantic.BaseModel, "__name__": __name__}
    exec(FUTURE, scope)
    point = scope["Point"]
    point.model_rebuild(_types_namespace=scope)
    bound = Signature(scope["later"]).bind(
        {"point": {"x": 1, "inner": {"x": 2}}, "points": [{"x": 3}]}
    )
    assert bound["point"].inner == point(x=2)
    assert bound["points"] == [point(x=3)]
    with pytest.raises(TypeError, match=r"'Unseen'.*TYPE_CHECKING"):
        _ = Signature(scope["unseen"]).schema


def test_the_results_type_need_not_exist():
    def maybe(n: int) -> "Unseen": ...

    assert Signature(maybe).bind({"n": 1}) == {"n": 1}


def test_a_recursive_model_has_a_schema():
    class Tree(pydantic.BaseModel):
        children: "list[Tree]" = []

    def grow(tree: Tree): ...

    signature = Signature(grow)
    assert signature.schema["$defs"]["Tree"]["properties"]["children"]["type"] == "array"
    assert signature.usage == "takes tree (table)"
    assert signature.bind({"tree": {"children": [{}, {"children": []}]}})["tree"].children[1]


def test_defaults_are_in_the_schema_as_plain_values():
    origin = Point(x=1)

    def f(
        p: Path = Path("/x"), c: Colour = Colour.RED, s: Point = origin, n: str | None = None
    ): ...

    properties = Signature(f).schema["properties"]
    assert [properties[n].get("default", "-") for n in "pcsn"] == [
        "/x",
        "red",
        {"x": 1, "y": 0},
        "-",
    ]


def test_functions_of_the_spell_are_parameters_too():
    def register(function: LuaFunction, when: str = "now"): ...

    function = LuaFunction(1)
    assert Signature(register).bind({"function": function})["function"] is function
    error = refused(register, {"function": 5})
    assert "function" in error.message
    assert "when (string, optional)" in error.hint


def test_kinds_in_usage():
    def f(
        a: dict[str, int],
        b: list[str],
        c: Point,
        d: Colour,
        e: Any,
        g: int | str,
        h: Point | None = None,
        i: Literal[1, "x"] = 1,
    ): ...

    assert Signature(f).usage == (
        "takes a (table), b (list), c (table), d ('red' or 'green'), e (any value), "
        "g (integer or string), h (table, optional), i (1 or 'x', optional)"
    )


# Binding


def sample(
    city: str,
    days: int = 1,
    *,
    colour: Colour = Colour.RED,
    shape: Shape | None = None,
    window: Window | None = None,
    limit: Annotated[int, annotated_types.Gt(0)] = 5,
    mode: Literal["fast", "slow"] = "fast",
    tags: list[str] | None = None,
): ...


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"city": "Oslo"}, {"city": "Oslo"}),
        ({"city": "Oslo", "days": 2.0}, {"city": "Oslo", "days": 2}),
        ({"city": "O", "colour": "green"}, {"city": "O", "colour": Colour.GREEN}),
        (
            {"city": "O", "shape": {"name": "s", "points": [{"x": 1}]}},
            {"city": "O", "shape": Shape(name="s", points=[Point(x=1)])},
        ),
        ({"city": "O", "window": {"width": 3}}, {"city": "O", "window": Window(3)}),
        ({"city": "O", "limit": 1, "mode": "slow"}, {"city": "O", "limit": 1, "mode": "slow"}),
        ({"city": "O", "tags": []}, {"city": "O", "tags": []}),
        ({"city": "O", "shape": None}, {"city": "O", "shape": None}),
    ],
)
def test_arguments_are_converted(given, expected):
    bound = Signature(sample).bind(given)
    assert bound == expected
    assert {k: type(v) for k, v in bound.items()} == {k: type(v) for k, v in expected.items()}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "city is required"),
        ({"city": 5}, "city: "),
        ({"city": "O", "zzz": 1}, "zzz is not a parameter"),
        ({"city": "O", "days": 1.5}, "days: "),
        ({"city": "O", "days": "many"}, "days: "),
        ({"city": "O", "colour": "blue"}, "colour: "),
        ({"city": "O", "limit": 0}, "limit: "),
        ({"city": "O", "mode": "medium"}, "mode: "),
        ({"city": "O", "shape": {}}, "shape.name is required"),
        ({"city": "O", "shape": {"name": "s", "points": [{}, {"x": "a"}]}}, "shape.points.1.x: "),
        ({"city": "O", "window": {"width": "w"}}, "window.width: "),
        ({"city": "O", "tags": {"a": 1}}, "tags: "),
        ({"city": b"\xff"}, "city: the text is not valid UTF-8"),
    ],
)
def test_problems_name_their_field(given, field):
    error = refused(sample, given, target="weather")
    assert any(field in problem for problem in error.details["problems"])
    assert error.message.startswith("weather: ")
    assert error.hint.startswith("takes city (string), ")
    assert not error.retryable


def test_every_problem_is_told():
    error = refused(sample, {"days": "x", "limit": 0, "extra": 1})
    assert len(error.details["problems"]) == 4


def test_the_place_of_a_problem_has_no_union_in_it_and_all_keys():
    def f(v: dict[str, list[int] | dict[str, int]]): ...

    error = refused(f, {"v": {"content-type": {"str": "x"}}})
    assert any(p.startswith("v.content-type.str: ") for p in error.details["problems"])
    assert not any("list[int]" in p for p in error.details["problems"])


# The empty table


def test_an_empty_list_is_an_empty_table_where_one_is_wanted():
    def f(
        d: dict[str, int],
        m: Mapping[str, int],
        p: Point,
        w: Window,
        n: dict[str, int] | None,
        u: Point | str,
        v: dict[str, int] | str,
        deep: dict[str, dict[str, Point]],
        many: list[Point],
        items: list[int],
        free: Any,
    ): ...

    bound = Signature(f).bind(
        {
            "d": [], "m": [], "p": [], "w": [], "n": [], "u": [], "v": [],
            "deep": {"a-b": {"str": []}}, "many": [[], {"x": 1}], "items": [], "free": [],
        }
    )  # fmt: skip
    assert bound == {
        "d": {}, "m": {}, "p": Point(), "w": Window(), "n": {}, "u": Point(), "v": {},
        "deep": {"a-b": {"str": Point()}}, "many": [Point(), Point(x=1)], "items": [], "free": [],
    }  # fmt: skip


def test_putting_empty_tables_right_copies_nothing_else():
    def f(function: LuaFunction, options: dict[str, Any]): ...

    function, given = LuaFunction(1), {"function": LuaFunction(1), "options": []}
    given["function"] = function
    assert Signature(f).bind(given)["function"] is function
    assert given["options"] == []


def test_an_empty_table_lacks_what_is_required_in_it():
    assert "shape.name is required" in refused(sample, {"city": "O", "shape": []}).message


def test_a_name_misspelt_is_corrected():
    assert refused(sample, {"ctiy": "O", "day": 1}).hint == "did you mean city and days?"
    assert refused(sample, {"city": "O", "zzz": 1}).hint.startswith("takes city (string)")


def test_all_arguments_may_be_an_empty_list():
    def f(a: int = 1): ...

    assert Signature(f).bind([]) == {}
    assert "city is required" in refused(sample, []).message
    assert refused(sample, "text")


@given(
    st.dictionaries(
        st.sampled_from(["city", "days", "shape", "tags", "window", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.text("nampoits-[]", max_size=6), inner, max_size=2)
            ),
            max_leaves=6,
        ),
    )
)
def test_arguments_fit_or_are_refused(arguments):
    with contextlib.suppress(InvalidArguments):
        bound = SAMPLE.bind(arguments)
        assert isinstance(bound["city"], str)
        assert bound.keys() == arguments.keys()


SAMPLE = Signature(sample)


def test_reading_a_signature_needs_no_pydantic():
    code = (
        "import sys; from llmspell.signature import Signature\n"
        "def f(a: int = 1): 'Doc.'\n"
        "s = Signature(f); s.parameters, s.summary, s.bind({})\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_of_many_parameters_the_hint_lists_the_wrong_ones():
    def many(a: int, b: str = "", c=0, d=0, e=0, f=0, g=0, h=0, i=0, j=0, k=0): ...

    assert refused(many, {"b": 1}).hint == "takes a (integer), b (string, optional)"
    assert refused(many, {"a": 1, "b": 1}).hint == "takes b (string, optional)"
    assert refused(many, {"a": 1, "zzzzzz": 1}).hint.endswith("k (any value, optional)")

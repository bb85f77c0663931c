import pytest

from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.tools.lua_tool import LuaTool
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio


def make(params=None, **options):
    return LuaTool("add", LuaFunction(0), params=params, **options)


async def test_it_calls_the_function_with_one_table(run):
    run.functions.append(lambda args: args["a"] + args["b"])
    add = make({"a": "integer", "b": {"type": "integer", "default": 10}}, description="Adds.")
    effect = Effect("tool.call", {}, "0/2", run)
    assert await add.invoke(effect, add.bind({"a": 1})) == 11
    assert run.paths == [("0/2.0", "call")]
    assert (add.name, add.description, add.category, add.tags) == ("add", "Adds.", "spell", ())
    assert add.needs({"a": 1, "b": 10}) == []


def test_the_function_is_kept_for_the_run_once_the_tool_is_made():
    function = LuaFunction(0)
    with pytest.raises(InvalidArguments):
        LuaTool("add", function, params="strng")
    with pytest.raises(InvalidArguments):
        LuaTool("not a name", function)
    assert not function.retained
    assert LuaTool("add", function).function.retained


@pytest.mark.parametrize(
    ("params", "given", "bound"),
    [
        (None, {}, {}),
        ([], {}, {}),
        ({"a": "string?"}, {}, {}),
        ({"a": {"type": "integer", "default": 5}}, {}, {"a": 5}),
        ({"a": {"type": "integer", "default": 5}}, {"a": 6}, {"a": 6}),
        ({"opts": "table"}, {"opts": []}, {"opts": []}),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/oneOf/0/properties/a", "default": 5}},
                "oneOf": [{"properties": {"a": {"type": "integer"}}}],
            },
            {},
            {"a": 5},
        ),
        (
            {"cup": {"tea": "string", "ml": {"type": "integer", "default": 200}}},
            {"cup": {"tea": "green"}},
            {"cup": {"tea": "green", "ml": 200}},
        ),
        (
            {"cups": [{"ml": {"type": "integer", "default": 200}}]},
            {"cups": [{"ml": 1}, []]},
            {"cups": [{"ml": 1}, {"ml": 200}]},
        ),
        ({"opts": {"x": "string?"}}, {"opts": []}, {"opts": []}),
        ({"list": ["string"]}, {"list": []}, {"list": []}),
        ({"data": "string"}, {"data": b"\xff"}, {"data": b"\xff"}),
        ({"a": "any"}, {"a": LuaFunction}, {"a": LuaFunction}),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}},
            {"a": "x", "b": 1},
            {"a": "x", "b": 1},
        ),
    ],
    ids=repr,
)
def test_arguments_that_fit(params, given, bound):
    assert make(params).bind(given) == bound


@pytest.mark.parametrize(
    ("params", "given", "said"),
    [
        (None, {"a": 1}, "'a'"),
        ({"a": "integer"}, {}, "'a'"),
        ({"a": "integer"}, {"a": "1"}, "a: "),
        ({"a": {"b": "integer"}}, {"a": {"b": "x"}}, "a.b: "),
        ({"a": {"type": "string", "pattern": "^x"}}, {"a": "y"}, "a: "),
        ({"a": {"enum": ["x"]}}, {"a": "y"}, "a: "),
    ],
    ids=repr,
)
def test_arguments_that_do_not(params, given, said):
    with pytest.raises(InvalidArguments) as caught:
        make(params).bind(given)
    assert said in caught.value.message
    assert caught.value.message.startswith("add: ")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("string", "table of fields"),
        (["string"], "table of fields"),
        ({"anyOf": [{"type": "object"}]}, "table of fields"),
        ({"a": "strng"}, "a: "),
        ({"type": "object", "properties": {"a": {"type": "integer", "minimum": "x"}}}, "minimum"),
        ({"type": "object", "properties": "x"}, "properties"),
        ({"a": {"type": "string", "pattern": "(?<=a)b"}}, "look-"),
        (5, "5"),
    ],
    ids=repr,
)
def test_params_that_describe_no_table(params, said):
    with pytest.raises(InvalidArguments) as caught:
        make(params)
    assert said in caught.value.message
    assert "tool add: params" in caught.value.message


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"type": "integer", "default": "x"}, "n: 'x' is not of type 'integer'"),
        ({"type": "integer", "minimum": 5, "default": 1}, "n: 1 is less than the minimum of 5"),
        ({"enum": [1, 2], "default": 3}, "n: 3 is not one of"),
    ],
)
def test_a_default_that_does_not_fit_is_found_when_the_tool_is_made(field, said):
    with pytest.raises(InvalidArguments, match=f"tool add: params: the default of {said}"):
        make({"n": field, "m": "string"})

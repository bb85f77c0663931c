import asyncio
import dataclasses
import enum
import functools
import threading
from pathlib import Path
from typing import Any

import anyio
import pydantic
import pytest
from plain_values import named

from llmspell.agents.agent_tool import AgentTool
from llmspell.effects import Effect
from llmspell.errors import (
    InvalidArguments,
    InvalidResult,
    PermissionDenied,
    PluginError,
    ToolError,
)
from llmspell.permissions import Need
from llmspell.tools.lua_tool import LuaTool
from llmspell.tools.registry import Tools
from llmspell.tools.tool import FunctionTool, check_tool_name, tool

pytestmark = pytest.mark.anyio


@dataclasses.dataclass
class Forecast:
    city: str
    degrees: float


@tool
async def weather(city: str, days: int = 1) -> list[Forecast]:
    """Weather for a city.

    Args:
        city: Name, in English.
    """
    return [Forecast(city, 20.5)] * days


@pytest.fixture
def invoke(run):
    async def invoke(tool, **arguments):
        effect = Effect("tool.call", {"name": tool.name, "args": arguments}, "0/0", run)
        return await tool.invoke(effect, tool.bind(arguments))

    return invoke


async def test_a_typed_function_becomes_a_tool(invoke):
    assert isinstance(weather, FunctionTool)
    assert (weather.name, weather.category, weather.timeout) == ("weather", "user", None)
    assert weather.description == "Weather for a city."
    assert weather.schema["properties"]["city"]["description"] == "Name, in English."
    assert await invoke(weather, city="Oslo", days=2) == [{"city": "Oslo", "degrees": 20.5}] * 2
    assert weather.needs({"city": "Oslo"}) == []
    assert not weather.declares


async def test_it_is_still_the_function_in_python():
    assert await weather("Oslo") == [Forecast("Oslo", 20.5)]
    assert weather.__doc__.startswith("Weather")


async def test_options(invoke):
    @tool(name="mine", category="text", timeout=3)
    def shout(text: str) -> str:
        return text.upper()

    assert (shout.name, shout.category, shout.timeout) == ("mine", "text", 3)
    assert await invoke(shout, text="a") == "A"


async def test_wrong_arguments_name_the_tool():
    with pytest.raises(InvalidArguments, match=r"^weather: city is required"):
        weather.bind({})


async def test_the_effect_is_handed_in_wherever_it_is_wanted(invoke, run):
    @tool
    async def where(key: str, effect: Effect) -> str:
        return key + effect.path

    assert list(where.schema["properties"]) == ["key"]
    assert await invoke(where, key="at ") == "at 0/0"
    assert where.schema["required"] == ["key"]


async def test_a_sync_function_runs_in_a_thread(invoke):
    @tool
    def thread() -> int:
        return threading.get_ident()

    assert await invoke(thread) != threading.get_ident()


async def test_a_sync_function_may_return_an_awaitable(invoke):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @tool
    @decorate
    async def slow(n: int) -> int:
        """Takes its time."""
        await asyncio.sleep(0)
        return n + 1

    assert slow.description == "Takes its time."
    assert await invoke(slow, n=1) == 2


async def test_a_sync_tool_can_be_given_up(invoke):
    release = threading.Event()

    @tool
    def stuck() -> None:
        release.wait(5)

    with anyio.move_on_after(0.02) as scope:
        await invoke(stuck)
    release.set()
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("error", "message", "kind"),
    [
        (ValueError("bad"), "fails: ValueError: bad", "ValueError"),
        (KeyError("k"), "fails: KeyError: 'k'", "KeyError"),
        (TimeoutError(), "fails: TimeoutError", "TimeoutError"),
        (StopIteration("x"), "fails: ", "RuntimeError"),
        (SystemExit(3), "fails: SystemExit: 3", "SystemExit"),
    ],
    ids=named,
)
@pytest.mark.parametrize("sync", [True, False])
async def test_what_a_tool_raises_is_a_tool_error(invoke, sync, error, message, kind):
    def fails() -> None:
        raise error

    async def fails_later() -> None:
        raise error

    fails_later.__name__ = "fails"
    with pytest.raises(ToolError) as caught:
        await invoke(tool(fails if sync else fails_later))
    assert caught.value.message.startswith(message)
    assert caught.value.details == {"type": kind}
    assert caught.value.__cause__ is not None


async def test_our_own_errors_pass_as_they_are(invoke):
    denied = PermissionDenied("no", hint="ask")

    @tool
    def guarded() -> None:
        raise denied

    with pytest.raises(PermissionDenied) as caught:
        await invoke(guarded)
    assert caught.value is denied


class Blob(pydantic.BaseModel):
    data: bytes


@pytest.mark.parametrize("result", [object(), {True: 1}, [len], Blob(data=b"\xff")], ids=named)
async def test_what_lua_cannot_hold_is_an_invalid_result(invoke, result):
    @tool
    def odd() -> Any:
        return result

    with pytest.raises(InvalidResult, match="odd returned") as caught:
        await invoke(odd)
    assert "dataclass" in caught.value.hint


# Names


@pytest.mark.parametrize("name", ["a", "read_file", "_x", "A1", "x" * 64])
def test_names_a_tool_may_have(name):
    assert check_tool_name(name) == name


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a.b", "a b", "é", "x" * 65, "a\n", "<lambda>"])
def test_names_it_may_not(name):
    with pytest.raises(InvalidArguments, match="not a valid name for a tool"):
        check_tool_name(name)
    with pytest.raises(InvalidArguments):
        tool(name=name or "-")(lambda: None)


# What it touches


@tool(reads=["source", "extra"], writes=["target"], net=["url"])
def copy(
    source: Path,
    target: str = "out.txt",
    *,
    url: pydantic.HttpUrl | None = None,
    extra: list[str] | None = None,
) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "needs"),
    [
        ({"source": "a"}, [("read", "a"), ("write", "out.txt")]),
        ({"source": "a", "target": "b"}, [("read", "a"), ("write", "b")]),
        (
            {"source": "a", "extra": ["b", "c"], "url": "http://X.com"},
            [
                ("read", "a"),
                ("read", "b"),
                ("read", "c"),
                ("write", "out.txt"),
                ("net", "http://x.com/"),
            ],
        ),
        ({"source": "a", "extra": []}, [("read", "a"), ("write", "out.txt")]),
        ({"source": "a", "extra": None}, [("read", "a"), ("write", "out.txt")]),
    ],
)
def test_every_path_and_url_is_needed(arguments, needs):
    assert copy.needs(copy.bind(arguments)) == [Need(*need) for need in needs]


@tool(runs=["program"], env=["variables"])
def launch(program: str = "make", variables: list[str] | None = None) -> None: ...


def test_every_program_and_variable_is_needed():
    bound = launch.bind({"variables": ["HOME", "LANG"]})
    assert launch.needs(bound) == [Need("run", "make"), Need("env", "HOME"), Need("env", "LANG")]


class Place(enum.Enum):
    HERE = "here"


@tool(reads=["what"])
def look(what: Any = Place.HERE) -> None: ...


@pytest.mark.parametrize(
    ("what", "read"), [("a", ["a"]), (b"a\xff", ["a\udcff"]), ([b"a", "b"], ["a", "b"]), ([], [])]
)
def test_what_a_tool_reads_is_text(what, read):
    assert look.needs(look.bind({"what": what})) == [Need("read", path) for path in read]
    assert look.needs({}) == [Need("read", "here")]


@pytest.mark.parametrize("what", [{"path": "/etc/passwd"}, [["/etc/passwd"]], [1], True])
def test_what_cannot_be_judged_is_refused(what):
    """Its text would be judged as a path, which says nothing about the paths that it holds."""
    with pytest.raises(InvalidArguments, match="look: what: no grant covers what is neither"):
        look.needs(look.bind({"what": what}))


def test_a_tool_declares_what_it_touches_or_that_it_touches_nothing():
    assert launch.declares
    assert launch.touches == [("run", "program"), ("env", "variables")]
    nothing = tool(name="nothing", pure=True)(lambda: None)
    assert nothing.declares
    assert nothing.touches == []
    unknown = tool(name="unknown")(lambda: None)
    assert not unknown.declares
    assert unknown.touches == []


def test_a_pure_tool_touches_nothing():
    with pytest.raises(TypeError, match="t is pure, but declares what it touches"):
        tool(name="t", pure=True, reads=["path"])(lambda path: None)


def test_tools_made_of_effects_touch_nothing_themselves():
    assert LuaTool.declares
    assert AgentTool.declares


@pytest.mark.parametrize("option", ["reads", "writes", "net", "runs", "env"])
def test_a_misspelt_parameter_is_found_when_the_tool_is_made(option):
    with pytest.raises(TypeError, match=r"t has no parameter 'pth'"):
        tool(name="t", **{option: ["pth"]})(lambda path: None)


def test_a_registry_of_tools_finds_by_name():
    tools = Tools()
    tools.add(weather)
    assert Tools(tools).find("weather") is weather
    assert tools.kind == "tool"
    with pytest.raises(ValueError, match="tool named 'weather' is already registered"):
        tools.add(weather)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("x: Unseen", "t: its types name 'Unseen'"),
        ("x: 'Any.nothing'", "t: its types cannot be read"),
        ("x: '1 +'", "t: its types cannot be read"),
        ("*x: int", "t: 'x' cannot be passed by name"),
    ],
)
def test_a_tool_that_nobody_can_call_is_not_added(parameters, problem):
    scope = {"Any": Any}
    exec(f"from __future__ import annotations\ndef t({parameters}): ...", scope)
    with pytest.raises(PluginError, match=f"the tool {problem}"):
        Tools().add(tool(scope["t"]))


async def test_a_default_that_only_python_knows_is_not_shown(invoke):
    missing = object()

    @tool
    def given(x: int | None = missing) -> bool:
        """Whether it was given."""
        return x is not missing

    assert "default" not in given.schema["properties"]["x"]
    assert [await invoke(given), await invoke(given, x=1)] == [False, True]


def test_two_versions_of_a_tool():
    tools = Tools()
    new, old = (tool(name="price", version=version)(lambda: None) for version in ("2", "1.5"))
    tools.add(new)
    tools.add(old)
    assert tools["price"] is tools["price@2"] is new
    assert tools["price@1.5"] is old
    assert (weather.version, old.version) == ("1", "1.5")


@pytest.mark.parametrize("version", ["", "two", "1.0b1"])
def test_a_wrong_version_is_found_when_the_tool_is_made(version):
    with pytest.raises(ValueError, match="is not a version"):
        tool(name="t", version=version)(lambda: None)


def test_tags_are_a_list():
    assert tool(name="t", tags=["a", "b"])(lambda: None).tags == ("a", "b")
    with pytest.raises(TypeError, match="t: tags must be a list of words, not 'archive'"):
        tool(name="t", tags="archive")(lambda: None)


def test_more_tools_are_added_to_the_built_in_ones():
    tools = Tools.with_builtin_tools()
    tools.add(weather)
    assert tools["weather"] is weather
    assert tools["calculate"].category == "math"
    assert "weather" not in Tools.with_builtin_tools()


def test_what_there_is_to_say_of_a_tool():
    assert weather.describe() == {
        "name": "weather",
        "version": "1",
        "category": "user",
        "tags": [],
        "description": "Weather for a city.",
        "touches": None,
        "schema": weather.schema,
    }
    said = tool(name="t", category="c", tags=["a"], version="2", reads=["x", "y"], net=["z"])(
        lambda x, y, z: None
    ).summary()
    assert said == {
        "name": "t",
        "version": "2",
        "category": "c",
        "tags": ["a"],
        "description": "",
        "touches": {"read": ["x", "y"], "net": ["z"]},
    }
    assert tool(name="t", pure=True)(lambda: None).summary()["touches"] == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "5 is not a tool: pass a typed function"),
        (None, "None is not a tool"),
        (
            functools.partial(print, 1),
            "partial.* has no name and types: wrap it in a typed function",
        ),
    ],
)
def test_what_is_no_typed_function(given, said):
    with pytest.raises(TypeError, match=said):
        FunctionTool(given)


class Till:
    def __init__(self, name):
        self.name, self.sold = name, 0

    @tool(category="shop", reads=["receipt"])
    def sell(self, effect: Effect, amount: int, receipt: str = "none") -> str:
        """Sell some.

        Args:
            amount: How many.
        """
        self.sold += amount
        return f"{self.name}: {self.sold} for {effect.name}"


async def test_a_method_is_a_tool_of_its_object(invoke):
    mine, other = Till("mine"), Till("other")
    assert list(mine.sell.schema["properties"]) == ["amount", "receipt"]
    assert (mine.sell.category, mine.sell.touches) == ("shop", [("read", "receipt")])
    assert await invoke(mine.sell, amount=2) == "mine: 2 for tool.call"
    assert await invoke(other.sell, amount=1) == "other: 1 for tool.call"
    assert await invoke(mine.sell, amount=3) == "mine: 5 for tool.call"
    assert Till.sell.description == "Sell some."


def test_a_method_of_no_object_is_none():
    with pytest.raises(TypeError, match="sell is a method: pass that of an object"):
        Till.sell.check()
    Till("x").sell.check()


async def test_types_that_pydantic_cannot_use_are_told(invoke):
    class Node:
        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            raise pydantic.PydanticUserError("Please use another type.", code=None)

    @tool
    def visit(node: Node) -> None:
        """Visit a node."""

    with pytest.raises(ToolError, match="visit: pydantic cannot use its types: Please use another"):
        await invoke(visit, node={})

"""Tools as Lua globals, tools defined in Lua, and modules."""

import pytest
from pydantic import BaseModel

from llmspell import Effect, Grants, Runtime, tool
from llmspell.config import Project
from llmspell.errors import SpellRuntimeError
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell_lookup import read_spell

pytestmark = pytest.mark.anyio


class Forecast(BaseModel):
    city: str
    degrees: list[float] = []


@tool
def forecast(city: str, days: int = 1) -> Forecast:
    """The weather.

    Args:
        city: Name, in English.
    """
    return Forecast(city=city, degrees=[20.5] * days)


async def test_a_python_tool_is_a_lua_global(lua):
    source = (
        "return {forecast{city = 'Oslo', days = 2}, Tool.call('forecast', {city = 'Rome'}).city}"
    )
    assert await lua(source, tools=[forecast]) == [
        {"city": "Oslo", "degrees": [20.5, 20.5]},
        "Rome",
    ]


async def test_a_plain_function_becomes_a_tool(lua):
    def double(n: int) -> int:
        """Twice as much."""
        return 2 * n

    assert await lua("return double{n = 21}", tools=[double]) == 42


async def test_a_tool_may_perform_effects(lua):
    @tool
    async def both(effect: Effect, city: str) -> list[object]:
        """Ask another tool."""
        return [
            await effect.perform("tool.call", name="forecast", args={"city": city}),
            effect.path,
        ]

    result = await lua("return both{city = 'Oslo'}", tools=[both, forecast])
    assert result == [{"city": "Oslo", "degrees": [20.5]}, "0/0"]


async def test_a_tool_that_raises_says_so_at_the_line(lua):
    @tool
    def breaks() -> None:
        """Fails."""
        raise OSError("the printer is on fire")

    with pytest.raises(SpellRuntimeError) as caught:
        await lua("\nlocal x = breaks{}", tools=[breaks])
    assert caught.value.where == "test.lua:2"
    assert caught.value.cause.code == "tool_error"
    assert "the printer is on fire" in caught.value.message


async def test_what_a_tool_cannot_return(lua):
    @tool
    async def odd() -> object:
        """Returns what Lua has no word for."""
        return {1 + 2j}

    with pytest.raises(SpellRuntimeError) as caught:
        await lua("local x = odd{}", tools=[odd])
    assert caught.value.cause.code == "invalid_result"


async def test_a_tool_whose_result_is_too_large_is_named(lua):
    @tool
    def report() -> str:
        """Returns far too much."""
        return "x" * (1 << 26)

    with pytest.raises(SpellRuntimeError, match=r"tool\.call report: the value is too large"):
        await lua("local x = report{}", tools=[report])
    with pytest.raises(SpellRuntimeError, match=r"tool\.call report: the value is too large"):
        await lua("Task.all{function() report{} end, function() Task.sleep(9) end}", tools=[report])


async def test_a_timeout_of_a_tool_names_it(lua):
    import anyio

    @tool(timeout=0.02)
    async def slow() -> None:
        """Takes its time."""
        await anyio.sleep(10)

    source = """
    Tool.define{name = "lazy", timeout = 0.02, run = function() Task.sleep(10) end}
    local problems = {}
    for i, call in ipairs{slow, lazy, function() Tool.call("slow", {}) end} do
      local _, problem = try(call, {})
      problems[i] = problem.code .. ": " .. problem.message
    end
    return problems
    """
    late = "effect_timeout: {} took more than 0.02 seconds"
    assert await lua(source, tools=[slow]) == [
        late.format(name) for name in ("slow", "lazy", "slow")
    ]


async def test_tools_defined_in_lua(lua):
    assert await lua("""
        Tool.define{
          name = "greet",
          description = "Say hello.",
          params = {who = "string", times = {type = "integer", default = 1, minimum = 1}},
          run = function(args) return ("hello " .. args.who .. ". "):rep(args.times) end,
        }
        local ok, e = pcall(greet, {who = "x", times = 0})
        local found = Tool.get("greet")
        return {greet{who = "Bob"}, Tool.execute("greet", {who = "Ann", times = 2}), e.code,
                found.category, found.description, Tool.schema("greet").required}
    """) == [
        "hello Bob. ",
        "hello Ann. hello Ann. ",
        "invalid_arguments",
        "spell",
        "Say hello.",
        ["who"],
    ]


async def test_a_tool_defined_in_lua_belongs_to_its_run(new_runtime):
    define = "Tool.define{name = 'mine', run = function() return 1 end}"
    async with new_runtime() as runtime:
        assert await runtime.execute(f"{define} return mine()") == 1
        with pytest.raises(SpellRuntimeError, match="no tool named 'mine'"):
            await runtime.execute("Tool.call('mine')")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Tool.define{name = 'x'}", "run = function"),
        ("Tool.define{name = 'x', run = print, timout = 5}", "timout is not a parameter"),
        ("Tool.define{name = 'no good', run = print}", "not a valid name for a tool"),
        ("Tool.define{name = 'read_file', run = print}", "already"),
        ("Tool.define{name = 'x', run = print, params = 'strin'}", "unknown type"),
        ("Tool.define{name = 'x', run = print, params = {'string'}}", "table of fields"),
        ("Tool.call('read_fil', {})", "read_file"),
    ],
)
async def test_mistakes_are_explained(lua, source, said):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(source)
    assert said in f"{caught.value.message} {caught.value.hint}"


async def test_tools_are_listed_by_category(lua):
    assert await lua("""
        local names = {}
        for _, t in ipairs(Tool.list{category = "encoding"}) do names[#names + 1] = t.name end
        return {#Tool.list() > 20, table.concat(names, " "):match("hash") ~= nil, #Tool.list{category = "none"}}
    """) == [True, True, 0]


async def test_tools_are_listed_by_tag_and_text(lua):
    @tool(category="weather", tags=["sky", "outside"])
    def rain(city: str) -> str:
        """Whether it rains."""
        return city

    assert await lua(
        """
        Tool.define{name = "cloud", description = "A cloud.", tags = {"sky"}, run = print}
        local function names(options)
          local found = {}
          for i, listed in ipairs(Tool.list(options)) do found[i] = listed.name end
          return found
        end
        local problem = select(2, pcall(Tool.list, {tags = "sky"}))
        return {names{tag = "sky"}, names{search = "rains"}, names{search = "sky", category = "spell"},
                names{tag = "none"}, problem.code}
        """,
        tools=[rain],
    ) == [["cloud", "rain"], ["rain"], ["cloud"], [], "invalid_arguments"]


async def test_all_there_is_to_say_of_a_tool(lua):
    @tool(tags=["sky"], version="1.2", reads=["path"])
    def rain(path: str) -> str:
        """Whether it rains."""
        return path

    listed, found, trusted = await lua(
        "return {Tool.list{search = 'rain'}[1], Tool.get('rain'), Tool.get('forecast')}",
        tools=[rain, forecast],
    )
    assert found == rain.describe()
    assert listed == rain.summary()
    assert "touches" not in trusted


async def test_a_version_is_called_by_name(lua):
    def price(version):
        return tool(name="price", version=version)(lambda: f"price {version}")

    assert await lua(
        """
        local problem = select(2, pcall(Tool.call, "price@3"))
        return {price(), Tool.call("price@1.9"), Tool.get("price@1.9").version, problem.hint}
        """,
        tools=[price("1.9"), price("1.10")],
    ) == ["price 1.10", "price 1.9", "1.9", "did you mean 'price@1.10' or 'price@1.9'?"]


async def test_a_tool_hides_a_newer_one_that_is_built_in(lua):
    def named(name, version):
        return tool(name=name, version=version)(lambda: f"{name} {version}")

    tools = [named("calculate", "0.9"), named("calculate", "0.8")]
    source = """
        local built_in = Tool.call("calculate@1", {expression = "1 + 1"})
        return {calculate(), Tool.get("calculate").version, built_in}"""
    assert await lua(source, tools=tools) == ["calculate 0.9", "0.9", 2]


async def test_an_agent_may_have_a_certain_version(new_runtime):
    def price(version):
        return tool(name="price", version=version)(lambda: f"price {version}")

    for named, used in (("price@1", "price 1"), ("price", "price 2")):
        model = ScriptedProvider([ToolCall("1", "price", {}), "done"])
        async with new_runtime(
            tools=[price("1"), price("2")], providers=[model], model="scripted/any"
        ) as runtime:
            await runtime.execute(f"Agent.create{{tools = {{'{named}'}}}}:prompt('go')")
        assert [spec.name for spec in model.requests[0].tools] == ["price"]
        assert model.requests[1].messages[-1].content[0].content[0].text == used


async def test_a_denied_tool_is_denied_in_every_version(lua):
    def price(version):
        return tool(name="price", version=version)(lambda: version)

    with pytest.raises(SpellRuntimeError, match="may not call the tool price"):
        await lua(
            "Tool.call('price@1')",
            tools=[price("1"), price("2")],
            denied=Grants(tool=("price",)),
        )


async def test_a_lua_tool_that_fails_is_a_tool_error_unless_it_says_otherwise(lua):
    source = """
        local function failed_with(raised)
          Tool.define{name = "fails", run = function() error(raised) end}
          return select(2, try(fails))
        end
        local plain = failed_with("no tea")
        return {
          {plain.code, plain.message, plain.where},
          failed_with({code = "sold_out", message = "none left"}).code,
          failed_with({message = "no code", retryable = true}).retryable,
          failed_with(select(2, try(State.get, {}))).code,
        }"""
    assert await lua(source) == [
        ["tool_error", "no tea", "test.lua:3"],
        "sold_out",
        True,
        "invalid_arguments",
    ]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lua_modules").mkdir()
    (tmp_path / "near.lua").write_text("return {name = 'near', deep = require 'lib.deep'}")
    (tmp_path / "lib" / "deep.lua").write_text(
        "Task.sleep(0.01) count = (count or 0) + 1 return count"
    )
    (tmp_path / "lib" / "init.lua").write_text("return 'lib itself'")
    (tmp_path / "lua_modules" / "far.lua").write_text("return ...")
    (tmp_path / "wrong.lua").write_text("local = 1")
    (tmp_path / "fails.lua").write_text("error('cannot load')")
    (tmp_path / "cycle.lua").write_text("return require 'cycle'")
    (tmp_path / "nested.lua").write_text("do " * 500 + "end " * 500)
    (tmp_path.parent / "outside.lua").write_text("return 'outside'")
    (tmp_path / "link.lua").symlink_to(tmp_path.parent / "outside.lua")

    async def run(source):
        (tmp_path / "main_spell.lua").write_text(source)
        project = Project(tmp_path)
        async with Runtime(project=project) as runtime:
            return await runtime.run(read_spell(tmp_path / "main_spell.lua", project))

    return run


async def test_require_finds_modules_and_loads_each_once(project):
    assert await project("""
        local both = Task.map({1, 2}, function() return require("lib.deep") end)
        return {require("near").name, require("near").deep, both, require("far"), require("lib"), count}
    """) == ["near", 1, [1, 1], "far", "lib itself", 1]


async def test_require_returns_the_libraries_but_not_what_a_spell_may_not_have(project):
    assert (
        await project("""
        local found = {}
        for _, name in ipairs{"coroutine", "math", "string", "table", "utf8"} do
          found[#found + 1] = rawequal(require(name), _G[name])
        end
        for _, name in ipairs{"_G", "debug", "io", "os", "package"} do
          found[#found + 1] = (pcall(require, name))
        end
        return found
    """)
        == [True] * 5 + [False] * 5
    )


async def test_a_strangers_spell_finds_only_what_is_beside_it(tmp_path):
    (tmp_path / "project" / "lua_modules").mkdir(parents=True)
    (tmp_path / "project" / "lua_modules" / "far.lua").write_text("return 'far'")
    (tmp_path / "near.lua").write_text("return 'near'")
    (tmp_path / "stranger.lua").write_text("return {require 'near', (pcall(require, 'far'))}")
    async with Runtime(project=Project(tmp_path / "project")) as runtime:
        assert await runtime.run(tmp_path / "stranger.lua") == ["near", False]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "no module 'nowhere'"),
        ("../outside", "not a module name"),
        ("/etc/passwd", "not a module name"),
        ("link", "no module 'link'"),
        ("os", "no module 'os'"),
        ("wrong", "near '='"),
        ("fails", "cannot load"),
        ("cycle", "requires itself"),
        ("nested", "nested.lua: C stack overflow"),
    ],
)
async def test_require_explains_what_it_cannot_load(project, name, said):
    with pytest.raises(SpellRuntimeError) as caught:
        await project(f"require '{name}'")
    assert said in caught.value.message


async def test_a_module_that_failed_may_be_tried_again(project):
    assert await project("""
        local first = pcall(require, "fails")
        local second = pcall(require, "fails")
        return {first, second}
    """) == [False, False]

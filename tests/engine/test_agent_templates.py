"""Agents that files describe."""

import asyncio

import pytest

from llmspell.agents.templates import SHIPPED, Templates
from llmspell.config import Project
from llmspell.errors import InvalidArguments, SpellRuntimeError, UnknownEffect
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell_lookup import read_spell

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "poet.toml").write_text(
        'description = "Rhymes."\nsystem = "You rhyme."\ntemperature = 0.9\n[output]\nlines = ["string"]\n'
    )
    (tmp_path / "agents" / "twin.lua").write_text(
        "-- Says it twice.\nreturn function(options)\n"
        '  return {system = "Twice, " .. (options.name or "nobody"), max_steps = 2}\nend\n'
    )
    return tmp_path


@pytest.fixture
def script(new_runtime):
    async def run(source, replies=("ok",), **options):
        provider = ScriptedProvider(replies)
        async with new_runtime(model="scripted/m", providers=[provider], **options) as runtime:
            return await runtime.execute(source, name="test.lua"), provider.requests

    return run


async def test_an_agent_of_a_file(script, folder):
    result, (request,) = await script(
        """
        local agent = Agent.from("poet", {temperature = 0.1})
        return {(agent:prompt("go")), agent.name, agent:as_tool().description}
        """,
        ['{"lines": ["a"]}'],
    )
    assert result == [{"lines": ["a"]}, "poet", "Rhymes."]
    assert (request.system, request.temperature) == ("You rhyme.", 0.1)


async def test_an_agent_of_a_file_with_capabilities(script, folder):
    (folder / "agents" / "clerk.toml").write_text("[capabilities]\nmemory = {scope = 'desk'}\n")
    result, _ = await script('return Agent.from("clerk"):has("memory")')
    assert result is True
    (folder / "agents" / "clerk.toml").write_text("[capabilities]\nmemry = {}\n")
    with pytest.raises(SpellRuntimeError, match=r"agents/clerk\.toml: no capability named 'memry'"):
        await script('Agent.from("clerk")')


async def test_overrides_are_a_table(script, folder):
    with pytest.raises(SpellRuntimeError, match=r"Agent\.from: the options must be a table"):
        await script('Agent.from("poet", 5)')


async def test_a_timeout_is_also_written_as_a_span_of_time(script, folder):
    (folder / "agents" / "patient.toml").write_text('timeout = "5m"\ntool_timeout = "1m"\n')
    assert (await script('return (Agent.from("patient"):prompt("go"))', ["here"]))[0] == "here"

    async def late(request):
        await asyncio.sleep(5)

    (folder / "agents" / "hasty.toml").write_text('timeout = "10ms"\n')
    with pytest.raises(SpellRuntimeError, match=r"0\.01"):
        await script('Agent.from("hasty"):prompt("go")', late)


async def test_an_agent_of_a_lua_file(script, folder):
    result, requests = await script("""
        Agent.from("twin", {name = "Eve"}):prompt("go")
        return Agent.from("twin"):as_tool().agent ~= nil
    """)
    assert (result, requests[0].system) == (True, "Twice, Eve")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "temprature = 1", "agents/a.toml: temprature is not a parameter"),
        ("a.toml", "tools = ['nope']", "agents/a.toml: no tool named 'nope'"),
        ("a.toml", "model = 'gpt'", "agents/a.toml: model: 'gpt' does not name a provider"),
        ("a.toml", "fallback = ['nope/x']", "agents/a.toml: no provider named 'nope'"),
        ("a.lua", "return {model = 'gpt'}", "agents/a.lua: Agent.create: model: 'gpt' does not"),
        ("a.lua", "return {max_steps = 0}", "agents/a.lua: Agent.create: max_steps: must be"),
        ("a.toml", "x = ", "agents/a.toml"),
        ("a.toml", "x = " + "[" * 2000, "agents/a.toml: nested too deeply (at line 1)"),
        ("a.toml", "seed = 2020-01-01", "agents/a.toml"),
        ("a.lua", "return 5", "agents/a.lua: it must return a table"),
        ("a.lua", "return {", "agents/a.lua:1"),
        ("a.lua", "error('broken')", "agents/a.lua:1: broken"),
        ("b.toml", "", "no agent template named 'a'"),
    ],
)
async def test_mistakes_name_the_file(script, folder, name, text, said):
    (folder / "agents" / name).write_text(text)
    with pytest.raises(SpellRuntimeError) as caught:
        await script("Agent.from('a')")
    assert said in f"{caught.value.where}: {caught.value.message}"


async def test_a_similar_name_is_suggested(script, folder):
    with pytest.raises(SpellRuntimeError) as caught:
        await script("Agent.from('poett')")
    assert caught.value.hint == "did you mean 'poet'?"


async def test_a_strangers_spell_finds_only_its_own_and_the_shipped(
    new_runtime, folder, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "agents").mkdir()
    (elsewhere / "agents" / "mine.toml").write_text("")
    file = elsewhere / "spell.lua"
    file.write_text("""
        local found = {}
        for i, name in ipairs{"mine", "judge", "poet"} do found[i] = try(Agent.from, name) ~= nil end
        return found
    """)
    spell = read_spell(file, Project(folder))
    assert not spell.trusted
    async with new_runtime() as runtime:
        assert await runtime.run(spell) == [True, True, False]


async def test_every_shipped_agent_can_be_made(script):
    names = sorted(file.stem for file in SHIPPED.glob("*.toml"))
    assert len(names) >= 4
    for name in names:
        assert Templates([]).find(name).description
        result, _ = await script(f"return Agent.from('{name}').name")
        assert result == name


def test_a_link_out_of_the_folder_is_no_template(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.toml"
    outside.write_text("")
    (folder / "agents" / "secret.toml").symlink_to(outside)
    templates = Templates([folder / "agents"])
    assert "secret" not in templates.all()
    with pytest.raises(UnknownEffect):
        templates.find("secret")


def test_the_nearest_folder_goes_first(folder, tmp_path_factory):
    nearer = tmp_path_factory.mktemp("nearer")
    (nearer / "judge.lua").write_text("return {}")
    templates = Templates([nearer, folder / "agents"])
    assert templates.find("judge").file.parent == nearer
    assert templates.find("judge").description == ""
    assert templates.find("twin").description == "Says it twice."
    with pytest.raises(InvalidArguments):
        templates.find("judge").options()


async def test_to_read_a_template_is_done_again_when_a_run_goes_on(new_runtime):
    async with new_runtime() as runtime:
        assert runtime.bridges.handler("agent.template").repeatable is True

"""Capabilities of agents from Lua, on the scripted model."""

from typing import ClassVar

import pytest

from llmspell import Capability, Hook, Plugin
from llmspell.errors import SpellRuntimeError
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def script(new_runtime):
    """Runs Lua with a model that says these things; the result and what it was asked."""

    async def run(source, replies=(), **options):
        provider = ScriptedProvider(list(replies))
        options = {"model": "scripted/m", "providers": [provider], **options}
        async with new_runtime(**options) as runtime:
            return await runtime.execute(source, name="test.lua"), provider.requests

    return run


class Kettle(Capability):
    """Boils water."""

    type = "kettle"
    life: ClassVar[list[str]] = []

    def __init__(self, *, litres: float = 1):
        self.litres = litres

    async def attach(self, agent, effect):
        self.life.append(f"attach {agent.name}")

    async def detach(self, agent, effect):
        left = await effect.perform("state.increment", key="boiled", by=self.litres)
        self.life.append(f"detach {agent.name} {left:g}")

    async def instructions(self, agent, effect):
        return f"You have a kettle of {self.litres:g} litres."

    def describe(self):
        return {"litres": self.litres}


@pytest.fixture(autouse=True)
def life():
    Kettle.life = []
    return lambda: Kettle.life


async def test_capabilities_are_given_asked_for_and_taken(script):
    result, requests = await script(
        """
        local agent = Agent.create{name = "a", tools = {"add"}}
        assert(agent:with{memory = {}, tools = {"uuid"}} == agent)
        local names = {}
        for i, c in ipairs(agent:capabilities()) do names[i] = c.name .. ":" .. c.type end
        local had = {agent:has("memory"), agent:has("tools"), agent:has("state")}
        agent:prompt("one")
        agent:without("memory", "tools")
        agent:prompt("two")
        agent:without("tools")
        agent:prompt("three")
        return {names, had, agent:has("memory"), agent:has("tools")}
        """,
        ["1", "2", "3"],
    )
    names = ["own_tools:tools", "memory:memory", "tools:tools"]
    assert result == [names, [True, True, False], False, False]
    offered = [[t.name for t in r.tools] for r in requests]
    assert offered == [["add", "remember", "recall", "uuid"], ["add"], []]


async def test_an_agent_is_made_with_capabilities(script):
    result, _ = await script(
        """
        local one = Agent.create{name = "one", capabilities = {memory = {scope = "x"}}}
        local two = Agent.builder():name("two"):with{state = {}}:with{memory = {}}:build()
        local found = {}
        for _, agent in ipairs(Agent.find{capability = "memory"}) do
          found[#found + 1] = agent.name .. #agent:capabilities()
        end
        return {found, #Agent.find{capability = "state"}, #Agent.find{capability = "x"},
                Agent.find{name = "two"}[1].id == two.id, #Agent.find()}
        """
    )
    assert result == [["one1", "two2"], 1, 0, True, 2]


async def test_memory_outlasts_the_run(script):
    store = MemoryStore()
    _, requests = await script(
        """
        local agent = Agent.create{}:with{memory = {}}
        agent:remember("The guest likes tea.")
        agent:prompt("hello")
        """,
        [ToolCall("", "remember", {"note": "It was raining."}), "bye"],
        store=store,
    )
    result, requests = await script(
        """
        local agent = Agent.create{system = "Be kind."}:with{memory = {shown = 1}}
        agent:prompt("hello again")
        return {agent:recall("tea"), agent:recall("", {most = 1}), #agent:recall()}
        """,
        ["hi"],
        store=store,
    )
    assert requests[0].system == "Be kind.\n\nWhat you remember, newest first:\n- It was raining."
    assert result == [["The guest likes tea."], ["It was raining."], 2]


async def test_variables_are_set_and_seen(script):
    result, requests = await script(
        """
        local agent = Agent.create{name = "waiter"}:with{state = {}}
        agent:set_variable("table", 7)
        agent:set_variable("open", true)
        agent:set_variable("open", nil)
        agent:prompt("hello")
        return agent:variables()
        """,
        [ToolCall("", "set_variable", {"name": "guest", "value": "Ada"}), "welcome"],
    )
    assert result == {"table": 7, "guest": "Ada"}
    assert requests[0].system == 'Your variables: {"table": 7}'


async def test_a_state_that_something_else_has_written_is_refused_in_words(script):
    result, requests = await script(
        """
        State.scope("memory").set("notes", "tea, cake")
        State.scope("agents").set("waiter", 7)
        local agent = Agent.create{name = "waiter"}:with{memory = {}, state = {}}
        local _, first = try(agent.remember, agent, "black")
        local _, second = try(agent.set_variable, agent, "cups", 2)
        agent:prompt("hello")
        return {first.code, first.message, second.message, State.scope("memory").get("notes")}
        """,
        ["hi"],
    )
    said = "the key '{}' in the scope '{}' of the state is not a {}"
    assert result == [
        "agent_error",
        said.format("notes", "memory", "list of texts"),
        said.format("waiter", "agents", "table of names"),
        "tea, cake",
    ]
    assert requests[0].system is None


async def test_hooks_of_an_agent_see_what_it_does_and_nothing_else(script):
    result, _ = await script(
        """
        local seen = {}
        local one = Agent.create{name = "one", tools = {"add"}}:with{hooks = {
          ["before:tool.call"] = function(call)
            seen[#seen + 1] = call.args.name .. call.args.args.a
            return Hook.modify{name = "add", args = {a = 10}, agent = call.args.agent}
          end,
          post_agent_execution = function(call) seen[#seen + 1] = call.result.text end,
          priority = 5,
        }}
        local other = Agent.create{name = "other", tools = {"add"}}
        local _, response = one:prompt("x")
        other:prompt("y")
        add{a = 3}
        one:without("hooks")
        one:prompt("z")
        return {seen, response.tool_calls[1].result, #Hook.list("tool.call")}
        """,
        [ToolCall("", "add", {"a": 1}), "first", ToolCall("", "add", {"a": 2}), "second", "third"],
    )
    assert result == [["add1", "first"], 11, 0]


async def test_another_model_is_used_until_it_is_taken_away(script):
    _, requests = await script(
        """
        local agent = Agent.create{temperature = 0.5}
        agent:with{model = {model = "scripted/other", temperature = 0}}
        agent:prompt("one")
        agent:without("model")
        agent:prompt("two")
        agent:with{model = "scripted/third"}
        agent:prompt("three")
        """,
        ["1", "2", "3"],
    )
    asked = [(r.model, r.temperature) for r in requests]
    assert asked == [("scripted/other", 0), ("scripted/m", 0.5), ("scripted/third", 0.5)]


async def test_one_in_python_is_used_by_name_and_closed_with_the_run(script, life):
    source = """
        local agent = Agent.create{name = "a"}:with{kettle = {litres = 2}}
        Agent.create{name = "b"}:with{kettle = true}
        agent:prompt("tea?")
        return agent:capabilities()
        """
    result, [request] = await script(source, ["yes"], capabilities=[Kettle])
    assert request.system == "You have a kettle of 2 litres."
    assert result == [{"name": "kettle", "type": "kettle", "tools": [], "litres": 2}]
    assert life() == ["attach a", "attach b", "detach a 2", "detach b 3"]


async def test_they_are_closed_after_a_failure_too(script, life):
    source = 'Agent.create{name = "a"}:with{kettle = {}} error("spilt")'
    with pytest.raises(SpellRuntimeError, match="spilt"):
        await script(source, capabilities=[Kettle])
    assert life() == ["attach a", "detach a 1"]


async def test_a_plugin_brings_one(script, life):
    class Kitchen(Plugin):
        name = "kitchen"

        def capabilities(self):
            return [Kettle]

    result, _ = await script(
        "return Agent.create{}:with{kettle = {}}:has('kettle')", plugins=[Kitchen()]
    )
    assert result is True


async def test_what_is_wrong_is_said(script):
    result, _ = await script(
        """
        local agent, said = Agent.create{}, {}
        for i, given in ipairs{
          {memroy = {}}, {memory = {shwon = 1}}, {tools = {"no_such"}},
          {hooks = {["before:"] = function() end}},
        } do
          said[i] = select(2, try(agent.with, agent, given)).code
        end
        said[5] = select(2, try(agent.remember, agent, "x")).hint
        said[6] = select(2, try(agent.with, agent)).message
        said[7] = select(2, try(agent.with, agent, {model = "gpt"})).message
        return {said, #agent:capabilities()}
        """
    )
    assert result == [
        [
            "unknown_effect",
            "invalid_arguments",
            "agent_error",
            "invalid_arguments",
            "give it one: agent:with{memory = {}}",
            "agent:with: takes a table of capabilities, not a nil",
            "model: 'gpt' does not name a provider and a model",
        ],
        0,
    ]


async def test_an_agent_as_a_tool_keeps_its_capabilities(script):
    _, requests = await script(
        """
        local clerk = Agent.create{name = "clerk"}:with{memory = {}}
        clerk:remember("Doors close at six.")
        Agent.create{tools = {clerk}}:prompt("When do you close?")
        """,
        [ToolCall("", "clerk", {"input": "closing time?"}), "six", "At six."],
    )
    assert "Doors close at six." in requests[1].system
    assert requests[2].system is None


async def test_who_a_conversation_was_handed_over_to_brings_its_own(script):
    _, requests = await script(
        """
        local billing = Agent.create{name = "billing"}:with{memory = {scope = "bills"}}
        billing:remember("Bills come on Monday.")
        local desk = Agent.create{name = "desk", handoff = {billing}}:with{memory = {scope = "desk"}}
        desk:remember("The desk is blue.")
        desk:prompt("When do bills come?")
        desk:reset()
        desk:prompt("Hello?")
        """,
        [ToolCall("", "transfer_to_billing", {}), "On Monday.", "Hi."],
    )
    shown = [request.system.rpartition("- ")[2] for request in requests]
    assert shown == ["The desk is blue.", "Bills come on Monday.", "The desk is blue."]


async def test_tools_come_and_go_while_the_agent_works(script):
    result, requests = await script(
        """
        local agent
        local function swap() agent:without("tools"):with{tools = {"calculate"}} return "ok" end
        agent = Agent.create{tools = {{name = "swap", run = swap}}}:with{tools = {"uuid"}}
        local _, response = agent:prompt("go")
        return {response.tool_calls[2].error, response.tool_calls[3].result}
        """,
        [
            ToolCall("1", "swap"),
            [ToolCall("2", "uuid"), ToolCall("3", "calculate", {"expression": "6 * 7"})],
            "done",
        ],
    )
    assert result == ["no tool named 'uuid'", 42]
    offered = [[spec.name for spec in request.tools] for request in requests]
    assert offered == [["swap", "uuid"], ["swap", "calculate"], ["swap", "calculate"]]


class Telling(Hook):
    """Calls a function at each model request and change of the state."""

    def __init__(self, told):
        self._told = told

    async def on_model_request(self, call):
        self._told()

    async def on_state_change(self, call, old, new):
        self._told()


class SlowKettle(Kettle):
    """Takes a while to attach, and brings a hook."""

    type = "slow_kettle"

    def __init__(self, *, seconds: float = 0.02, name: str | None = None):
        super().__init__()
        self.seconds, self.name = seconds, name

    async def attach(self, agent, effect):
        await effect.perform("task.sleep", seconds=self.seconds)
        self.life.append(f"attach {self.name or agent.name}")

    async def detach(self, agent, effect):
        self.life.append(f"detach {self.name or agent.name}")

    def hooks(self):
        return [Telling(lambda: self.life.append("asked"))]


class Pair(SlowKettle):
    """Brings another capability."""

    type = "pair"

    async def attach(self, agent, effect):
        await agent.with_capability(SlowKettle(), effect)


async def test_two_of_one_name_added_at_once_replace_each_other(script, life):
    await script(
        """
        local agent = Agent.create{name = "a"}
        Task.map({0.02, 0.001}, function(seconds) agent:with{slow_kettle = {seconds = seconds}} end)
        agent:prompt("one")
        agent:without("slow_kettle")
        agent:prompt("two")
        """,
        ["1", "2"],
        capabilities=[SlowKettle],
    )
    assert life() == ["attach a", "detach a", "attach a", "asked", "detach a"]


class Farewell(Kettle):
    """Creates an agent when it goes."""

    type = "farewell"

    async def detach(self, agent, effect):
        await effect.perform("agent.create", name="other")
        self.life.append("farewell")


async def test_one_may_create_agents_at_the_end(script, life):
    result, _ = await script(
        """
        Agent.create{name = "a"}:with{farewell = {}}
        Agent.create{name = "b"}:with{slow_kettle = {seconds = 0}}
        return "done"
        """,
        capabilities=[Farewell, SlowKettle],
    )
    assert result == "done"
    assert life() == ["attach a", "attach b", "farewell", "detach b"]


async def test_one_may_bring_another(script):
    result, _ = await script(
        """
        local agent = Agent.create{}:with{pair = {}}
        return {agent:has("pair"), agent:has("slow_kettle")}
        """,
        capabilities=[SlowKettle, Pair],
    )
    assert result == [True, True]


async def test_a_fork_gets_what_its_agent_had_though_that_changes_meanwhile(script, life):
    result, _ = await script(
        """
        local agent = Agent.create{name = "a"}:with{slow_kettle = {seconds = 0.2}}
        local fork = Task.spawn(function() return agent:fork() end)
        Task.sleep(0.005)
        agent:without("slow_kettle"):with{slow_kettle = {name = "new", seconds = 0.001}}
        agent:without("new")
        fork = fork:await()
        fork:prompt("one")
        return {#agent:capabilities(), #fork:capabilities()}
        """,
        ["1"],
        capabilities=[SlowKettle],
    )
    assert result == [0, 1]
    assert life()[-3:] == ["attach a", "asked", "detach a"]


async def test_a_fork_that_is_cancelled_detaches_what_it_had_attached(script, life):
    await script(
        """
        local agent = Agent.create{name = "a"}
        agent:with{slow_kettle = {seconds = 0}}:with{slow_kettle = {name = "late", seconds = 0.1}}
        print(try(Task.timeout, 0.05, function() agent:fork() end))
        State.set("over", true)
        """,
        capabilities=[SlowKettle],
        hooks=[Telling(lambda: life().append("over"))],
    )
    begun = ["attach a", "attach late"]
    assert life() == [*begun, "attach a", "detach a", "over", "detach late", "detach a"]

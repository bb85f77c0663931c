"""Capabilities of agents, by Python, in a run without a Lua state."""

import logging
from asyncio import CancelledError

import anyio
import pytest

from llmspell.agents.agent import Agent, Agents
from llmspell.agents.capabilities import Capability
from llmspell.agents.capabilities.memory import Memory
from llmspell.agents.capabilities.model import Model
from llmspell.agents.capabilities.toolset import Toolset
from llmspell.agents.capabilities.variables import Variables
from llmspell.agents.loop import prompt
from llmspell.effects import Effect
from llmspell.errors import AgentError, HookFailed, InvalidArguments, LimitExceeded, UnknownEffect
from llmspell.events import Events
from llmspell.hooks import Halt, Hook, Hooks
from llmspell.providers.messages import Message, ToolCall
from llmspell.state import MemoryStore, Store
from llmspell.tools.registry import Tools
from llmspell.tools.tool import FunctionTool, tool

pytestmark = pytest.mark.anyio


@tool
async def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


class Seen(Hook):
    def __init__(self, seen):
        self.seen = seen

    async def on_tool_execute(self, call):
        self.seen.append(call.effect.args["name"])

    async def on_agent_complete(self, call):
        self.seen.append("complete")


class Everything(Capability):
    type = "everything"

    def __init__(self):
        self.life, self.seen = [], []

    async def attach(self, agent, effect):
        self.life.append(("attach", agent.id, effect.path))

    async def detach(self, agent, effect):
        self.life.append(("detach", agent.id, effect.path))

    def tools(self):
        def double(n: int) -> int:
            """Doubles."""
            return 2 * n

        return [FunctionTool(double)]

    def hooks(self):
        return [Seen(self.seen)]

    async def instructions(self, agent, effect):
        return f"You are {agent.name}."


@pytest.fixture
def agents(new_run):
    """A run, what makes agents of it, and what prompts them by the whole chain."""

    class Made:
        def __init__(self, *replies):
            self.run = new_run(replies=replies)
            self.run._services[Store] = MemoryStore()
            self.run[Hooks]
            self.effect = Effect("test", {}, "0/0", self.run)

        def agent(self, name="agent", **fields):
            agent = Agent(f"agent-0/{len(self.run[Agents]) + 1}", name, **fields)
            self.run[Agents][agent.id] = agent
            return agent

        async def ask(self, agent, text="hi"):
            return await self.effect.perform("agent.run", agent=agent.id, input=text)

    return Made


async def test_a_capability_brings_tools_hooks_and_instructions(agents):
    call = ToolCall("", "double", {"n": 4})
    made = agents(call, "8", call, "again", "plain")
    one, other = made.agent("one", system="Be brief."), made.agent("other")
    everything = Everything()
    assert await one.with_capability(everything, made.effect) is one
    assert (await made.ask(one))["tool_calls"][0]["result"] == 8
    assert made.run.model.requests[0].system == "Be brief.\n\nYou are one."
    assert [t.name for t in made.run.model.requests[0].tools] == ["double"]
    assert everything.seen == ["double", "complete"]

    assert "error" in (await made.ask(other))["tool_calls"][0]
    assert made.run.model.requests[2].system is None
    assert everything.seen == ["double", "complete"]

    await one.without_capability("everything", made.effect)
    assert one.tools == ()
    assert not one.capabilities
    await made.ask(one)
    assert made.run.model.requests[-1].system == "Be brief."
    assert everything.seen == ["double", "complete"]
    assert made.run[Hooks].own() == []
    assert everything.life == [("attach", one.id, "0/0"), ("detach", one.id, "0/0")]


async def test_what_an_agent_was_made_with_are_capabilities_too(agents):
    made = agents()
    agent = made.agent(model="scripted/x", tools=(add,))
    assert list(agent.capabilities) == ["own_model", "own_tools"]
    assert agent.capabilities.describe() == [
        {"name": "own_model", "type": "model", "tools": []},
        {"name": "own_tools", "type": "tools", "tools": ["add"]},
    ]
    made.run[Tools].register("shared", add)
    await agent.with_capability(Toolset([add, "shared"], name="more"), made.effect)
    assert [c.name for c in agent.capabilities.of_type("tools")] == ["own_tools", "more"]
    assert agent.tools == (add, "shared")
    await agent.capabilities.remove("more", made.effect)
    assert agent.tools == (add,)
    await agent.capabilities.remove("tools", made.effect)
    await agent.capabilities.remove("model", made.effect)
    assert (agent.tools, agent.model, len(agent.capabilities)) == ((), None, 0)
    assert await agent.capabilities.remove("tools", made.effect) == 0


async def test_one_of_the_same_name_takes_the_place_of_the_old_one(agents):
    made = agents()
    agent, first, second = made.agent(), Everything(), Everything()
    await agent.with_capability(first, made.effect)
    await agent.with_capability(second, made.effect)
    assert dict(agent.capabilities) == {"everything": second}
    assert [what for what, *_ in first.life] == ["attach", "detach"]
    assert len(agent.tools) == 1


async def test_another_model_is_taken_back(agents):
    made = agents("a", "b")
    agent = made.agent(model="scripted/one", asks={"temperature": 0.5, "max_tokens": 5})
    await agent.with_capability(Model("scripted/two", temperature=0.0), made.effect)
    await made.ask(agent)
    [request] = made.run.model.requests
    assert (request.model, request.temperature, request.max_tokens) == ("scripted/two", 0, 5)
    twin = made.run[Agents].find(await made.effect.perform("agent.fork", agent=agent.id))
    for each in (agent, twin):
        await each.capabilities.clear(made.effect)
        assert (each.model, each.asks["temperature"]) == ("scripted/one", 0.5)


async def test_a_fork_has_the_same_and_loses_them_by_itself(agents):
    made = agents("one", "two", "three")
    agent, everything = made.agent("one"), Everything()
    await agent.with_capability(everything, made.effect)
    fork = made.run[Agents].find(await made.effect.perform("agent.fork", agent=agent.id))
    await made.ask(fork)
    assert made.run.model.requests[0].system == "You are one."
    assert everything.seen == ["complete"]
    await agent.capabilities.clear(made.effect)
    await made.ask(agent)
    await made.ask(fork)
    assert [r.system for r in made.run.model.requests[1:]] == [None, "You are one."]
    assert everything.seen == ["complete", "complete"]
    await fork.capabilities.clear(made.effect)
    assert made.run[Hooks].own() == []
    assert fork.tools == ()


async def test_agents_are_found_by_capability(agents):
    made = agents()
    plain, one, two = made.agent("plain"), made.agent("one"), made.agent("two", system="Knows tea.")
    await one.with_capability(Memory(), made.effect)
    await two.with_capability(Memory(), made.effect)
    await two.with_capability(Variables(), made.effect)
    found = made.run[Agents]
    assert found.search(tag="memory") == [one, two]
    assert found.search("tea", tag="state") == [two]
    assert found.by_tag() == {"memory": [one, two], "state": [two]}
    assert plain not in found.search(tag="memory")
    await one.capabilities.clear(made.effect)
    assert found.search(tag="memory") == [two]


class Failing(Capability):
    type = "failing"
    timeout = 0.05

    def __init__(self, where, error=None, required=False):
        self.where, self.error, self.required = where, error, required
        self.detached = 0

    async def _at(self, where):
        if where == self.where:
            if self.error is None:
                await anyio.sleep(9)
            raise self.error

    async def attach(self, agent, effect):
        await self._at("attach")

    async def detach(self, agent, effect):
        self.detached += 1
        await self._at("detach")

    def hooks(self):
        if self.where == "hooks":
            raise self.error
        return [Seen([])]

    def tools(self):
        return ["no_such_tool"] if self.where == "tools" else []

    async def instructions(self, agent, effect):
        await self._at("instructions")


@pytest.mark.parametrize(
    ("error", "said"), [(OSError("no line"), "no line"), (None, "more than 0.05 seconds")]
)
async def test_one_that_cannot_be_attached_is_not_there(agents, error, said):
    made = agents("fine")
    agent = made.agent()
    with made.run[Events].stream("capability.failed") as told:
        with pytest.raises(
            AgentError, match=f"'failing' of agent 'agent': attach failed: .*{said}"
        ):
            await agent.with_capability(Failing("attach", error), made.effect)
        event = await told.receive(1)
    assert event.data["phase"] == "attach"
    assert said in event.data["message"]
    assert not agent.capabilities
    assert made.run[Hooks].own() == []
    assert (await made.ask(agent))["text"] == "fine"


class Bringing(Failing):
    """Brings what it is given."""

    type = "bringing"

    def __init__(self, tools=(), hooks=()):
        super().__init__("nowhere")
        self._brought = tools, hooks

    def tools(self):
        return self._brought[0]

    def hooks(self):
        return self._brought[1]


def _untimely():
    late = Seen([])
    late.timeout = 0
    return late


@pytest.mark.parametrize(
    ("failing", "error", "said"),
    [
        (Failing("hooks", KeyError("x")), AgentError, "'failing' of agent 'agent': .*'x'"),
        (Failing("tools"), UnknownEffect, "no_such_tool"),
        (Bringing(tools=[len]), AgentError, "len>, which is not a tool"),
        (Bringing(tools=None), AgentError, "not iterable"),
        (Bringing(hooks=[Seen([]), 7]), AgentError, "7, which is not a Hook"),
        (Bringing(hooks=[Seen([]), _untimely()]), AgentError, "timeout must be above 0"),
    ],
)
async def test_one_whose_parts_cannot_be_had_is_detached(agents, failing, error, said):
    made = agents()
    agent = made.agent()
    with pytest.raises(error, match=said):
        await agent.with_capability(failing, made.effect)
    assert failing.detached == 1
    assert not agent.capabilities
    assert made.run[Hooks].own() == []
    assert agent.tools == ()


@pytest.mark.parametrize("where", ["attach", "detach"])
async def test_a_cancellation_of_its_own_is_a_failure_of_it(agents, where):
    made = agents()
    agent, cancelled, other = made.agent(), Failing(where, CancelledError()), Failing("nowhere")
    other.name = "other"
    await agent.with_capability(other, made.effect)
    with made.run[Events].stream("capability.failed") as told:
        if where == "attach":
            with pytest.raises(AgentError, match="what it waited for was cancelled"):
                await agent.with_capability(cancelled, made.effect)
        else:
            await agent.with_capability(cancelled, made.effect)
        await made.run[Agents].end_run(made.run)
        assert (await told.receive(1)).data["phase"] == where
    assert other.detached == 1


async def test_a_failure_without_words_is_told_by_its_type(agents):
    made = agents()
    with pytest.raises(AgentError, match="attach failed: KeyError"):
        await made.agent().with_capability(Failing("attach", KeyError()), made.effect)


async def test_attach_and_detach_need_not_be_async(agents):
    seen = []

    class Plain(Capability):
        type = "plain"

        def attach(self, agent, effect):
            seen.append("attach")

        def detach(self, agent, effect):
            seen.append("detach")

    made = agents()
    await made.agent().with_capability(Plain(), made.effect)
    await made.run[Agents].end_run(made.run)
    assert seen == ["attach", "detach"]


async def test_all_are_detached_at_the_end_though_a_limit_is_broken(agents, caplog):
    made = agents()
    error = LimitExceeded("full", limit="effects", value=5)
    given = [Failing("detach", error) for _ in range(3)]
    one, other = made.agent("one"), made.agent("other")
    for number, failing in enumerate(given):
        failing.name = f"number {number}"
        await (one, one, other)[number].with_capability(failing, made.effect)
    await made.run[Agents].end_run(made.run)
    assert [failing.detached for failing in given] == [1, 1, 1]
    assert "'number 1' of agent 'one': detach failed: full" in caplog.text


async def test_one_that_cannot_be_described_does_not_hide_the_others(agents, caplog):
    class Shy(Capability):
        type = "shy"

        def __init__(self, answer):
            self.answer, self.name = answer, f"{answer}"

        def describe(self):
            return {"size": 1 / self.answer} if self.answer == 0 else {"size": self.answer}

    made = agents()
    agent = made.agent()
    for answer in (0, {1}.__iter__(), 3):
        await agent.with_capability(Shy(answer), made.effect)
    assert [c.get("size") for c in agent.capabilities.describe()] == [None, None, 3]
    assert "capability '0' cannot be described: ZeroDivisionError" in caplog.text


async def test_a_failing_detach_is_reported_and_the_capability_gone(agents, caplog):
    made = agents("fine")
    agent, failing, everything = made.agent(), Failing("detach", OSError("stuck")), Everything()
    await agent.with_capability(everything, made.effect)
    await agent.with_capability(failing, made.effect)
    with caplog.at_level(logging.WARNING):
        await made.run[Agents].end_run(made.run)
    assert "detach failed: stuck" in caplog.text
    assert not agent.capabilities
    assert everything.life[-1] == ("detach", agent.id, "0/1/end")


async def test_failing_instructions_are_passed_over_unless_required(agents):
    made = agents("fine", "not asked")
    agent, failing = made.agent(), Failing("instructions", OSError("no line"))
    await agent.with_capability(failing, made.effect)
    with made.run[Events].stream("hook.failed") as told:
        assert (await made.ask(agent))["text"] == "fine"
        event = await told.receive(1)
    assert event.data["hook"] == "failing.instructions.on_model_request"
    await agent.with_capability(
        Failing("instructions", OSError("no line"), required=True), made.effect
    )
    with pytest.raises(HookFailed, match="no line"):
        await made.ask(agent)


async def test_instructions_that_are_no_text_are_passed_over(agents, caplog):
    class Counted(Capability):
        type = "counted"

        async def instructions(self, agent, effect):
            return 7

    made = agents("fine")
    agent = made.agent()
    await agent.with_capability(Counted(), made.effect)
    assert (await made.ask(agent))["text"] == "fine"
    assert "instructions() is 7, which is not text" in caplog.text


async def test_a_limit_that_attaching_breaks_ends_the_run(agents):
    made = agents()
    error = LimitExceeded("full", limit="effects", value=5)
    with pytest.raises(LimitExceeded):
        await made.agent().with_capability(Failing("attach", error), made.effect)


async def test_hooks_of_a_capability_may_halt(agents):
    class Never(Hook):
        async def on_agent_start(self, call):
            return Halt("never")

    class Closed(Capability):
        type = "closed"

        def hooks(self):
            return [Never()]

    made = agents("fine")
    closed, open_ = made.agent(), made.agent()
    await closed.with_capability(Closed(), made.effect)
    with pytest.raises(Exception, match=r"stopped by hook 'closed\.Never\.on_agent_start': never"):
        await made.ask(closed)
    assert (await made.ask(open_))["text"] == "fine"


async def test_memory_is_shown_searched_and_added_to(agents):
    made = agents(
        ToolCall("", "remember", {"note": "The guest likes tea."}),
        "noted",
        ToolCall("", "recall", {"words": "LIKES tea"}),
        "tea",
    )
    agent, memory = made.agent(), Memory("guests", shown=2, kept=3)
    await agent.with_capability(memory, made.effect)
    for note in ("one", "two", "three"):
        await memory.remember(made.effect, note)
    await made.ask(agent)
    answer = await made.ask(agent)
    first, *_, last = made.run.model.requests
    assert first.system == "What you remember, newest first:\n- three\n- two"
    assert last.system == "What you remember, newest first:\n- The guest likes tea.\n- three"
    assert answer["tool_calls"][0]["result"] == ["The guest likes tea."]
    await memory.remember(made.effect, "three")
    assert await memory.recall(made.effect) == ["three", "The guest likes tea.", "two"]
    assert await memory.recall(made.effect, "t", most=1) == ["three"]


async def test_notes_taken_at_the_same_time_are_all_kept(agents):
    made = agents()
    memory = Memory()
    efforts = [made.effect.child("note", {}) for _ in range(20)]
    async with anyio.create_task_group() as group:
        for n, effect in enumerate(efforts):
            group.start_soon(memory.remember, effect, f"note {n}")
    assert len(await memory.recall(made.effect)) == 20


async def test_variables_are_seen_and_set(agents):
    made = agents(ToolCall("", "set_variable", {"name": "cups", "value": 2}), "set", "bye")
    agent, state = made.agent("waiter"), Variables()
    await agent.with_capability(state, made.effect)
    await state.set(made.effect, "table", 7)
    await made.ask(agent)
    await state.set(made.effect, "table", None)
    await made.ask(agent)
    assert [r.system for r in made.run.model.requests] == [
        'Your variables: {"table": 7}',
        'Your variables: {"cups": 2, "table": 7}',
        'Your variables: {"cups": 2}',
    ]
    await agent.with_capability(Variables(settable=False), made.effect)
    assert agent.tools == ()


def test_types_are_registered_once_and_made_of_settings(run):
    from llmspell.agents.capabilities import CapabilityTypes

    types = CapabilityTypes()
    types.add(Everything)
    assert {"everything", "memory", "tools"} <= set(types)
    assert isinstance(types.make("everything", True), Everything)
    assert types.make("memory", "guests").scope == "guests"
    assert types.make("memory", {"shown": 5}).shown == 5
    for wrong, said in [
        ({"shwon": 5}, "shwon"),
        ({"shown": "many"}, "shown"),
        ({"kept": 0}, "kept at least 1"),
    ]:
        with pytest.raises(InvalidArguments, match=said):
            types.make("memory", wrong)
    for given in (5, {"a": 1}):
        with pytest.raises(InvalidArguments, match=r"setting|parameter"):
            types.make("everything", given)
    with pytest.raises(UnknownEffect) as unknown:
        types.make("memroy", {})
    assert "memory" in unknown.value.hint
    with pytest.raises(ValueError, match="already registered"):
        types.add(Everything)
    with pytest.raises(TypeError, match="not a subclass"):
        types.add(Everything())
    with pytest.raises(TypeError, match='Untyped has no type; give the class a type = "…"'):
        types.add(type("Untyped", (Capability,), {}))

    class Memory2(Capability):
        type = "memory"

    with pytest.raises(ValueError, match="built in"):
        types.add(Memory2)


async def test_hooks_see_what_a_prompt_does_and_not_what_is_inside_of_tools(agents):
    """The agent that a tool asks is another one, though it works under the same path."""
    made = agents(ToolCall("", "helper", {"input": "x"}), "helped", "done")
    helper = made.agent("helper")
    from llmspell.agents.agent_tool import AgentTool

    boss, everything = made.agent("boss", tools=(AgentTool(helper),)), Everything()
    await boss.with_capability(everything, made.effect)
    await made.ask(boss)
    assert [r.system for r in made.run.model.requests] == ["You are boss.", None, "You are boss."]
    assert everything.seen == ["helper", "complete"]


async def test_a_prompt_from_the_loop_itself_has_them(agents):
    """Without the effect agent.run around it, as other handlers may use the loop."""
    made = agents("fine")
    agent = made.agent("one")
    await agent.with_capability(Everything(), made.effect)
    effect = Effect("other", {}, "0/9", made.run)
    await prompt(effect, agent, Message.of("user", "hi"), model="scripted/any")
    assert made.run.model.requests[0].system == "You are one."

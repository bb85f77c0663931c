"""The limit `kept`: what the host keeps for a run counts, and what is dropped is given back."""

import gc

import pytest

from llmspell import Limits
from llmspell.agents.agent import Agent
from llmspell.errors import LimitExceeded
from llmspell.kept import Kept, size_of
from llmspell.providers.messages import Message, ToolCall
from llmspell.providers.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio

LIMITS = Limits(kept=2_000_000)
LARGE = 'local s = ("x"):rep(100000) '
TEN, THIRTY = "for i = 1, 10 do ", "for i = 1, 30 do "

KEEPS = {
    "agents": "Agent.create{system = s}",
    "tools of agents": "Agent.create{tools = {{name = 't', description = s, run = print}}}",
    "conversations": "Agent.create{history = {{role = 'user', content = s}}}",
    "loaded": "Agent.create{}:load{version = 1, messages = {{role = 'user', content = s}}}",
    "forks": "a = a or Agent.create{history = {{role = 'user', content = s}}} a:fork()",
    "capabilities": "Agent.create{}:with{memory = {scope = ('k'):rep(99), name = s}}",
    "tools": "Tool.define{name = 't' .. i, description = s, run = print}",
    "hooks": "Hook.before('state.get', print, {name = s})",
    "removed hooks": "Hook.before('state.get', print, {name = s}):remove()",
    "cached": (
        "h = h or Hook.before('json.decode', function() n = (n or 0) + 1 "
        "return {type = 'cache', key = '' .. n} end) JSON.decode('\"' .. s .. '\"')"
    ),
}

GIVES_BACK = {
    "tools": "Tool.define{name = 't', description = s, run = print}",
    "resets": (
        "a = a or Agent.create{} a:load{version = 1, messages = {{role = 'user', content = s}}} "
        "a:reset()"
    ),
    "loads": (
        "a = a or Agent.create{} a:load{version = 1, messages = {{role = 'user', content = s}}}"
    ),
    "capabilities": "a = a or Agent.create{} a:with{memory = {name = s}} a:without(s)",
    "arguments": "State.set('k', s)",
    "children": "Spell.run('Agent.create{system = (\"x\"):rep(150000)}')",
}


@pytest.mark.parametrize("kind", KEEPS)
async def test_what_is_kept_counts(lua, kind):
    source = KEEPS[kind]
    await lua(f"{LARGE} {TEN} {source} end", limits=LIMITS)
    with pytest.raises(LimitExceeded, match="too much kept by the host") as caught:
        await lua(f"{LARGE} {THIRTY} pcall(function() {source} end) end", limits=LIMITS)
    assert (caught.value.limit, caught.value.value) == ("kept", 2_000_000)
    assert caught.value.where


@pytest.mark.parametrize("kind", GIVES_BACK)
async def test_what_is_dropped_is_given_back(lua, kind):
    await lua(f"{LARGE} {THIRTY} {GIVES_BACK[kind]} end", limits=LIMITS)


async def test_arguments_count_while_a_task_waits(lua):
    source = f"""{LARGE}
      Event.subscribe("a", {{size = 1, overflow = "wait"}}) Event.publish("a", 1)
      local tasks = {{}}
      for i = 1, N do
        tasks[i] = Task.spawn(function() Event.publish("a", s) end)
        Task.sleep(0)
      end
      for _, task in ipairs(tasks) do task:cancel() end"""
    await lua(source.replace("N", "10"), limits=LIMITS)
    with pytest.raises(LimitExceeded, match="kept"):
        await lua(source.replace("N", "30"), limits=LIMITS)


@pytest.fixture
def talk(lua):
    """Runs a spell with a model whose answers have 10,000 characters."""

    async def run(source, answer=lambda _: "y" * 10_000):
        model = ScriptedProvider(answer)
        return await lua(source, limits=LIMITS, providers=[model], model="scripted/any")

    return run


PROMPTS = "local a = Agent.create{context = %s} for i = 1, %d do a:prompt(('x'):rep(10000)) %s end"


async def test_a_conversation_counts_as_long_as_it_is(talk):
    await talk(PROMPTS % ("nil", 90, ""))
    with pytest.raises(LimitExceeded, match="kept"):
        await talk(PROMPTS % ("nil", 110, ""))
    await talk(PROMPTS % ("nil", 150, "if i % 50 == 0 then a:reset() end"))
    await talk(PROMPTS % ("{max_tokens = 20000}", 150, ""))


async def test_a_prompt_in_progress_counts(talk):
    def answer(request):
        return [ToolCall("1", "made", {})] if len(request.messages) < 100 else "done"

    made = "{name = 'made', run = function() return ('x'):rep(%d) end}"
    source = "local a = Agent.create{max_steps = 99, tools = {%s}} for _ = 1, 3 do %s end"
    prompt = "a:prompt('go') a:reset()"
    await talk(source % (made % 30_000, prompt), answer)
    with pytest.raises(LimitExceeded, match="kept"):
        await talk(source % (made % 50_000, prompt), answer)


async def test_agents_that_are_tools_leave_no_conversations(talk):
    def answer(request):
        if not request.tools:
            return "y" * 100_000
        return (
            [ToolCall("1", "other", {"input": "x"})] if request.messages[-1].role == "user" else "d"
        )

    source = """
      local a = Agent.create{tools = {Agent.create{name = "other"}}}
      for _ = 1, 30 do a:prompt("go") a:reset() end"""
    await talk(source, answer)


STATE = """local s = ("x"):rep(100000) for i = 1, 30 do {} end"""


async def test_a_state_of_ones_own_counts(lua):
    def child(source, **_):
        return f"return Spell.run([==[{STATE.format(source)}]==])"

    with pytest.raises(LimitExceeded, match="kept"):
        await lua(child("State.set('k' .. i, s)"), limits=LIMITS)
    with pytest.raises(LimitExceeded, match="kept"):
        await lua(child("State.compare_and_set('k' .. i, nil, s)"), limits=LIMITS)
    with pytest.raises(LimitExceeded, match="kept"):
        await lua(child("State.update('k' .. i, function() return s end)"), limits=LIMITS)
    await lua(child("State.set('k', s)"), limits=LIMITS)
    await lua(child("State.set('k' .. i, s) State.delete('k' .. i)"), limits=LIMITS)
    await lua(child("State.set('k' .. i, s) State.set('k' .. i, nil)"), limits=LIMITS)
    failed = "State.set('k' .. i, s) State.compare_and_set('k' .. i, 'no', 'a') "
    with pytest.raises(LimitExceeded, match="kept"):
        await lua(child(failed), limits=LIMITS)


async def test_what_children_keep_counts_for_their_parent(lua):
    child = """Spell.run("local s = ('x'):rep(100000) for i = 1, 8 do Agent.create{system = s} end Task.sleep(0.2)")"""
    await lua(f"for _ = 1, 4 do {child} end", limits=LIMITS)
    with pytest.raises(LimitExceeded) as caught:
        await lua(
            f"Task.map({{1, 2, 3, 4}}, function() pcall(function() {child} end) end)", limits=LIMITS
        )
    assert (caught.value.limit, caught.value.value) == ("kept", 2_000_000)


async def test_a_child_may_have_less(lua):
    error = await lua(
        """local ok, e = pcall(Spell.run, "for i = 1, 9 do Agent.create{system = ('x'):rep(9000)} end",
          {limits = {kept = "50kB"}}) assert(not ok) return e""",
        limits=LIMITS,
    )
    assert error["details"] == {
        "code": "limit_exceeded",
        "where": "spell:1",
        "limit": "kept",
        "value": 50_000,
    }
    assert error["hint"] == "raise it: Spell.run(…, {limits = {kept = …}})"


async def test_what_a_child_kept_is_gone_with_it(lua):
    """Not only when Python's collector of cycles runs."""
    gc.collect()
    gc.disable()
    try:
        await lua("Spell.run('Agent.create{system = \"the tea of a child\"}')")
        agents = [one for one in gc.get_objects() if type(one) is Agent]
        assert "the tea of a child" not in [agent.system for agent in agents]
    finally:
        gc.enable()


async def test_sizes_are_those_of_the_contents():
    assert size_of("x" * 1000) == size_of(b"x" * 1000) == 1032
    assert size_of("ä" * 1000) == 4032
    assert size_of({"a": ["x" * 1000]}) > 1000
    assert size_of(Message.of("user", "x" * 1000)) > 1000


async def test_an_account_of_a_child_is_part_of_its_parents():
    parent = Kept(100)
    child = parent.within(80)
    child.keep("a", 60)
    with pytest.raises(LimitExceeded, match="80 bytes"):
        child.keep("b", 30)
    parent.check()
    child.drop("b")
    with pytest.raises(LimitExceeded, match="100 bytes"):
        parent.keep("b", 50)
    parent.drop("b")
    with pytest.raises(LimitExceeded, match="100 bytes"):
        parent.check()  # it was exceeded, even if it is not now
    child.drop_kept()
    parent.keep("c", 100)

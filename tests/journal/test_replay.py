"""Replay: the same once more, and nothing is done outside."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from llmspell import Capability, Effect, Halt, Hook, Modify, Replace, tool
from llmspell.bridge import Bridge
from llmspell.errors import (
    EffectError,
    HookHalted,
    JournalExhausted,
    LimitExceeded,
    LlmspellError,
    ProviderError,
    ReplayError,
    RunSuspended,
    SpellRuntimeError,
)
from llmspell.hooks.hook import Part
from llmspell.journal import history
from llmspell.limits import Limits
from llmspell.providers.messages import Message, ModelResponse, TextDelta, ToolCall, Usage
from llmspell.providers.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio

CALLS = []


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    return CALLS


@tool
async def work(n: int, seconds: float = 0) -> int:
    CALLS.append(n)
    await asyncio.sleep(seconds)
    return n * 10


@tool
def fail(n: int) -> None:
    CALLS.append(n)
    raise ValueError(f"no {n}")


@pytest.fixture
def twice(new_runtime, printed, calls):
    """Runs a spell and replays it: nothing is done again, and all looks the same."""

    async def run(source, **options):
        options.setdefault("tools", [work, fail])
        ids = []
        async with new_runtime(**options) as runtime:
            from llmspell.spell import parse_spell

            spell = parse_spell(source.encode(), name="s", file="s.lua")
            outcome = await caught(runtime.run(spell, begun=ids.append))
            first, done = list(printed), list(calls)
            printed.clear()
        async with new_runtime(**options) as runtime:  # as another process would
            again = await caught(runtime.replay(ids[0]))
        assert repr(again) == repr(outcome)
        if isinstance(outcome, Exception):
            assert (again.where, again.message) == (outcome.where, outcome.message)
            raise outcome
        assert printed == first
        assert calls == done
        return outcome

    return run


async def caught(coroutine):
    try:
        return await coroutine
    except LlmspellError as error:
        return error


@pytest.mark.parametrize(
    "source",
    [
        "return 1",
        "print(math.random(), os.time(), os.clock() >= 0) return math.random(1, 100)",
        (
            "local t = {} for i = 1, 50 do t['k' .. math.random(1000)] = i end "
            "local s = {} for k in pairs(t) do s[#s + 1] = k end return table.concat(s, ' ')"
        ),
        "return {work{n = 1}, work{n = 2}}",
        "local ok, e = pcall(fail, {n = 1}) return {ok, e.code, e.message}",
        "local s = {} Task.map({3, 1, 2}, function(n) work{n = n, seconds = n / 100} s[#s + 1] = n end) return s",
        "return Task.race{function() return work{n = 1, seconds = 0.05} end, function() return work{n = 2} end}",
        "return select(2, pcall(Task.timeout, 0.02, function() work{n = 1, seconds = 9} end)).code",
        "local t = Task.spawn(function() while true do Task.sleep(0.001) print('tick') end end) work{n = 1, seconds = 0.02} t:cancel() return 1",
        "State.set('a', {1, 2}) State.update('a', function(a) a[3] = work{n = 3} return a end) return State.get('a')",
        "Hook.before('tool.call', function(c) print('before') if c.args.args.n == 2 then return {type = 'replace', result = 7} end end) return {work{n = 1}, work{n = 2}}",
        "Event.subscribe('x', function(e) print('got', e.data) work{n = e.data} end) Event.publish('x', 1) Event.publish('x', 2) return 1",
        "local s = {} State.watch('*', function(c) s[#s + 1] = c.key end) State.set('a', 1) State.set('b', 2) work{n = 1, seconds = 0.05} return s",
        "local o = {} Task.map({1, 2, 3, 4, 5, 6, 7, 8}, function(i) Task.map({1, 2}, function(j) work{n = i * 10 + j, seconds = (i * j % 3) / 200} o[#o + 1] = i .. j end) end) return table.concat(o, ' ')",
        "return Spell.run([[print('inside') return Task.map({1, 2}, function(n) return {math.random(), os.time()} end)]], {grants = {}})",
        "local r = Task.map({1, 2, 3}, function(i) return Spell.run('return os.time() + ' .. i) end) return #r",
        "Tool.define{name = 'twice', params = {n = 'integer'}, run = function(a) return work{n = a.n} + work{n = a.n + 1} end} return {twice{n = 1}, Tool.call('twice', {n = 5})}",
    ],
)
async def test_a_run_is_the_same_when_replayed(twice, source):
    await twice(source)


@pytest.mark.parametrize(
    "hook",
    [
        "before('tool.call', function() State.increment('seen') end)",
        "before('tool.call', function() return Hook.replace(work{n = 7}) end)",
        "before('tool.call', function() work{n = 7} error('no') end)",
        "after('tool.call', function(c) return Hook.modify(c.result + work{n = 7}) end)",
        "on_error('tool.call', function() work{n = 7} return Hook.replace(0) end)",
        "before('tool.call', function() return Hook.fork{{'state.increment', {key = 'n'}}, {'tool.call', {name = 'work', args = {n = 7, seconds = 0.01}}}} end)",
        "after('tool.call', function() return Hook.fork{{'tool.call', {name = 'work', args = {n = 7}}}} end)",
        "after('tool.call', function() return Hook.redirect{tool = 'work', args = {n = 7}} end)",
        "on_error('tool.call', function() return Hook.redirect{tool = 'work', args = {n = 7}} end)",
        "before('tool.call', function() return Hook.retry(0.001, 2) end)",
        "after('tool.call', function() return Hook.retry(0, 2) end)",
        "on_error('tool.call', function() Task.sleep(0.001) return Hook.retry(0.001, 2) end)",
        "use('retry', {effects = {'tool.call'}, any_error = true, delay = '1ms'})",
        "use('cache', {effects = {'tool.call'}})",
        "before('state.set', function() State.increment('seen') end)",
        "before('*', function(c) if c.effect ~= 'state.increment' then State.increment(c.effect) end end)",
    ],
)
async def test_what_hooks_do_at_leaves_is_the_same(twice, hook):
    await twice(f"""
    local out = {{}}
    Hook.{hook}
    Task.map({{1, 2, 1}}, function(n)
      out[#out + 1] = tostring(try(work, {{n = n, seconds = n / 500}}))
      out[#out + 1] = select(2, pcall(fail, {{n = n}}))
      State.set('n', n)
    end)
    return {{out, State.get('seen'), State.get('state.set')}}
    """)


@pytest.mark.parametrize(
    "source",
    [
        "Hook.before('tool.call', function() return Hook.cache(nil, 0.03) end) for i = 1, 3 do work{n = 1} Task.sleep(0.05) work{n = 1} end",
        "Hook.use('cache', {effects = {'tool.call'}, ttl = '30ms'}) for i = 1, 3 do work{n = 1} Task.sleep(0.05) work{n = 1} end",
        "Hook.after('tool.call', function() return Hook.cache('k', 0.03) end) Hook.on_error('tool.call', function() return Hook.cache('k') end) work{n = 1} print(pcall(fail, {n = 1})) Task.sleep(0.05) print(pcall(fail, {n = 2}))",
        "Hook.before('tool.call', function() print('asked') error('no') end, {max_failures = 1, cool_down = 0.03}) for i = 1, 3 do work{n = 1} work{n = 2} Task.sleep(0.05) end",
        "Hook.before('tool.call', function() print('asked') error('no') end, {max_failures = 1, cool_down = 0.03, required = true}) for i = 1, 3 do print(pcall(work, {n = 1})) print(pcall(work, {n = 1})) Task.sleep(0.05) end",
        "Hook.before('tool.call', function(c) if c.args.args.n == 1 then work{n = 2, seconds = 9} end end, {timeout = 0.8}) Task.all{function() work{n = 1} print(1) end, function() Task.sleep(0.9) print(2) end}",
        "Task.all{function() print(pcall(Task.budget, {seconds = 0.8}, function() work{n = 1, seconds = 9} end)) end, function() Task.sleep(0.9) print(2) end, function() work{n = 3, seconds = 1} end}",
        "local a = Agent.create{budget = {seconds = 0.8}} local function ask() print(select(2, pcall(a.prompt, a, 'x')).code) end Task.all{ask, function() Task.sleep(0.9) ask() end, function() work{n = 3, seconds = 1} end}",
        "local a = Agent.create{timeout = 0.8} local function ask() print(pcall(a.prompt, a, 'x')) end Task.all{ask, function() Task.sleep(0.9) print(2) end, function() work{n = 3, seconds = 1} end}",
        "Event.subscribe('x', function() print(work{n = 2, seconds = 9}) end, {timeout = 0.8}) Event.subscribe('subscriber.*', function(e) print(e.data.error) end) Event.publish('x') Task.sleep(0.9)",
        "State.watch('k', function() print(work{n = 2, seconds = 9}) end, {timeout = 0.8}) Event.subscribe('subscriber.*', function(e) print(e.data.error) end) State.set('k', 1) Task.sleep(0.9)",
    ],
)
async def test_what_depended_on_the_time_is_the_same_though_none_passes(twice, source, monkeypatch):
    async def never(request):
        await asyncio.sleep(60)

    monkeypatch.setattr(history, "STUCK", 0.3)
    await twice(source, providers=[ScriptedProvider(never)], model="scripted/any")


async def test_a_hook_that_answers_just_as_its_time_is_up_is_too_late_again(twice):
    source = """
    local function compute() local x = 0 for i = 1, 40000 do x = x + i end end
    Hook.before("tool.call", function() State.get("x") return Hook.skip() end, {timeout = 0.001})
    local function call(n) compute() try(fail, {n = n}) compute() end
    Task.all{
      function() call(1) end,
      function() try(fail, {n = 2}) compute() end,
      function() compute() State.set("a", 1) compute() end,
    }
    """
    for _ in range(20):
        await twice(source)


@pytest.mark.parametrize("ends", [None, EffectError("no")])
async def test_an_effect_that_ends_just_as_its_time_is_up_is_too_late_again(twice, tmp_path, ends):
    lua = "local host = ... return {nap = function(n) return host.perform('late.nap', {around = n}) end}"
    (tmp_path / "late.lua").write_text(lua)
    bridge = Bridge("late", str(tmp_path / "__init__.py"), globals=("nap",))

    async def slowly(effect: Effect, around: int) -> None:
        if around:
            await asyncio.create_task(slowly(effect, around - 1))
            return
        await effect.perform("task.sleep", seconds=0.01)
        time.sleep(0.06)  # noqa: ASYNC251 - so the time is up before those around hear of it

    @bridge.effect(leaf=False, deadline=lambda _: 0.05)
    async def nap(effect: Effect, around: int) -> str:
        await asyncio.create_task(slowly(effect, around))
        if ends:
            raise ends
        return "slept"

    source = "for around = 0, 4 do print(select(2, pcall(nap, around))) end"
    await twice(source, bridges=[bridge])


async def test_what_goes_on_as_a_run_ends_comes_as_far_again(twice):
    """The run waits for its subscriber yet, and meanwhile what was cancelled comes to an end."""
    source = """
    Event.subscribe("t", function() end)
    for i = 1, 4 do
      Hook.after("state.*", function(c) print("hook", i) State.get(c.args.key) end)
    end
    local task = Task.spawn(function() work{n = 1} State.get("k") Task.sleep(0.002) end)
    Task.sleep(0.002)
    task:cancel()
    print("end")
    """
    await twice(source)


@tool
async def hasty(effect: Effect) -> str:
    """Gives up soon, and cleans up for a while."""

    async def lingering():
        try:
            await asyncio.sleep(60)
        finally:
            await effect.perform("event.publish", topic="t", data=1)
            await asyncio.sleep(0.02)

    try:
        async with asyncio.timeout(0.01):
            await asyncio.gather(lingering())
    except TimeoutError:
        return "too late"


async def test_a_run_does_not_seem_to_stop_while_a_tool_cancels_its_own_work(twice):
    source = """
        local got = {}
        Event.subscribe("t", function(e) got[#got + 1] = e.data end)
        local said = hasty{}
        Event.publish("t", 2)
        Task.sleep(0.01)
        return {said, got}
    """
    assert await twice(source, tools=[hasty]) == ["too late", [1, 2]]


async def test_what_a_budget_says_was_spent_is_the_same(twice):
    async def answers(request):
        if request.messages[-1].text == "wait":
            await asyncio.sleep(60)
        if request.messages[-1].text == "fail":
            error = ProviderError("lost in the middle of the answer")
            error.billed = True
            raise error
        return ModelResponse(Message.of("assistant", "Yes."), Usage(5, 1), model="of-today")

    source = """
    local a = Agent.create{budget = {seconds = 0.3}}
    for _, text in ipairs{"fail", "answer", "wait"} do
      local _, problem = pcall(a.prompt, a, text)
      print(problem)
      if problem and problem.details then return problem.details.spent end
    end
    """
    spent = await twice(source, providers=[ScriptedProvider(answers)], model="scripted/any")
    assert spent["scripted/any"]["calls"] == 3


async def test_a_hook_whose_time_was_up_is_left_out_of_the_same_calls_again(twice):
    source = """
    local function compute() local x = 0 for i = 1, 40000 do x = x + i end end
    local hook = {timeout = 0.001, max_failures = 1, cool_down = 0.002}
    Hook.before("tool.call", function() State.get("x") return Hook.skip() end, hook)
    Hook.before("tool.call", function() State.get("x") return Hook.skip() end, hook)
    return Task.map({1, 2, 3, 4, 5, 6}, function(n)
      compute() State.increment("a")
      local first = try(work, {n = n})
      compute()
      return {first or 0, try(work, {n = n}) or 0}
    end)
    """
    for _ in range(20):
        await twice(source)


async def test_spells_that_waited_for_memory_begin_in_the_same_order(twice):
    source = """
    local order = {}
    Task.map({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, function(n)
      Spell.run("Task.sleep(" .. (n * 7 % 5) / 1000 .. ") State.increment('a') State.increment('b')")
      order[#order + 1] = n
    end)
    return order
    """
    for _ in range(4):
        await twice(source)


class Random(Hook):
    async def on_tool_result(self, call):
        return Replace(str(os.urandom(4).hex()))


class Dice(Capability):
    type = "dice"

    def hooks(self):
        return [Random()]


async def test_what_a_hook_of_a_capability_decides_is_the_same(twice):
    source = """
    local agent = Agent.create{tools = {"work"}}
    agent:with{dice = true}
    return {agent:prompt("roll"), agent:history()}
    """
    model = ScriptedProvider([ToolCall("1", "work", {"n": 1}), "Six."])
    options = {"providers": [model], "model": "scripted/any", "capabilities": [Dice]}
    assert "Six." in str(await twice(source, **options))


async def test_an_agent_whose_prompt_is_done_again_has_a_time_limit_each_time(twice):
    source = """
    Hook.on_error("agent.run", function() return Hook.retry(0, 3) end)
    local agent = Agent.create{timeout = 0.05}
    return (agent:prompt("hello"))
    """
    replies = [ProviderError("no", status=400), ProviderError("no", status=400), "Hello."]
    model = ScriptedProvider(replies)
    assert await twice(source, providers=[model], model="scripted/any") == "Hello."


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("work{n = 1} error('no tea')", SpellRuntimeError),
        ("fail{n = 1}", SpellRuntimeError),
        ("work{n = 1}\nlocal x = nil + 1", SpellRuntimeError),
        (
            "work{n = 1} Task.map({1, 2}, function(i) work{n = i, seconds = i / 50} error('in ' .. i) end)",
            SpellRuntimeError,
        ),
        ("for i = 1, 100 do work{n = i} end", LimitExceeded),
        ("work{n = 1} while true do end", LimitExceeded),
    ],
)
async def test_so_is_one_that_failed(twice, source, kind):
    with pytest.raises(kind):
        await twice(source, limits=Limits(effects=50, instructions=10_000_000))


@pytest.mark.parametrize("ends", ["error('oh')", "Task.sleep(9)"])
async def test_a_hook_is_told_again_that_a_spell_of_a_spell_did_not_complete(twice, ends):
    result = await twice(
        """
        local told
        Hook.at("run.end", function(c) State.set("a", 1) told = c.args.error.code end)
        pcall(Task.timeout, 1, function() Spell.run("ENDS") end)
        Task.sleep(0.01)
        return told
        """.replace("ENDS", ends)
    )
    assert result == ("cancelled" if "sleep" in ends else "spell_runtime")


async def test_a_spell_of_a_spell_that_cancels_one_of_its_own_goes_on_being_recorded(twice):
    result = await twice(
        """
        return Spell.run([[
          Hook.at("run.end", function(c) State.set("told", c.args.error.code) end)
          local task = Task.spawn(function() Spell.run("Task.sleep(9)") end)
          Hook.before("task.sleep", function(c) if c.args.seconds == 9 then task:cancel() end end)
          pcall(task.await, task)
          Task.sleep(0.05)
          return {State.get("told"), math.random(1000)}
        ]])
        """,
        isolate=False,
    )
    assert result[0] == "cancelled"


@pytest.mark.parametrize("isolate", [True, False])
async def test_slices_elsewhere_are_no_different(twice, isolate):
    source = """
    local out = {}
    local function busy() local x = 0 for i = 1, 4e6 do x = x + i % 7 end end
    Task.map({1, 2, 3, 4}, function(i)
      work{n = i, seconds = i / 100}
      busy()
      out[#out + 1] = i
      work{n = i + 10, seconds = 0.01}
      out[#out + 1] = i + 10
    end)
    return table.concat(out, ' ')
    """
    await twice(source, isolate=isolate)


async def test_agents(twice):
    def says(request):
        last = request.messages[-1]
        if last.role == "tool":
            return f"so: {last.content[0].content[0].text}"
        return [ToolCall("1", "work", {"n": len(request.messages)}), ToolCall("2", "inside", {})]

    model = ScriptedProvider(says)
    source = """
    local count = 0
    local inside = {name = "inside", params = {}, run = function() count = count + 1 return count end}
    local answers = Task.map({1, 2, 3}, function(i)
      local agent = Agent.create{tools = {"work", inside}, timeout = 5}
      return {agent:prompt("first " .. i), agent:prompt("second")}
    end)
    return {answers, count}
    """
    await twice(source, providers=[model], model="scripted/any")
    assert len(model.requests) == 12


async def test_an_agent_whose_time_is_up(twice):
    async def never(request):
        await asyncio.sleep(60)

    source = """
    local agent = Agent.create{timeout = 0.05}
    return select(2, pcall(agent.prompt, agent, "hello")).code
    """
    model = ScriptedProvider(never)
    assert await twice(source, providers=[model], model="scripted/any") == "effect_timeout"


class Decides(Hook):
    """A hook of the host, which decides by something that is not recorded."""

    def __init__(self):
        self.asked = []

    async def on_tool_execute(self, call):
        self.asked.append(call.effect.args["args"]["n"])
        n = call.effect.args["args"]["n"] + len(self.asked) - 1
        await call.effect.perform("state.set", key="hook", value=n)
        if n == 3:
            return Replace("replaced")
        if n > 3:
            return Halt("enough")
        return Modify({**call.effect.args, "args": {"n": n + 100}})


async def test_decisions_of_hooks_in_python_are_recorded(twice):
    hook = Decides()
    source = """
    local a, b = work{n = 1}, work{n = 2}
    return {a, b, select(2, pcall(work, {n = 3})).code}
    """
    assert await twice(source, hooks=[hook]) == [1010, "replaced", "hook_halted"]
    assert hook.asked == [1, 2, 3]


async def test_a_hook_may_change_arguments_beside_a_function(twice):
    class Renames(Hook):
        priority = 1

        def parts(self):
            yield Part("renames", "before:state.update", self.rename)

        def rename(self, call):
            return Modify({**call.effect.args, "key": "mine"})

    source = """
    State.update("yours", function(old) return (old or 0) + work{n = 1} end)
    return {State.get("mine"), State.get("yours")}
    """
    assert await twice(source, hooks=[Renames()]) == [10]


async def test_a_hook_may_refuse_the_run(twice):
    class Refuses(Hook):
        async def on_run_start(self, call):
            CALLS.append("asked")
            return Halt("not today")

    with pytest.raises(HookHalted):
        await twice("return 1", hooks=[Refuses()])
    assert CALLS == ["asked"]


def offered(version, word):
    @tool(name="offered", version=version)
    async def offered(n: int = 1) -> str:
        return f"{word} {n}"

    offered.description = word
    return offered


async def test_tools_are_those_of_the_record(new_runtime, printed):
    """Also if some of them have changed since, or newer versions of them exist."""
    model = ScriptedProvider([ToolCall("1", "offered", {"n": 2}), "done"])
    options = {"model": "scripted/m", "providers": [model]}
    source = """
        local agent = Agent.create{tools = {"offered"}}
        print(agent:execute("go").tool_calls[1].result, Tool.get("offered").version)
        print(offered{}, Tool.call("offered@1", {n = 3}))
    """
    ids = []

    @tool(name="offered", version="2")
    async def changed(m: str) -> str:
        """Something else."""

    async with new_runtime(tools=[offered("1", "old"), offered("2", "new")], **options) as runtime:
        from llmspell.spell import parse_spell

        spell = parse_spell(source.encode(), name="s", file="s.lua")
        await runtime.run(spell, begun=ids.append)
    assert printed == ["new 2\t2", "new 1\told 3"]
    for tools in (
        [offered("1", "old"), changed],
        [offered("1", "other"), offered("2", "new"), offered("3", "newest")],
        [offered("1", "old")],
        [],
    ):
        printed.clear()
        async with new_runtime(tools=tools) as runtime:
            await runtime.replay(ids[0])
        assert printed == ["new 2\t2", "new 1\told 3"]


async def test_until(new_runtime, printed):
    ids = []
    async with new_runtime(tools=[work]) as runtime:
        from llmspell.spell import parse_spell

        spell = parse_spell(
            b"print(1) work{n = 1} print(2) work{n = 2} print(3)", name="s", file="s.lua"
        )
        await runtime.run(spell, begun=ids.append)
        printed.clear()
        with pytest.raises(RunSuspended, match=r"tool\.call"):
            await runtime.replay(ids[0], until="0/1")
        assert printed == ["1", "2"]


@pytest.mark.parametrize("at", ["0/2", "0.0"])
async def test_until_what_is_made_of_others(new_runtime, printed, at):
    source = b"""
        Tool.define{name = "brew", run = function() return work{n = 1} end}
        State.set("n", 1) brew{} print(1)
        Task.map({1}, function() State.set("n", 2) end) print(2)
    """
    async with new_runtime(tools=[work]) as runtime:
        from llmspell.spell import parse_spell

        await runtime.run(parse_spell(source, name="s", file="s.lua"))
        printed.clear()
        with pytest.raises(RunSuspended) as caught:
            await runtime.replay("last", until=at)
        assert caught.value.reason == "until"
        assert printed == ([] if at == "0/2" else ["1"])


async def test_until_an_effect_of_a_spell_of_a_spell(new_runtime, printed):
    """Nor can the outer spell catch that."""
    source = """
        local child = "State.set('a', 1) print('between') State.set('b', 2)"
        print(pcall(Spell.run, child))
        State.set("c", 3)
    """
    ids: list[str] = []
    async with new_runtime(isolate=False) as runtime:
        await runtime.execute(source, begun=ids.append)
        printed.clear()
        with pytest.raises(RunSuspended, match=r'stopped before state\.set \{"key": "b"'):
            await runtime.replay(ids[0], until="0/0/0/1")
    assert printed == ["between"]


async def test_until_what_was_not_recorded(new_runtime):
    async with new_runtime() as runtime:
        await runtime.execute("State.set('n', 1)")
        with pytest.raises(ReplayError, match="recorded nothing at 0/9") as caught:
            await runtime.replay("last", until="0/9")
        assert caught.value.hint == "did you mean 0/0?"


async def test_a_run_that_was_not_recorded_to_its_end(new_runtime):
    ids = []
    async with new_runtime(tools=[work]) as runtime:
        from llmspell.spell import parse_spell

        spell = parse_spell(b"work{n = 1}\nTask.sleep(60)", name="s", file="s.lua")
        run = asyncio.create_task(runtime.run(spell, begun=ids.append))
        await asyncio.sleep(0.3)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        with pytest.raises(JournalExhausted, match=r"ends before task\.sleep") as caught:
            await runtime.replay(ids[0])
    assert caught.value.where == "s.lua:2"
    assert "llmspell resume" in caught.value.hint


SLOW = """
    local agent = Agent.create{tools = {"work"}}
"""


@pytest.mark.parametrize(
    "source",
    [
        "for piece in agent:stream('x') do print(piece) Task.sleep(0.001) end return agent:history()",
        "local s = agent:stream('x') for piece in s, nil, nil, s do print(piece) work{n = #piece} if piece == 'two ' then break end end return {#agent:history(), s:response().text, s:response().finish_reason}",
        "for e in agent:events('call') do print(e.type, e.text or e.name or e.number) end return #agent:history()",
        "local s = agent:events('call') for e in s, nil, nil, s do print(e.type) if e.type == 'tool_call' then break end end return work{n = 1}",
        "print(select(2, pcall(Task.timeout, 0.05, function() for piece in agent:stream('hang') do print(piece) end end)).code) return work{n = 1}",
        "local ok, e = pcall(function() for piece in agent:stream('break') do print(piece) end end) return {ok, e.message, #e.details.pieces}",
        "return Task.map({'x', 'call', 'x'}, function(q) local a = agent:fork() local t = '' for piece in a:stream(q) do t = t .. piece print(q, piece) end return t end)",
        "local t = Task.spawn(function() for piece in agent:stream('hang') do print(piece) work{n = 2} end end) Task.sleep(0.05) t:cancel() return work{n = 1}",
    ],
)
async def test_streams_are_the_same_when_replayed(twice, source):
    await twice(SLOW + source, model="slow/m", providers=[Slow()])


class Slow:
    """Gives an answer in pieces with pauses, which differ."""

    name = "slow"

    async def complete(self, request):
        raise AssertionError(request)

    async def stream(self, request):
        asked = request.messages[-1]
        if asked.role == "user" and asked.text == "call":
            message = Message.of("assistant", ToolCall("1", "work", {"n": 4}))
            yield ModelResponse(message, Usage(1, 1), "tool_calls")
            return
        words = ["one ", "two ", "three ", "four"]
        for n, word in enumerate(words):
            await asyncio.sleep(0.003 * (n % 3))
            yield TextDelta(word)
        if asked.text == "hang":
            await asyncio.sleep(60)
        if asked.text == "break":
            raise ProviderError("broken", retryable=True)
        yield ModelResponse(Message.of("assistant", "".join(words)), Usage(1, 4))

    async def close(self):
        pass


@pytest.mark.parametrize(
    ("source", "code"), [("error('no')", "spell_runtime"), ("while true do end", "limit_exceeded")]
)
async def test_hooks_at_the_end_of_a_run_that_failed_are_told_and_may_do_something(
    new_runtime, source, code
):
    ends = []
    async with new_runtime(limits=Limits(instructions=1_000_000)) as runtime:

        @runtime.hooks.at("run.end")
        async def end(call):
            await call.effect.perform("state.set", key="ended", value=True)
            ends.append(call.effect.args["error"]["code"])

        with pytest.raises((SpellRuntimeError, LimitExceeded)):
            await runtime.execute(source)
        assert ends == [code]
        assert await runtime.execute("return State.get('ended')")

"""Any program of tasks, agents, hooks, state and other spells: it is the same when replayed, and when it
was stopped anywhere and resumed.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from llmspell import Effect, Runtime, tool
from llmspell.config import Project
from llmspell.errors import LlmspellError
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell
from llmspell.state import MemoryStore


@tool(idempotent=True)
async def work(n: int) -> int:
    await asyncio.sleep(n % 4 / 1000)
    if n % 7 == 6:
        raise ValueError(f"{n} fails")
    return n * 2


@tool(idempotent=True)
async def many(effect: Effect, n: int) -> str:
    """Does this and that which the spell has hooks, tools and subscribers for, some of it at once."""
    await effect.perform("state.set", key=f"k{n % 3}", value=n)
    wanted = [
        ("tool.call", {"name": "mine", "args": {"n": n}}),
        ("event.publish", {"topic": "t", "data": n}),
        ("state.increment", {"key": "sum"}),
    ][: 1 + n % 3]
    if n % 5 == 4:
        agent = await effect.perform("agent.create", tools=["mine", "many"][: 1 + n % 2])
        wanted.append(("agent.run", {"agent": agent, "input": "x" * n}))
    try:
        async with asyncio.timeout(0.004 if n % 4 == 3 else None):
            work = (effect.perform(name, **args) for name, args in wanted)
            done = await asyncio.gather(*work, return_exceptions=True)
    except TimeoutError:
        return "too late"
    return " ".join(type(one).__name__ for one in done)


def says(request):
    last = request.messages[-1]
    if last.role == "tool":
        return "so it is"
    offered = [one.name for one in request.tools]
    return ToolCall("1", offered[len(last.text) % len(offered)], {"n": len(last.text) % 5})


NUMBERS = st.integers(0, 20)
LEAVES = st.one_of(
    NUMBERS.map(lambda n: f"note(try(work, {{n = {n}}}))"),
    NUMBERS.map(lambda n: f"Task.sleep({n % 3} / 1000)"),
    st.just("note(math.random(1000))"),
    st.just("note(os.time() > 0)"),
    NUMBERS.map(lambda n: f"State.set('k{n % 3}', {n})"),
    NUMBERS.map(lambda n: f"State.update('k{n % 3}', function(v) return (v or 0) + {n} end)"),
    NUMBERS.map(lambda n: f"note(State.get('k{n % 3}'))"),
    st.just("State.increment('sum')"),
    NUMBERS.map(
        lambda n: f"note((Agent.create{{tools = {{'work', own}}}}:prompt(('x'):rep({n + 1}))))"
    ),
    NUMBERS.map(
        lambda n: (
            "Hook.before('tool.call', function(c) note('hook') "
            f"if c.args.args.n == {n % 5} then return {{type = 'replace', result = {n}}} end end)"
        )
    ),
    NUMBERS.map(lambda n: f"note(try(many, {{n = {n}}}))"),
    NUMBERS.map(
        lambda n: (
            f"Hook.{('before', 'after')[n % 2]}('state.*', function(c) note('state ' .. c.args.key) "
            f"{('', 'Task.sleep(0.001)', 'work{n = 1}', 'look(c.args.key)')[n % 4]} end)"
        )
    ),
    NUMBERS.map(lambda n: f"Event.publish('t', {n})"),
    st.just(
        "note(Task.race{function() Task.sleep(0.001) return 1 end, function() Task.sleep(0.004) return 2 end})"
    ),
    st.just("note(pcall(Task.timeout, 0.002, function() Task.sleep(1) end))"),
    NUMBERS.map(
        lambda n: (
            f"Hook.at('run.{('start', 'end')[n % 3 > 0]}', function(c) note(c.effect) "
            f"{('', 'Task.sleep(0.001)', 'work{n = 1}', 'State.increment(c.effect)')[n % 4]} end)"
        )
    ),
    NUMBERS.map(
        lambda n: (
            f"Hook.{('before', 'after', 'on_error')[n % 3]}('spell.run', function(c) note('spell') "
            f"{('', 'Task.sleep(0.001)')[n % 2]} end)"
        )
    ),
)


def nested(block, options):
    """Runs a program as a spell of its own."""
    level = "=" * (1 + block.count("Spell.run"))
    return (
        f"note(try(Spell.run, [{level}[{HEAD}{block}{TAIL}]{level}], {{grants = all, {options}}}))"
    )


def compound(inner):
    block = st.lists(inner, min_size=1, max_size=3).map(" ".join)
    tasks = st.lists(block, min_size=1, max_size=4)
    return st.one_of(
        tasks.map(lambda ts: "Task.all{" + ", ".join(f"function() {t} end" for t in ts) + "}"),
        st.tuples(st.integers(1, 4), block).map(
            lambda pair: (
                f"Task.map({{{', '.join(map(str, range(pair[0])))}}}, function(i) {pair[1]} note(i) end)"
            )
        ),
        block.map(
            lambda b: (
                f"do local t = Task.spawn(function() {b} end) Task.sleep(0.002) t:cancel() end"
            )
        ),
        block.map(lambda b: f"note(pcall(function() {b} error('oh') end))"),
        block.map(lambda b: f"note(pcall(Task.timeout, 0.003, function() {b} end))"),
        st.builds(nested, block, st.sampled_from(["", "state = 'project', events = 'shared'"])),
    )


HEAD = """
local noted, all = {}, {tool = {"*"}, llm = {"*"}}
local function note(...) noted[#noted + 1] = tostring((...)) print(...) end
local own = {name = "own", params = {n = "integer"}, run = function(a) note("own") return work{n = a.n} end}
Tool.define{name = "mine", params = {n = "integer"}, run = function(a)
  note("mine " .. a.n)
  if a.n % 3 == 2 then Task.sleep(0.002) end
  return State.increment("mine") + math.random(10)
end}
Event.subscribe("t", function(e) note("event " .. e.data) end)
-- Hooks see what other hooks do, so as many that all look would look factorially often.
local looking = 0
local function look(key)
  if looking < 2 then
    looking = looking + 1
    State.get(key)
    looking = looking - 1
  end
end
"""
TAIL = "\nreturn noted"

PROGRAMS = st.lists(st.recursive(LEAVES, compound, max_leaves=8), min_size=1, max_size=5).map(
    "\n".join
)


class Stops:
    """An observer that stops the run after so many effects, as a kill would: nothing is told."""

    def __init__(self):
        self.left, self.task = 0, None

    def started(self, effect):
        pass

    def finished(self, effect, seconds, error):
        self.left -= 1
        if self.left == 0:
            self.task.cancel()


async def outcome(coroutine):
    try:
        return await coroutine
    except LlmspellError as error:
        return f"{type(error).__name__} {error.message} {error.where}"


async def once_and_again(program, after, isolate=False):
    lines: list[str] = []
    ids: list[str] = []
    stops = Stops()
    spell = parse_spell((HEAD + program + TAIL).encode(), name="s", file="s.lua")
    with TemporaryDirectory() as folder:
        options = {
            "project": Project(Path(folder)),
            "tools": [work, many],
            "providers": [ScriptedProvider(says)],
            "model": "scripted/any",
            "output": lines.append,
            "observers": [stops],
            "isolate": isolate,
        }
        store = MemoryStore()
        async with Runtime(**options, store=store) as runtime:
            stops.left = after
            stops.task = asyncio.create_task(outcome(runtime.run(spell, begun=ids.append)))
            try:
                first = await stops.task
            except asyncio.CancelledError:
                stopped, lines[:] = list(lines), []
                first = await outcome(runtime.resume(ids[0]))
                assert lines[: len(stopped)] == stopped
        seen, lines[:] = list(lines), []
        async with Runtime(**options) as runtime:
            again = await outcome(runtime.replay(ids[0]))
        assert again == first
        assert lines == seen
        assert not str(first).startswith(("Journal", "ReplayError"))


COUNT = int(os.environ.get("LLMSPELL_PROGRAMS", "12"))


@pytest.mark.timeout(300 + COUNT)
@settings(
    max_examples=COUNT,
    deadline=None,
    database=None,
    phases=[
        Phase.generate
    ],  # programs that fail are short enough, and cutting them down takes long
    suppress_health_check=list(HealthCheck),
)
@given(PROGRAMS, st.integers(1, 40), st.sampled_from([False, False, False, None]))
def test_any_program_is_the_same_again(program, after, isolate):
    asyncio.run(asyncio.wait_for(once_and_again(program, after, isolate), 60))


@pytest.mark.parametrize("after", range(8, 16))
def test_what_was_printed_after_the_last_leaf_is_printed_again(after):
    tasks = "Task.map({0, 1}, function(i) Event.publish('t', 13) note(i) end)"
    program = nested(nested("note(1)", "") + tasks, "state = 'project', events = 'shared'")
    asyncio.run(asyncio.wait_for(once_and_again(program, after), 60))


def test_many_calls_of_a_subscriber_are_the_same_again():
    program = """
        note(pcall(function()
          Task.map({0, 1, 2, 3}, function(i) Event.publish('t', 3) note(i) end)
          Task.map({0, 1, 2}, function(i)
            Hook.before('tool.call', function(c) note('hook') end)
            Event.publish('t', 5)
            note(i)
          end)
          local t = Task.spawn(function() note(try(work, {n = 0})) note(try(many, {n = 0})) end)
          Task.sleep(0.002)
          t:cancel()
          error('oh')
        end))
    """
    for _ in range(5):
        asyncio.run(asyncio.wait_for(once_and_again(program + program, 1), 60))


def test_what_subscribers_of_cancelled_spells_receive_is_the_same_again():
    sees = "Hook.before('state.*', function(c) note('state ' .. c.args.key) end)"
    shared = "state = 'project', events = 'shared'"
    run = nested(f"note(State.get('k0')) {sees} note(try(many, {{n = 2}}))", shared)
    program = f"""
        Task.map({{0, 1, 2}}, function(i)
          local t = Task.spawn(function()
            {run}
            note(pcall(Task.timeout, 0.003, function()
              {sees}
              State.increment('sum')
              note(try(work, {{n = 5}}))
            end))
          end)
          Task.sleep(0.002)
          t:cancel()
          note(i)
        end)
    """
    for _ in range(4):
        asyncio.run(asyncio.wait_for(once_and_again(program, 1), 60))


@pytest.mark.parametrize(
    "program",
    [
        # Hooks that come while an agent is at work are there for the same of its requests.
        (
            "local agent = Agent.create{tools = {'work'}}"
            " Task.all{function() note(agent:prompt('x')) end, function() for i = 1, 6 do"
            " Task.sleep(0) Hook.before('model.request', function() print(i) end) end end}"
        ),
        # An agent that was abandoned calls no tool any more.
        (
            "Task.map({1, 2}, function(i) Task.sleep(0.002)"
            " Task.map({0, 1}, function() Event.publish('t', 3) end)"
            " local t = Task.spawn(function() Agent.create{tools = {own}}:prompt('7') end)"
            " Task.sleep(0.002) t:cancel() end) Task.sleep(0.01)"
        ),
    ],
)
def test_what_chance_decides_is_not_decided_anew(program):
    for _ in range(3):
        asyncio.run(asyncio.wait_for(once_and_again(program, 1000), 60))

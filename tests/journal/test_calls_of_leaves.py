"""Tools and hooks in Python whose effects have hooks, tools and other functions of the spell."""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from contextlib import closing
from typing import Any

import pytest

from llmspell import Effect, Hook, Runtime, tool
from llmspell.config import Project
from llmspell.config.validation import check_settings
from llmspell.errors import JournalError, JournalMismatch, LimitExceeded, LlmspellError
from llmspell.journal.pruning import prune
from llmspell.journal.reader import Reader
from llmspell.journal.recorded_calls import args_of, storable
from llmspell.journal.stored_values import text_of
from llmspell.journal.transfer import export_run, import_runs
from llmspell.journal.validation import InvalidRecord
from llmspell.limits import Limits
from llmspell.spell import parse_spell
from llmspell.state import MemoryStore
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio

DONE = []


@pytest.fixture(autouse=True)
def done():
    DONE.clear()
    return DONE


@tool(idempotent=True)
async def keep(effect: Effect, key: str, n: int = 1) -> int:
    DONE.append(key)
    await effect.perform("state.set", key=key, value=n)
    await asyncio.sleep(n % 3 / 500)
    return await effect.perform("state.increment", key="sum", by=n)


@tool(idempotent=True)
async def ask(effect: Effect, name: str, n: int) -> Any:
    DONE.append(name)
    return await effect.perform("tool.call", name=name, args={"n": n})


@tool(idempotent=True)
async def at_once(effect: Effect, keys: list[str]) -> list[Any]:
    wanted = [effect.perform("state.set", key=key, value=len(key)) for key in keys]
    return await asyncio.gather(*wanted)


@tool(idempotent=True)
async def hasty(effect: Effect, key: str) -> str:
    try:
        async with asyncio.timeout(0.02):
            await effect.perform("state.set", key=key, value=1)
    except TimeoutError:
        return "too late"
    return "in time"


@tool(idempotent=True)
async def publish(effect: Effect, topic: str, n: int) -> None:
    await effect.perform("event.publish", topic=topic, data=n)
    await asyncio.sleep(0.005)


@tool(idempotent=True)
async def child(effect: Effect, source: str) -> Any:
    grants = {"tool": ["keep"]}
    return await effect.perform("spell.run", spell=source, state="project", grants=grants)


@tool(idempotent=True)
async def change(effect: Effect, key: str, function: Any) -> Any:
    return await effect.perform("state.update", key=key, function=function)


@tool(idempotent=True)
async def apply(effect: Effect, function: Any, values: list[Any]) -> list[Any]:
    return [await effect.call(function, value) for value in values]


@tool(idempotent=True)
async def careless(effect: Effect, key: str) -> str:
    """Ends before the effect that it begins has."""
    work = asyncio.create_task(effect.perform("state.set", key=key, value=1))
    DONE.append(work)
    await asyncio.sleep(0)
    return "done"


TOOLS = [keep, ask, at_once, hasty, publish, child, change, apply, careless]

NOTES = """
local notes = {}
local function note(...) notes[#notes + 1] = table.concat({...}, " ") print(notes[#notes]) end
"""
HOOKS = """
Hook.before("state.set", function(c) note("set", c.args.key, State.get("sum") or "none") end)
Hook.after("state.increment", function(c) note("sum", c.result) Task.sleep(0.001) note("slept") end)
"""


@pytest.fixture
def options(tmp_path):
    return {"project": Project(tmp_path), "tools": TOOLS}


@pytest.fixture
def twice(options):
    """Runs a spell, and replays it in another runtime: all looks the same, and no tool is called."""

    async def run(source, **more):
        lines: list[str] = []
        ids: list[str] = []
        spell = parse_spell((NOTES + source).encode(), name="s", file="s.lua")
        async with Runtime(**options, **more, store=MemoryStore(), output=lines.append) as runtime:
            first = await caught(runtime.run(spell, begun=ids.append))
        seen, done = list(lines), list(DONE)
        lines.clear()
        async with Runtime(**options, **more, output=lines.append) as runtime:
            assert repr(await caught(runtime.replay(ids[0]))) == repr(first)
        assert lines == seen
        assert done == DONE
        return first

    return run


async def caught(coroutine):
    try:
        return await coroutine
    except LlmspellError as error:
        return error


SOURCES = {
    "hooks": HOOKS + "local a = keep{key = 'a', n = 2} note(a) return notes",
    "tasks": HOOKS
    + """
        Task.map({1, 2, 3, 4}, function(i) note(keep{key = 'k' .. i, n = i}) Task.sleep(0.001) end)
        return notes
    """,
    "tasks of a hook": """
        Hook.before("state.set", function(c)
          Task.map({1, 2, 3}, function(i) Task.sleep(i % 2 / 500) note(c.args.key, i) end)
        end)
        Task.map({"a", "b"}, function(key) keep{key = key} note("kept", key) end)
        return notes
    """,
    "a tool in Lua": """
        Tool.define{name = "own", params = {n = "integer"}, run = function(a)
          note("own", a.n, math.random(1000))
          return State.increment("own", a.n) + keep{key = "of own"}
        end}
        return {Task.map({1, 2}, function(i) return ask{name = "own", n = i} end), notes}
    """,
    "a tool that fails": """
        Tool.define{name = "own", params = {n = "integer"}, run = function(a) error("no " .. a.n) end}
        local ok, problem = pcall(ask, {name = "own", n = 1})
        return {ok, problem.message, notes}
    """,
    "several at once": """
        Hook.before("state.set", function(c) Task.sleep(c.args.value / 1000) note(c.args.key) end)
        at_once{keys = {"aaa", "b", "cc"}}
        return notes
    """,
    "one that is aborted": """
        Hook.before("state.set", function(c) note("before") Task.sleep(5) note("never") end)
        local said = hasty{key = "a"}
        note(said)
        Task.sleep(0.001)
        return notes
    """,
    "one that is cancelled": """
        Hook.before("state.set", function(c) note("before") Task.sleep(5) note("never") end)
        local task = Task.spawn(function() keep{key = "a"} end)
        Task.sleep(0.01)
        task:cancel()
        Task.sleep(0.001)
        note("cancelled")
        return notes
    """,
    "subscribers": """
        Event.subscribe("t", function(e) note("event", e.data) keep{key = "of event"} end)
        publish{topic = "t", n = 1}
        publish{topic = "t", n = 2}
        return notes
    """,
    "a watch": """
        State.watch("k*", function(c) note(c.key, c.new) keep{key = "x" .. c.key} end)
        keep{key = "k1"}
        keep{key = "k2"}
        return notes
    """,
    "a subscription that a hook begins": """
        local subscribed
        Hook.before("state.set", function(c)
          if not subscribed then
            subscribed = Event.subscribe("t", function(e) note("event", e.data) State.get("sum") end)
          end
        end)
        keep{key = "a"}
        publish{topic = "t", n = 1}
        return notes
    """,
    "a child": HOOKS
    + """
        local inside = [[
          local seen = {}
          Hook.before("state.set", function(c) seen[#seen + 1] = c.args.key end)
          Task.map({1, 2}, function(i) State.set("c" .. i, i) keep{key = "cc" .. i} end)
          return #seen .. " " .. State.increment("sum")
        ]]
        note(child{source = inside})
        return notes
    """,
    "functions": """
        Hook.before("state.update", function(c) note(c.args.key, type(c.args["function"])) c.args["function"](1) end)
        note(change{key = "a", ["function"] = function(v) note("update") return (v or 0) + 1 end})
        local double = apply{values = {1, "x", {}}, ["function"] = function(v) note(type(v)) return v end}
        return {notes, double}
    """,
    "a hook on a tool that a hook calls": """
        Hook.before("tool.call", function(c) note("tool", c.args.name) end)
        Hook.before("state.set", function(c)
          if c.args.key == "a" then note(keep{key = "b"}) end
        end)
        Hook.after("state.set", function(c) note("after", c.args.key) end)
        keep{key = "a"}
        return notes
    """,
    "a hook that goes away": """
        local id
        id = Hook.before("state.set", function(c) note(c.args.key) id:remove() end)
        keep{key = "a"}
        keep{key = "b"}
        return notes
    """,
    "a tool that does not wait": """
        Hook.before("state.set", function(c) note(c.args.key) State.get("sum") note("and") end)
        note(careless{key = "a"})
        Task.sleep(0.01)
        return notes
    """,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_what_functions_of_the_spell_did_meanwhile_is_the_same(twice, source):
    result = await twice(source)
    assert not isinstance(result, Exception), result


class Watchful(Hook):
    async def on_tool_execute(self, call):
        await call.effect.perform("state.set", key="asked", value=1)


async def test_so_it_is_for_a_hook_in_python(twice):
    source = HOOKS + "Task.map({1, 2}, function(i) keep{key = 'k' .. i} end) return notes"
    assert (await twice(source, hooks=[Watchful()]))[0] == "set asked none"


EVERYWHERE = (
    NOTES
    + HOOKS
    + """
Tool.define{name = "own", params = {n = "integer"}, run = function(a)
  note("own", a.n)
  Task.sleep(0.001)
  return keep{key = "own" .. a.n, n = a.n}
end}
Task.all{
  function() note(keep{key = "a", n = 2}) end,
  function() Task.map({1, 2}, function(i) note("asked", ask{name = "own", n = i}) end) end,
  function() for i = 1, 4 do Task.sleep(0.001) State.get("sum") end end,
}
return notes
"""
)


@pytest.mark.parametrize("effects", range(3, 33, 2))
async def test_a_run_goes_on_wherever_it_was_stopped(options, effects):
    lines: list[str] = []
    ids: list[str] = []
    store = MemoryStore()
    spell = parse_spell(EVERYWHERE.encode(), name="s", file="s.lua")
    limits = Limits(effects=effects)
    async with Runtime(**options, store=store, limits=limits, output=lines.append) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(spell, begun=ids.append)
    stopped = list(lines)
    lines.clear()
    enough = {"store": store, "limits": Limits()}
    async with Runtime(**options, **enough, output=lines.append) as runtime:
        result = await runtime.resume(ids[0])
        assert lines[: len(stopped)] == stopped
        assert store.get("", "sum") == 2 + 1 + 2
        assert sorted(note for note in result if note.startswith("own")) == ["own 1", "own 2"]
        lines.clear()
        assert await runtime.replay(ids[0]) == result
        assert lines == result


@pytest.fixture
def recorded(options):
    """Runs a spell; its id and what it returned."""

    async def run(source=EVERYWHERE, **more):
        ids: list[str] = []
        spell = parse_spell(source.encode(), name="s", file="s.lua")
        given = {"store": MemoryStore(), "output": lambda _: None} | more
        async with Runtime(**options, **given) as runtime:
            return await runtime.run(spell, begun=ids.append), ids[0]

    return run


@pytest.fixture
def file(tmp_path):
    return tmp_path / ".llmspell" / "runs.db"


async def test_a_fork_from_the_midst_of_a_tool(options, recorded, file):
    _, id_ = await recorded()
    with Reader.open(file) as reader:
        paths = [effect.path for effect in reader.effects(reader.run(id_))]
    lines: list[str] = []
    forks: list[str] = []
    for path in paths:
        lines.clear()
        async with Runtime(**options, store=MemoryStore(), output=lines.append) as runtime:
            result = await runtime.fork(id_, path, begun=forks.append)
            assert lines == result
            lines.clear()
            assert await runtime.replay(forks[-1]) == result
            assert lines == result


async def test_the_leaf_is_done_again_otherwise(options):
    """What it asks of the spell then is told it as well."""
    values = iter((1, 2))

    @tool(idempotent=True)
    async def fickle(effect: Effect) -> str:
        await effect.perform("tool.call", name="own", args={"n": next(values)})
        await effect.perform("state.get", key="a")
        return "done"

    source = (
        NOTES
        + """
    Tool.define{name = "own", params = {n = "integer"}, run = function(a)
      note("own", a.n)
      Task.sleep(0)
    end}
    return {fickle{}, notes}
    """
    )
    spell = parse_spell(source.encode(), name="s", file="s.lua")
    ids: list[str] = []
    limits = Limits(effects=4)
    given = {**options, "tools": [fickle], "store": MemoryStore(), "output": lambda _: None}
    async with Runtime(**given, limits=limits) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(spell, begun=ids.append)
    async with Runtime(**given, limits=Limits()) as runtime:
        result = await runtime.resume(ids[0])
        assert result == ["done", ["own 1", "own 2"]]
        assert await runtime.replay(ids[0]) == result


LARGE = (
    NOTES
    + """
Hook.before("state.set", function(c) note(#c.args.value, c.args.value:sub(1, 14)) end)
return {large{}, notes}
"""
)


@tool(idempotent=True)
async def large(effect: Effect) -> int:
    await effect.perform("state.set", key="a", value="token=hunter22 " + "x" * 5000)
    return 1


@pytest.fixture
def large_run(tmp_path):
    """A run in which a leaf calls the spell with a long text that has a secret; its id."""

    async def run():
        ids: list[str] = []
        async with runtime_with(tmp_path) as runtime:
            spell = parse_spell(LARGE.encode(), name="s", file="s.lua")
            result = await runtime.run(spell, begun=ids.append)
        assert result == [1, ["5015 token=hunter22"[:19]]]
        return ids[0]

    return run


def runtime_with(folder):
    settings = check_settings({"journal": {"redact": [r"token=(\w+)"]}}, "test")
    project = Project(folder, settings)
    return Runtime(project=project, tools=[large], store=MemoryStore(), output=lambda _: None)


AGAIN = [1, ["5017 token=[redacte"]]


async def test_secrets_stay_out(tmp_path, large_run, file):
    id_ = await large_run()
    assert not any(b"hunter22" in found.read_bytes() for found in file.parent.glob("runs.db*"))
    with closing(sqlite3.connect(file)) as db:
        texts_ = [
            zlib.decompress(data) for (data,) in db.execute("SELECT data FROM blobs WHERE packed")
        ]
    assert not any(b"hunter22" in text for text in texts_)
    async with runtime_with(tmp_path) as runtime:
        assert await runtime.replay(id_) == AGAIN


async def test_what_they_are_called_with_goes_where_the_run_goes(tmp_path, large_run, file):
    id_ = await large_run()
    prune(file, keep=1)
    with Reader.open(file) as reader:
        export_run(file, reader.run(id_), tmp_path / "one.run")
    elsewhere = tmp_path / "elsewhere"
    import_runs(tmp_path / "one.run", elsewhere / ".llmspell" / "runs.db")
    async with runtime_with(elsewhere) as runtime:
        assert await runtime.replay(id_) == AGAIN
    prune(file, keep=0)
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT * FROM calls").fetchall() == []
        assert db.execute("SELECT * FROM blobs").fetchall() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE calls SET args = '7'", "a table of arguments at .* cannot be read"),
        ("UPDATE calls SET args = '[{\"$function\": -1}]'", "a table of arguments at"),
        ("UPDATE calls SET args = replace(hex(zeroblob(40)), '0', '[')", "a table of arguments"),
        ("UPDATE calls SET args = x'00'", "the value 00 is missing"),
        ("UPDATE calls SET function = -1", "calls.function cannot be read"),
        ("UPDATE calls SET path = ''", "calls.path cannot be read"),
    ],
)
async def test_damage_is_told(tmp_path, large_run, file, change, said):
    id_ = await large_run()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(change)
    async with runtime_with(tmp_path) as runtime:
        with pytest.raises(JournalError, match=f"is damaged: {said}.*, in the run {id_}"):
            await runtime.replay(id_)
    with Reader.open(file) as reader, pytest.raises(JournalError, match=said):
        reader.check(reader.run(id_))


async def test_a_call_of_a_function_that_is_not_there(tmp_path, large_run, file):
    id_ = await large_run()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE calls SET function = 4000000000")
    async with runtime_with(tmp_path) as runtime:
        with pytest.raises(JournalMismatch):
            await runtime.replay(id_)


@pytest.mark.parametrize(
    "args",
    [
        [],
        [1, 2.5, "x", b"\xff", True, None, [], {}],
        [{"$function": 1}, {"$function": [1]}, {"$function": {"$function": [[]]}}],
        [{"$bytes": "x"}, {1: 2, 2.5: [3]}, {"$function": 1, "more": 2}],
    ],
)
def test_arguments_are_what_they_were(args):
    assert args_of(text_of(storable(args))) == args


def test_functions_among_arguments_are_what_they_were():
    text = text_of(storable([LuaFunction(7), {"run": LuaFunction(8), "$function": LuaFunction(9)}]))
    first, table = args_of(text)
    assert (first.id, table["run"].id, table["$function"].id) == (7, 8, 9)


@pytest.mark.parametrize("text", ["7", "{", '[{"$function": "x"}]', '[{"$function": [1, 2]}]'])
def test_what_are_no_arguments(text):
    with pytest.raises(InvalidRecord):
        args_of(text)


@pytest.mark.parametrize("effects", range(2, 7))
async def test_a_hook_that_goes_on_does_not_see_its_own_work(options, effects):
    source = """
    Hook.after("state.increment", function(c)
      State.get("a")
      State.get("b")
      State.increment("seen")
    end)
    keep{key = "a", n = 2}
    return State.get("seen")
    """
    spell = parse_spell(source.encode(), name="s", file="s.lua")
    ids: list[str] = []
    given = {**options, "store": MemoryStore(), "output": lambda _: None}
    async with Runtime(**given, limits=Limits(effects=effects)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(spell, begun=ids.append)
    async with Runtime(**given, limits=Limits()) as runtime:
        assert await runtime.resume(ids[0]) == 1
        assert await runtime.replay(ids[0]) == 1

"""Runs that go on: after a stop, an edit, a limit; and the ways in which they cannot."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
import threading
import time
from types import SimpleNamespace

import pytest

from llmspell import Grants, Runtime, tool
from llmspell.config import Project
from llmspell.errors import (
    ConfigError,
    JournalError,
    JournalMismatch,
    LimitExceeded,
    ProviderError,
    ReplayError,
    RunBusy,
    RunNotFound,
    RunSuspended,
    SpellRuntimeError,
    UnfinishedEffect,
)
from llmspell.journal import pending, rerun
from llmspell.journal.database import MIGRATIONS
from llmspell.journal.locks import is_running
from llmspell.journal.pruning import prune
from llmspell.journal.reader import Reader, due_runs
from llmspell.limits import Budget, Limits
from llmspell.providers.embedding import Embeddings
from llmspell.providers.messages import ModelResponse, ToolCall, Usage
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell

pytestmark = pytest.mark.anyio

CALLS = []
BROKEN = []
PAYING: list[asyncio.Event] = []  # one a test


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    BROKEN.clear()
    PAYING[:] = [asyncio.Event()]
    return CALLS


@tool(idempotent=True)
async def work(n: int) -> int:
    CALLS.append(n)
    if n in BROKEN:
        raise ValueError(f"{n} is broken")
    return n * 10


@tool
async def pay(n: int) -> int:
    CALLS.append(n)
    PAYING[0].set()
    await asyncio.sleep(60)
    return n


@pytest.fixture
def write(tmp_path):
    """Writes the spell; its path."""

    def written(source):
        file = tmp_path / "spell.lua"
        file.write_text(source)
        return file

    return written


@pytest.fixture
def stopped(new_runtime, write):
    """The id of a run of this source that was stopped by a limit after so many effects."""

    async def run(source, effects):
        ids = []
        async with new_runtime(tools=[work, pay], limits=Limits(effects=effects)) as runtime:
            with pytest.raises(LimitExceeded):
                await runtime.run(write(source), begun=ids.append)
        return ids[0]

    return run


THREE = "local a = work{n = 1}\nlocal b = work{n = 2}\nlocal c = work{n = 3}\nreturn {a, b, c}"


async def test_a_limit_is_raised(stopped, new_runtime, journal, printed):
    run = await stopped("print('begin') " + THREE, 2)
    with journal() as reader:
        assert (reader.run(run).status, reader.run(run).reason) == ("suspended", "limit")
    async with new_runtime(tools=[work]) as runtime:
        assert await runtime.resume(run) == [10, 20, 30]
    assert CALLS == [1, 2, 3]
    assert printed == ["begin", "begin"]
    with journal() as reader:
        assert reader.run(run).status == "completed"
        assert [e.path for e in reader.effects(reader.run(run))] == ["0/0", "0/1", "0/2"]


HOOKED = """
local asked = 0
Hook.before("tool.call", function(c) asked = asked + work{n = 1} end)
Hook.on_error("tool.call", function(c) work{n = 9} return Hook.retry(0, 2) end)
Hook.after("tool.call", function(c)
  return Hook.fork{{"tool.call", {name = "work", args = {n = 8}}}}
end)
local first, problem = work{n = 2}, select(2, pcall(work, {n = 3}))
return {first, problem.code, asked}
"""


@pytest.mark.parametrize("effects", range(3, 28, 2))
async def test_a_run_with_hooks_goes_on_wherever_it_was_stopped(
    stopped, new_runtime, calls, effects
):
    BROKEN.append(3)
    async with new_runtime(tools=[work]) as runtime:
        whole, done = await runtime.execute(HOOKED), list(calls)
    calls.clear()
    run = await stopped(HOOKED, effects)
    async with new_runtime(tools=[work]) as runtime:
        assert await runtime.resume(run) == whole
        assert await runtime.replay(run) == whole
    assert calls == done


async def test_a_budget_is_raised_and_what_was_spent_counts(new_runtime, write):
    model = ScriptedProvider(lambda request: f"answer {len(request.messages)}")
    source = "local a = Agent.create{} for i = 1, 4 do a:prompt('x') end return 'done'"
    ids = []
    options = {"providers": [model], "model": "scripted/any"}
    async with new_runtime(**options, budget=Budget(calls=2)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(write(source), begun=ids.append)
    async with new_runtime(**options, budget=Budget(calls=3)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.resume(ids[0])
    assert len(model.requests) == 3
    async with new_runtime(**options, budget=Budget(calls=4)) as runtime:
        assert await runtime.resume(ids[0]) == "done"
    assert len(model.requests) == 4


async def test_the_hint_on_a_budget_that_a_run_keeps(new_runtime, write):
    """It is not the front matter that sets it."""
    model = ScriptedProvider(lambda _: "answer")
    source = "local a = Agent.create{} a:prompt('x') a:prompt('y')"
    ids = []
    options = {"providers": [model], "model": "scripted/any"}
    async with new_runtime(**options, budget=Budget(calls=1)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(write(source), begun=ids.append)
    async with new_runtime(**options) as runtime:
        with pytest.raises(LimitExceeded) as caught:
            await runtime.resume(ids[0])
    assert caught.value.hint.startswith("raise it with --budget calls=2, ")


async def test_what_was_spent_for_no_answer_counts_when_a_run_goes_on(new_runtime, write, journal):
    async def answers(request):
        if request.messages[-1].text == "wait":
            await asyncio.sleep(60)
        error = ProviderError("lost in the middle of the answer")
        error.billed = request.messages[-1].text == "fail"
        raise error

    source = """
        local a = Agent.create{}
        pcall(a.prompt, a, "fail") pcall(a.prompt, a, "refuse")
        pcall(Task.timeout, 0.05, function() a:prompt("wait") end)
        State.set("x", 1)
        a:prompt("fail")
    """
    ids = []
    model = ScriptedProvider(answers)
    options = {"providers": [model], "model": "scripted/any", "budget": Budget(calls=2)}
    async with new_runtime(**options) as runtime:
        with pytest.raises(LimitExceeded) as first:
            await runtime.run(write(source), begun=ids.append)
    asked = len(model.requests)
    async with new_runtime(**options) as runtime:
        with pytest.raises(LimitExceeded) as second:
            await runtime.resume(ids[0])
    assert second.value.message == first.value.message
    assert len(model.requests) == asked
    with journal() as reader:
        effects = reader.effects(reader.run(ids[0]))
    usages = [e.usage for e in effects if e.name == "model.request"]
    assert [usage and usage["output_tokens"] for usage in usages] == [4096, None, 4096]


async def test_a_tool_that_was_cancelled_with_its_agent_has_not_just_begun(new_runtime, journal):
    model = ScriptedProvider(lambda _: ToolCall("1", "pay", {"n": 1}))
    source = """
        local a = Agent.create{tools = {"pay"}, timeout = 0.2}
        print(select(2, pcall(a.prompt, a, "x")).code)
    """
    ids = []
    options = {"tools": [pay], "providers": [model], "model": "scripted/any"}
    async with new_runtime(**options) as runtime:
        await runtime.execute(source, begun=ids.append)
    with journal() as reader:
        run = reader.run(ids[0])
        assert reader.begun(run) == []
        assert [e.kind for e in reader.effects(run) if e.name == "tool.call"] == ["cancelled"]
        assert "unfinished" not in [e.kind for e in reader.composites(run)]


class Stalling(ScriptedProvider):
    """Stops in the middle of its first answer to `q`; the others are whole."""

    async def stream(self, request):
        asked = request.messages[-1].text
        stalls = asked == "q" and not any(r.messages[-1].text == "q" for r in self.requests)
        async for part in super().stream(request):
            if stalls and isinstance(part, ModelResponse):
                await asyncio.sleep(60)
            if stalls:
                await asyncio.sleep(0.01)
            yield part


READ = """
    local function read(asked)
      local heard = ""
      for piece in Agent.create{}:stream(asked) do
        heard = heard .. piece
        if after then after(piece) end
      end
      return heard
    end
"""


@pytest.fixture
def broken_off(new_runtime, write):
    """Runs a spell until it has got a part of an answer, and resumes it; both results and requests."""

    async def run(source, until):
        ids = []
        model = Stalling(lambda request: f"one two {len(request.messages[0].text)}")
        options = {"tools": [work], "providers": [model], "model": "scripted/any"}
        async with new_runtime(**options) as runtime:
            running = asyncio.create_task(runtime.run(write(READ + source), begun=ids.append))
            while not until():  # noqa: ASYNC110 - some are in Lua
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        async with new_runtime(**options) as runtime:
            result = await runtime.resume(ids[0])
            spent = runtime.spent | {}, runtime.spent_before | {}
        async with new_runtime() as runtime:
            assert await runtime.replay(ids[0]) == result
        return result, [request.messages[-1].text for request in model.requests], spent

    return run


async def test_an_answer_that_was_broken_off_is_asked_for_again(broken_off, printed):
    source = "after = print return read('q')"
    result, asked, _ = await broken_off(source, until=lambda: len(printed) == 3)
    assert (result, asked) == ("one two 1", ["q", "q"])


async def test_but_not_one_that_the_spell_has_done_something_with(broken_off):
    source = """
        function after(piece) work{n = #piece} end
        local read_it, problem = pcall(read, "q")
        return {read_it, problem.code, problem.details.pieces, problem.retryable, (read("again"))}
    """
    result, asked, spent = await broken_off(source, until=lambda: len(CALLS) == 3)
    assert result == [False, "provider_error", [["one"], [" two"], [" 1"]], False, "one two 5"]
    assert asked == ["q", "again"]
    assert CALLS == [3, 4, 2] * 2
    assert [one["scripted/any"].calls for one in spent] == [1, 1]


async def test_what_others_did_meanwhile_stays_done(broken_off):
    source = """
        local function tried(asked)
          local read_it, answer = pcall(read, asked)
          return read_it and answer or answer.code
        end
        return Task.all{function() return tried("q") end, function()
          Task.sleep(0.1)
          local heard = read("other")
          work{n = 1}
          work{n = 2}
          return heard
        end}
    """
    result, asked, _ = await broken_off(source, until=lambda: len(CALLS) == 2)
    assert result == ["provider_error", "one two 5"]
    assert (asked, CALLS) == (["q", "other"], [1, 2])


async def test_vectors_of_no_texts_count_for_nothing_when_a_run_goes_on(new_runtime, write):
    class Measuring(ScriptedProvider):
        async def embed(self, request):
            return Embeddings([[1.0] for _ in request.texts], Usage(3), request.model)

    ids = []
    source = """
        Model.embed({}, {model = "scripted/v"})
        Model.embed("a", {model = "scripted/v"})
        Model.embed("b", {model = "scripted/v"})
    """
    options = {"providers": [Measuring([])]}
    async with new_runtime(**options, budget=Budget(calls=1)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(write(source), begun=ids.append)
    async with new_runtime(**options, budget=Budget(calls=2)) as runtime:
        await runtime.resume(ids[0])


async def test_what_was_denied_stays_denied(new_runtime, write, tmp_path, monkeypatch):
    """Also from a folder where the same words would mean another place."""
    (tmp_path / "inner").mkdir()
    for file in ("a.txt", "inner/a.txt", "inner/b.txt"):
        (tmp_path / file).write_text("tea")
    source = f"""
        Task.sleep(0.5)
        Task.sleep(0.5)
        local found = {{}}
        for _, path in ipairs{{"a.txt", "inner/a.txt", "inner/b.txt"}} do
          found[#found + 1] = pcall(read_file, {{path = "{tmp_path}/" .. path}})
        end
        return found
    """
    path, ids = write(source), []
    monkeypatch.chdir(tmp_path / "inner")
    options = {"grants": Grants(read=(".",)), "denied": Grants(read=("a.txt",))}
    async with new_runtime(**options, park=0.1) as runtime:
        with pytest.raises(RunSuspended):
            await runtime.run(path, begun=ids.append)
    monkeypatch.chdir(tmp_path)
    async with new_runtime(park=0.1) as runtime:
        with pytest.raises(RunSuspended):
            await runtime.resume(ids[0])
    async with new_runtime() as runtime:
        assert await runtime.resume(ids[0]) == [False, False, True]


async def test_a_spell_may_be_edited_where_it_has_not_come_to(stopped, new_runtime, write):
    run = await stopped(THREE, 2)
    write("-- new\n" + THREE.replace("n = 3", "n = 4"))
    async with new_runtime(tools=[work]) as runtime:
        assert await runtime.resume(run) == [10, 20, 40]
        assert await runtime.replay(run) == [10, 20, 40]
    assert CALLS == [1, 2, 4]


async def test_elsewhere_the_error_shows_both_effects_and_the_line(stopped, new_runtime, write):
    run = await stopped(THREE, 2)
    write(THREE.replace("n = 2", "n = 5"))
    async with new_runtime(tools=[work]) as runtime:
        with pytest.raises(JournalMismatch) as caught:
            await runtime.resume(run)
    error = caught.value
    assert error.where.endswith("spell.lua:2")
    assert '"n": 5' in error.message
    assert '"n": 2' in error.message
    assert f"llmspell fork {run} --at 0/1" in error.hint
    assert CALLS == [1, 2]
    write(THREE)
    async with new_runtime(tools=[work]) as runtime:
        assert await runtime.resume(run) == [10, 20, 30]


async def test_an_effect_that_is_not_asked_for_any_more(stopped, new_runtime, write):
    source = "return Task.map({1, 2, 3, 4}, function(i) return work{n = i} + work{n = i + 10} end)"
    run = await stopped(source, 6)
    done = len(CALLS)
    write(source.replace("{1, 2, 3, 4}", "{1, 2}"))
    async with new_runtime(tools=[work]) as runtime:
        with pytest.raises(JournalMismatch, match=r"does not ask for|a different order"):
            await runtime.resume(run)
    assert len(CALLS) == done


async def test_the_effect_that_ended_a_run_is_done_again(new_runtime, write):
    ids = []
    BROKEN.append(3)
    async with new_runtime(tools=[work]) as runtime:
        with pytest.raises(SpellRuntimeError):
            await runtime.run(write(THREE), begun=ids.append)
        BROKEN.clear()
        assert await runtime.resume(ids[0]) == [10, 20, 30]
        assert await runtime.replay(ids[0]) == [10, 20, 30]
    assert CALLS == [1, 2, 3, 3]


async def test_so_are_those_that_were_cancelled_when_it_failed(new_runtime, write):
    """Beside the effect that fails, another one has ended, and a third is under way."""
    ids = []

    @tool(idempotent=True)
    async def slow(n: int) -> int:
        await asyncio.sleep(0.02 * n)
        return await work.function(n)

    BROKEN.append(2)
    map_all = "return Task.map({1, 2, 20}, function(n) return slow{n = n} end)"
    async with new_runtime(tools=[slow]) as runtime:
        with pytest.raises(SpellRuntimeError, match="2 is broken"):
            await runtime.run(write(map_all), begun=ids.append)
        BROKEN.clear()
        assert await runtime.resume(ids[0]) == [10, 20, 200]
        assert await runtime.replay(ids[0]) == [10, 20, 200]
    assert CALLS == [1, 2, 2, 20]


async def test_what_lost_a_race_before_the_failure_is_not(new_runtime, write):
    ids = []
    BROKEN.append(3)
    source = """
    local first = Task.race{function() return pay{n = 1} end, function() Task.sleep(0.001) return "slept" end}
    return {first, work{n = 3}}
    """
    async with new_runtime(tools=[work, pay]) as runtime:
        with pytest.raises(SpellRuntimeError):
            await runtime.run(write(source), begun=ids.append)
        BROKEN.clear()
        assert await runtime.resume(ids[0]) == ["slept", 30]
    assert CALLS == [1, 3, 3]


@pytest.mark.parametrize(("verdict", "done"), [("again", [7, 7]), ("skip", [7])])
async def test_what_had_begun(new_runtime, write, verdict, done, monkeypatch):
    ids = []
    async with new_runtime(tools=[pay]) as runtime:
        spell = write("return {pay{n = 7} == nil}")
        run = asyncio.create_task(runtime.run(spell, begun=ids.append))
        await PAYING[0].wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        with pytest.raises(UnfinishedEffect, match=r'tool\.call .*"n": 7') as caught:
            await runtime.resume(ids[0])
        assert "--unfinished" in caught.value.hint
        monkeypatch.setattr(asyncio, "sleep", _no_sleep)
        assert await runtime.resume(ids[0], unfinished=verdict) == [verdict == "skip"]
        assert await runtime.replay(ids[0]) == [verdict == "skip"]
    assert done == CALLS


async def _no_sleep(_):
    pass


async def test_one_process_at_a_time(new_runtime, write):
    ids = []
    async with new_runtime(tools=[pay]) as runtime, new_runtime(tools=[pay]) as other:
        run = asyncio.create_task(runtime.run(write("pay{n = 1}"), begun=ids.append))
        await PAYING[0].wait()
        with pytest.raises(RunBusy):
            await other.resume(ids[0])
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_a_run_that_went_on_elsewhere_since_it_was_looked_at(
    stopped, new_runtime, file, monkeypatch
):
    """It is taken up on other terms than it has now; and what failed meanwhile is not wanted again."""
    run = await stopped(THREE, 1)
    seen = rerun.find(SimpleNamespace(path=file), run)
    async with new_runtime(tools=[work], limits=Limits(effects=2)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.resume(run)
        monkeypatch.setattr(rerun, "find", lambda *_: seen)
        with pytest.raises(RunBusy, match="has just resumed"):
            await runtime.resume(run)
    assert CALLS == [1, 2]


async def test_a_run_that_did_not_go_on_is_as_it_was(stopped, new_runtime, write, file):
    module = file.parents[1] / "m.lua"
    module.write_text("return 'one'")
    run = await stopped(f"local m = require('m') {THREE}", 3)

    def recorded():
        with Reader.open(file) as reader:
            found = reader.run(run)
            return (
                found.status,
                found.reason,
                found.source,
                [e.outcome for e in reader.effects(found)],
            )

    before = recorded()
    assert before[:2] == ("suspended", "limit")
    write(f"local m = require('m') {THREE}".replace("n = 1", "n = 7"))
    module.write_text("return 'another'")
    async with new_runtime(tools=[work, pay]) as runtime:
        with pytest.raises(JournalMismatch):
            await runtime.resume(run)
    assert recorded() == before


async def test_whoever_looks_whether_a_run_is_at_work_keeps_nobody_from_it(
    new_runtime, file, stopped
):
    run = await stopped(THREE, 2)
    lock = file.parent / "running" / run
    looking = os.open(lock, os.O_RDONLY | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_SH)  # as is_running does, for a moment
    threading.Timer(0.05, os.close, [looking]).start()
    async with new_runtime(tools=[work, pay]) as runtime:
        assert await runtime.resume(run) == [10, 20, 30]


async def test_a_run_that_is_pruned_just_as_it_goes_on(new_runtime, file, stopped, monkeypatch):
    def go_on(*args):
        monkeypatch.setattr("llmspell.journal.pruning.is_running", lambda *_: False)
        assert prune(file, keep=0) == 1
        return going_on(*args)

    run = await stopped(THREE, 2)
    done = len(CALLS)
    going_on = rerun._going_on
    monkeypatch.setattr(rerun, "_going_on", go_on)
    async with new_runtime(tools=[work, pay]) as runtime:
        with pytest.raises(RunNotFound, match=f"no run {run}"):
            await runtime.resume(run)
    assert len(CALLS) == done
    assert not is_running(file, run)


async def test_a_question_that_has_an_answer_is_not_answered_once_more(new_runtime, file, write):
    ids = []
    async with new_runtime() as runtime:
        with pytest.raises(RunSuspended):
            await runtime.run(write("return Human.ask('Tea?')"), begun=ids.append)
        damaged = []
        with Reader.open(file) as reader:
            [first], [second] = (pending.pending(reader, damaged.append) for _ in range(2))
        assert damaged == []
        pending.answer(runtime._open_journal(), first, "yes")
        with pytest.raises(ReplayError, match="is no longer waiting for that"):
            pending.answer(runtime._open_journal(), second, "no")
        assert await runtime.resume(ids[0]) == "yes"


async def test_a_run_that_has_ended(new_runtime, write):
    """It says so, even where its spell and its tools are gone."""
    ids = []
    spell = write("return work{n = 1}")
    async with new_runtime(tools=[work]) as runtime:
        await runtime.run(spell, begun=ids.append)
    spell.unlink()
    async with new_runtime() as runtime:
        with pytest.raises(ReplayError, match="has ended"):
            await runtime.resume(ids[0])


async def test_a_sleep_goes_on_for_the_rest_of_its_time(new_runtime, write, journal):
    ids = []
    loop = asyncio.get_running_loop()
    async with new_runtime(park=0.5) as runtime:
        with pytest.raises(RunSuspended) as caught:
            await runtime.run(write("Task.sleep('1s') return os.time()"), begun=ids.append)
    assert caught.value.reason == "sleep"
    with journal() as reader:
        assert (reader.runs()[0].status, due_runs(reader)) == ("suspended", [])
    await asyncio.sleep(0.6)
    async with new_runtime() as runtime:
        began = loop.time()
        await runtime.resume(ids[0])
        assert loop.time() - began < 0.9


@pytest.mark.parametrize("wrong", ["", "7", "7 days and a bit", "d", "-1s"])
async def test_what_is_no_time_to_sleep(new_runtime, wrong):
    async with new_runtime() as runtime:
        if wrong == "7":
            wrong = "7x"
        with pytest.raises(SpellRuntimeError, match="such as 2h"):
            await runtime.execute(f"Task.sleep('{wrong}')")


# What cannot be taken up


async def test_a_tool_that_is_not_there(stopped, new_runtime):
    run = await stopped(THREE, 2)
    async with new_runtime() as runtime:
        with pytest.raises(ReplayError, match="has called work") as caught:
            await runtime.resume(run)
        assert "--tools" in caught.value.hint


async def test_a_replay_needs_no_tools(stopped, new_runtime, write):
    ids = []
    async with new_runtime(tools=[work]) as runtime:
        await runtime.run(write(THREE), begun=ids.append)
    async with new_runtime() as runtime:
        assert await runtime.replay(ids[0]) == [10, 20, 30]


async def test_a_module_that_is_not_there(stopped, new_runtime, tmp_path, write):
    module = tmp_path / "more.lua"
    module.write_text("return {n = 1}")
    run = await stopped("local more = require 'more' work{n = more.n} work{n = 2} return more.n", 2)
    module.unlink()
    async with new_runtime(tools=[work, pay]) as runtime:
        with pytest.raises(SpellRuntimeError, match="no module 'more'"):
            await runtime.resume(run)
        module.write_text("return {n = 1, new = true}")
        assert await runtime.resume(run) == 1
        module.unlink()
        assert await runtime.replay(run) == 1


async def test_a_parameter_that_is_wrong_now(new_runtime, write):
    ids = []
    head = "--- /// spell\n--- [params]\n--- n = {type = 'integer'}\n--- ///\n"
    async with new_runtime(tools=[work], limits=Limits(effects=1)) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(
                write(head + "work{n = params.n} work{n = 2}"), params={"n": 1}, begun=ids.append
            )
        write(head.replace("n =", "m =") + "work{n = 1}")
        with pytest.raises(ConfigError, match="m"):
            await runtime.resume(ids[0])


@pytest.fixture
def file(tmp_path):
    return tmp_path / ".llmspell" / "runs.db"


async def test_a_file_of_a_later_version(stopped, new_runtime, file):
    run = await stopped(THREE, 2)
    with sqlite3.connect(file) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    before = file.read_bytes()
    for work_ in (
        lambda r: r.resume(run),
        lambda r: r.replay(run),
        lambda r: r.execute("return 1"),
    ):
        async with new_runtime(tools=[work, pay]) as runtime:
            with pytest.raises(JournalError, match="later version"):
                await work_(runtime)
    assert file.read_bytes() == before


@pytest.mark.parametrize("text", [b"This is not a database.\n" * 100, b""])
async def test_a_file_that_is_none(new_runtime, file, text):
    file.parent.mkdir()
    file.write_bytes(text)
    async with new_runtime() as runtime:
        if text:
            with pytest.raises(JournalError, match="not an SQLite database") as caught:
                await runtime.execute("return 1")
            assert "--no-record" in caught.value.hint
            assert file.read_bytes() == text
        else:
            assert await runtime.execute("return 1") == 1


async def test_another_programs_file(new_runtime, file):
    file.parent.mkdir()
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    async with new_runtime() as runtime:
        with pytest.raises(JournalError, match="another program"):
            await runtime.execute("return 1")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
async def test_a_file_that_was_half_copied(stopped, new_runtime, file, tmp_path, part):
    source = "local long = ('x'):rep(3000) for i = 1, 30 do State.set('k' .. i, long .. i) end"
    run = await stopped(source, 25)
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * part) // 512 * 512 + 100])
    for extra in ("-wal", "-shm"):
        file.with_name(file.name + extra).unlink(missing_ok=True)
    before = file.read_bytes()
    async with new_runtime() as runtime:
        with pytest.raises((JournalError, LimitExceeded)) as caught:
            await runtime.replay(run)
    if isinstance(caught.value, JournalError):
        assert "damaged" in caught.value.message
    else:
        assert part > 0.6  # what is missing was not needed
    assert file.read_bytes() == before


async def test_a_value_that_is_missing(stopped, new_runtime, file):
    run = await stopped("State.set('a', ('x'):rep(5000)) State.get('a') State.get('b')", 2)
    with sqlite3.connect(file) as db:
        db.execute("DELETE FROM blobs WHERE digest IN (SELECT outcome FROM effects)")
    db.close()
    async with new_runtime() as runtime:
        with pytest.raises(JournalError, match="is missing"):
            await runtime.resume(run)


async def test_no_journal(new_runtime):
    async with new_runtime() as runtime:
        with pytest.raises(JournalError, match="there is no journal"):
            await runtime.replay("x")


# Room


async def test_a_full_file_stops_a_run_and_loses_nothing(new_runtime, file, write):
    ids = []
    source = "for i = 1, 900 do State.set('k' .. i, {math.random(), math.random(), math.random()}) end return State.get('k900') ~= nil"
    async with new_runtime(tools=[work]) as runtime:
        await runtime.execute("return 1")
        db = runtime._open_journal().writer.db
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + 8}")
        with pytest.raises(JournalError, match="the disk is full"):
            await runtime.run(write(source), begun=ids.append)
        db.execute("PRAGMA max_page_count = 1000000")
    with Reader.open(file) as reader:
        run = reader.run(ids[0])
        assert run.status in ("killed", "suspended")
        assert reader.effects(run)
    async with new_runtime() as runtime:
        assert await runtime.resume(ids[0]) is True


async def test_pruning(new_runtime, file, write):
    source = "local a = Agent.create{} for i = 1, 20 do a:prompt(('x'):rep(600) .. i) end return ('y'):rep(900)"
    model = ScriptedProvider(lambda request: f"{len(request.messages)} " + "z" * 600)
    ids = []
    async with new_runtime(providers=[model], model="scripted/any") as runtime:
        for _ in range(3):
            await runtime.run(write(source), begun=ids.append)
    size = file.stat().st_size
    assert prune(file, before=0) == 0
    assert prune(file, keep=1) == 2
    with Reader.open(file) as reader:
        [run] = reader.runs()
        assert run.id == ids[2]
        assert run.result == "y" * 900
        last = reader.effects(run)[-1]
        assert len(last.args["messages"]) == 39
        assert last.outcome["message"]["content"].startswith("39 ")
    async with new_runtime(providers=[model], model="scripted/any") as runtime:
        assert await runtime.replay(ids[2]) == "y" * 900
    assert prune(file, keep=0) == 1
    with sqlite3.connect(file) as db:
        for table in ("runs", "effects", "begun", "composites", "turns", "blobs", "links"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    db.close()
    assert file.stat().st_size < size


async def test_a_run_that_sleeps_is_not_pruned_before_its_time(new_runtime, file, write):
    async with new_runtime(park=1) as runtime:
        await runtime.execute("return 1")
        with pytest.raises(RunSuspended):
            await runtime.run(write("Task.sleep('60d')"))
    day = 86400
    assert prune(file, before=time.time() + 59 * day) == 1
    assert prune(file, before=time.time() + 61 * day) == 1


async def test_secrets_stay_out_and_replay_agrees(new_runtime, tmp_path, write, monkeypatch):
    from llmspell.config.validation import check_settings

    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    settings = check_settings({"journal": {"redact": [r"token=(\w+)"]}}, "test")
    ids = []

    def runtime():
        return Runtime(project=Project(tmp_path, settings), tools=[echo], output=lambda line: None)

    source = """
    local a = echo{text = "token=hunter22222 and sk-0123456789abcdef"}
    local b = echo{text = a}
    return #b > 0
    """
    async with runtime() as made:
        await made.run(write(source), begun=ids.append)
    for found in (tmp_path / ".llmspell").rglob("*"):
        if found.is_file():
            assert b"hunter22222" not in found.read_bytes().replace(source.encode(), b"")
            assert b"0123456789abcdef" not in found.read_bytes()
    async with runtime() as made:
        assert await made.replay(ids[0]) is True
    shutil.rmtree(tmp_path / ".llmspell")


@tool(pure=True)
async def echo(text: str) -> str:
    return text


async def test_what_ended_while_a_spell_computed_has_ended_before_it_is_heard_again(new_runtime):
    source = """
    local task = Task.spawn(function() Agent.create{tools = {"work"}}:prompt("x") end)
    Task.sleep(0.001)
    for _ = 1, 3e7 do end
    task:cancel()
    return State.increment("ended")
    """
    ids, asked = [], []

    def again_and_again(_):
        asked.append(1)
        if len(asked) == 4:
            running.cancel()
        return ToolCall("1", "work", {"n": 1})

    options = {
        "tools": [work],
        "providers": [ScriptedProvider(again_and_again)],
        "model": "scripted/any",
    }
    spell = parse_spell(source.encode(), name="s", file="s.lua")
    async with new_runtime(isolate=True, **options) as runtime:
        running = asyncio.create_task(runtime.run(spell, begun=ids.append))
        with pytest.raises(asyncio.CancelledError):
            await running
    async with new_runtime(isolate=False, **options) as runtime:
        assert await runtime.resume(ids[0]) == 1
        assert await runtime.replay(ids[0]) == 1

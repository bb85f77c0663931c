"""What a run leaves in the journal."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from functools import partial

import pytest

from llmspell import tool
from llmspell.errors import RunNotFound, SpellRuntimeError
from llmspell.providers.messages import ToolCall
from llmspell.providers.scripted import ScriptedProvider

pytestmark = pytest.mark.anyio


@tool(pure=True)
async def add(a: int, b: int = 1) -> int:
    return a + b


@tool
def fail() -> None:
    raise ValueError("no luck")


@pytest.fixture
def new_runtime(new_runtime):
    return partial(new_runtime, tools=[add, fail])


async def test_leaves_are_recorded_in_the_order_in_which_they_ended(new_runtime, journal):
    async with new_runtime() as runtime:
        await runtime.execute(
            """
            State.set("cups", 2)
            pcall(fail)
            Task.map({0.05, 0.01}, Task.sleep)
            return add{a = State.get("cups")}
            """,
            name="tea.lua",
        )
    with journal() as reader:
        [run] = reader.runs()
        assert (run.status, run.spell, run.result) == ("completed", "tea.lua", 3)
        effects = reader.effects(run)
        assert [(e.path, e.name, e.kind) for e in effects] == [
            ("0/0", "state.set", "ok"),
            ("0/1", "tool.call", "error"),
            ("0.1/0", "task.sleep", "ok"),
            ("0.0/0", "task.sleep", "ok"),
            ("0/2", "state.get", "ok"),
            ("0/3", "tool.call", "ok"),
        ]
        assert effects[0].args == {"key": "cups", "value": 2}
        assert effects[1].outcome["code"] == "tool_error"
        assert effects[5].outcome == 3
        assert effects[3].seconds > effects[2].seconds > 0


async def test_composites_are_not_recorded(new_runtime, journal):
    source = """
    Tool.define{name = "double", params = {n = "integer"}, run = function(args) return add{a = args.n, b = args.n} end}
    return Agent.create{tools = {"double"}}:prompt("go")
    """
    model = ScriptedProvider([ToolCall("1", "double", {"n": 4}), "8"])
    async with new_runtime(providers=[model], model="scripted/any") as runtime:
        assert await runtime.execute(source) == "8"
    with journal() as reader:
        effects = reader.effects(reader.runs()[0])
    names = [e.name for e in effects]
    assert names.count("model.request") == 2
    assert [e.args["name"] for e in effects if e.name == "tool.call"] == ["add"]
    assert all(e.usage for e in effects if e.name == "model.request")


async def test_a_conversation_takes_room_for_each_message_once(new_runtime, journal, tmp_path):
    said = "x" * 500
    model = ScriptedProvider([f"{n} {said}" for n in range(100)])
    async with new_runtime(providers=[model], model="scripted/any") as runtime:
        await runtime.execute(
            f"local a = Agent.create{{}} for i = 1, 100 do a:prompt(i .. ' {said}') end"
        )
    with journal() as reader:
        effects = [e for e in reader.effects(reader.runs()[0]) if e.name == "model.request"]
        assert len(effects[-1].args["messages"]) == 199
        assert (
            effects[-1].args["messages"][0]["content"] == effects[0].args["messages"][0]["content"]
        )
    assert (tmp_path / ".llmspell" / "runs.db").stat().st_size < 3 * 200 * len(said)


async def test_how_a_run_ended(new_runtime, journal):
    async with new_runtime() as runtime:
        with pytest.raises(SpellRuntimeError):
            await runtime.execute("error('no tea')", name="tea.lua")
    with journal() as reader:
        [run] = reader.runs()
        assert run.source == b"error('no tea')"
    assert run.status == "failed"
    assert run.error == {"code": "spell_runtime", "message": "no tea", "where": "tea.lua:1"}


async def test_ids_may_be_cut_short(new_runtime, journal):
    async with new_runtime() as runtime:
        await runtime.execute("return 1")
        await runtime.execute("return 2")
    with journal() as reader:
        first, second = reader.runs()
        assert reader.run(first.id) == first
        assert reader.run(second.id[:-1]) == second
        with pytest.raises(RunNotFound, match="several runs"):
            reader.run("2")
        with pytest.raises(RunNotFound, match="no run"):
            reader.run("x")


async def test_what_is_not_to_be_recorded_is_not(new_runtime, tmp_path):
    async with new_runtime(record=False) as runtime:
        assert await runtime.execute("return add{a = 1}") == 2
    assert not (tmp_path / ".llmspell").exists()


async def test_where_nothing_can_be_written_a_run_goes_unrecorded(new_runtime, tmp_path, caplog):
    (tmp_path / ".llmspell").write_text("in the way")
    async with new_runtime() as runtime:
        assert await runtime.execute("return 1") == 1
    assert "not recorded" in caplog.text


async def test_secrets_are_not_recorded(new_runtime, tmp_path, monkeypatch, journal):
    key = 'sk-very/"secret"-0123456789'
    monkeypatch.setenv("OPENAI_API_KEY", key)
    async with new_runtime() as runtime:
        await runtime.execute(
            f"State.set('k', {{[[{key}]], JSON.encode([[{key}]])}}) return [[{key}]]"
        )
        await runtime.execute(f"return [[{base64.b64encode(f'user:{key}'.encode()).decode()}]]")
    for file in (tmp_path / ".llmspell").iterdir():
        if file.is_file():
            assert b"0123456789" not in file.read_bytes()
    with journal() as reader:
        encoded, run = reader.runs()
        assert run.result == "[redacted]"
        assert re.fullmatch(r".{1,8}\[redacted\].{0,3}", encoded.result)
        assert reader.effects(run)[0].args["value"][0] == "[redacted]"


async def test_no_two_runs_have_the_same_id(new_runtime, journal, monkeypatch):
    """The random part of an id may repeat itself within a second: here it does, three times."""
    parts, urandom = [b"tea"] * 4 + [b"tee", b"cup"], os.urandom
    monkeypatch.setattr(os, "urandom", lambda n: parts.pop(0) if n == 3 else urandom(n))
    async with new_runtime() as runtime:
        both = [runtime.execute(f"Task.sleep(0.01) return {n}") for n in range(2)]
        assert await asyncio.gather(*both) == [0, 1]
        assert await runtime.execute("return 2") == 2
    with journal() as reader:
        assert len({run.id for run in reader.runs()}) == 3

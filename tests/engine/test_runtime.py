"""The façade."""

import asyncio
import sys
from functools import partial

import anyio
import pytest

from llmspell import Capability, Limits, Runtime, tool
from llmspell.config import Project
from llmspell.config.validation import check_settings
from llmspell.errors import (
    ConfigError,
    LimitExceeded,
    LlmspellError,
    PluginError,
    ReplayError,
    SpellNotFound,
)
from llmspell.middleware import middleware
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


async def test_a_file_runs_with_parameters_and_arguments(tmp_path, lines):
    spell = tmp_path / "greet.lua"
    spell.write_text(
        "#!/usr/bin/env llmspell\n--- /// spell\n--- [params]\n"
        '--- who = { type = "string" }\n--- times = 2\n--- ///\n'
        "print(params.who:rep(params.times), arg[1], ...)\nreturn {done = true}\n"
    )
    async with Runtime(project=Project(tmp_path), output=lines.append) as runtime:
        result = await runtime.run(spell, params={"who": "ab"}, arguments=["x", "y"])
        assert result == {"done": True}
        assert lines == ["abab\tx\tx\ty"]
        with pytest.raises(ConfigError, match="--who is required"):
            await runtime.run(spell)
        with pytest.raises(ConfigError, match="no parameter named 'wo'"):
            await runtime.run(spell, params={"wo": 1, "who": "x"})


async def test_so_does_source_text(tmp_path, lines):
    source = "--- /// spell\n--- params.n = 1\n--- ///\nprint(arg[1]) return params.n + 1"
    async with Runtime(project=Project(tmp_path)) as runtime:
        result = await runtime.execute(
            source, params={"n": 4}, arguments=["x"], output=lines.append
        )
        assert (result, lines) == (5, ["x"])
        with pytest.raises(ConfigError, match="chunk: no parameter named 'm'") as caught:
            await runtime.execute(source, params={"m": 4})
        assert caught.value.hint == "takes n (integer, optional)"


async def test_a_spell_that_is_not_there(tmp_path):
    async with Runtime(project=Project(tmp_path)) as runtime:
        with pytest.raises(SpellNotFound):
            await runtime.run("nowhere.lua")
        with pytest.raises(SpellNotFound) as caught:
            await runtime.run("helo")
        assert "hello" in caught.value.hint


async def test_two_runtimes_live_side_by_side(tmp_path):
    @tool(name="who")
    async def one() -> int:
        """First."""
        return 1

    @tool(name="who")
    async def two() -> int:
        """Second."""
        return 2

    async with (
        Runtime(project=Project(tmp_path), tools=[one], store=MemoryStore()) as first,
        Runtime(project=Project(tmp_path), tools=[two], store=MemoryStore()) as second,
    ):
        source = "State.set('k', who()) Task.sleep(0.01) return State.get('k')"
        results = []

        async def run(runtime):
            results.append((runtime is first, await runtime.execute(source)))

        async with anyio.create_task_group() as group:
            group.start_soon(run, first)
            group.start_soon(run, second)
        assert sorted(results) == [(False, 2), (True, 1)]


async def test_many_runs_at_once_share_nothing(new_runtime):
    results = {}
    async with new_runtime() as runtime:

        async def run(n):
            results[n] = await runtime.execute(
                f"shared = (shared or 0) + {n} Task.sleep(0.01) return shared"
            )

        async with anyio.create_task_group() as group:
            for n in range(100):
                group.start_soon(run, n)
    assert results == {n: n for n in range(100)}


async def test_cancelling_a_run_cancels_its_effects(new_runtime):
    state = []

    @tool
    async def forever() -> None:
        """Never ends."""
        state.append("began")
        try:
            await anyio.sleep_forever()
        finally:
            state.append("ended")

    async with new_runtime(tools=[forever]) as runtime:
        for source, begun in (("forever{}", 1), ("Task.map({1, 2}, function() forever{} end)", 4)):
            with anyio.fail_after(5):
                async with anyio.create_task_group() as group:
                    group.start_soon(runtime.execute, source)
                    while len(state) < begun:  # noqa: ASYNC110 - nobody tells
                        await anyio.sleep(0.001)
                    group.cancel_scope.cancel()
    assert state == ["began", "ended"] + ["began"] * 2 + ["ended"] * 2


async def test_a_run_that_computes_lets_others_go_on_between_its_effects(new_runtime):
    ticks = []
    async with new_runtime(limits=Limits(effects=10**9)) as runtime:

        async def tick():
            while True:
                ticks.append(1)
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            await runtime.execute("for i = 1, 5000 do probe('echo_now') end")
            group.cancel_scope.cancel()
    assert len(ticks) > 3


async def test_a_run_that_computes_for_long_does_not_hold_up_the_others(new_runtime):
    ticks = []
    compute = """
        local function work() local x = 0 for i = 1, 1e7 do x = x + i end end
        for i = 1, 5 do work() Task.sleep(0) end
        return "computed"
    """
    async with new_runtime() as runtime:

        async def tick():
            while True:
                await anyio.sleep(0.001)
                ticks.append(1)

        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            assert await runtime.execute(compute) == "computed"
            group.cancel_scope.cancel()
    # On the event loop's own thread there would be a tick or two a slice.
    assert len(ticks) > 30


async def test_a_run_that_computes_in_a_thread_can_be_cancelled_and_killed(new_runtime):
    slow = "for i = 1, 3 do local x = 0 for j = 1, 6e6 do x = x + j end Task.sleep(0) end "
    async with new_runtime(limits=Limits(instructions=100_000_000)) as runtime:
        with pytest.raises(LimitExceeded) as caught:
            await runtime.execute(f"{slow}\nwhile true do end", name="test.lua")
        assert caught.value.where == "test.lua:2"
        with anyio.move_on_after(0.3) as scope:
            await runtime.execute(f"while true do {slow} end")
        assert scope.cancelled_caught
        assert await runtime.execute(f"{slow} return add{{a = 1}}") == 2


async def test_front_matter_lowers_limits_and_never_raises_them(tmp_path):
    from llmspell.spell import parse_spell

    front = (
        b"--- /// spell\n--- [limits]\n--- effects = %d\n--- ///\nfor i = 1, 50 do os.time() end"
    )
    async with Runtime(project=Project(tmp_path), limits=Limits(effects=20)) as runtime:
        for asked, value in ((10, 10), (1000, 20)):
            spell = parse_spell(front % asked, name="x", file="x.lua")
            with pytest.raises(LimitExceeded) as caught:
                await runtime.run(spell)
            assert caught.value.value == value
            lowered = caught.value.hint == "the front matter of x.lua sets it: raise effects there"
            assert lowered == (asked < 20)


async def test_settings_apply(tmp_path):
    (tmp_path / "ok.txt").write_text("readable")
    (tmp_path / "own.py").write_text(
        "from llmspell import tool\n@tool\nasync def own() -> str:\n    'Own.'\n    return 'own tool'\n"
    )
    settings = check_settings(
        {
            "model": "ollama/x",
            "state": {"backend": "memory"},
            "journal": {"record": False},
            "permissions": {"read": [str(tmp_path)]},
            "limits": {"memory": 32 << 20},
            "tools": {"modules": [str(tmp_path / "own.py")]},
        },
        "test",
    )
    async with Runtime(project=Project(tmp_path, settings)) as runtime:
        result = await runtime.execute(
            f"return {{own(), Config.model, Config.limits.memory, read_file{{path = '{tmp_path}/ok.txt'}}}}"
        )
    assert result == ["own tool", "ollama/x", 32 << 20, "readable"]
    assert not (tmp_path / ".llmspell").exists()


async def test_middleware_is_placed_and_called(new_runtime):
    seen = []

    class Counting:
        name = "counting"
        after = "hooks"

        def wrap(self, handler, call, run):
            def counted(effect):
                seen.append(effect.name)
                return call(effect)

            return counted

    async with new_runtime(middleware=[Counting()]) as runtime:
        assert await runtime.execute("return add{a = 1}") == 2
    assert seen == ["tool.call"]


@pytest.mark.parametrize("anchor", [{}, {"before": "nothing"}])
def test_middleware_without_a_place_is_refused(new_runtime, anchor):
    lost = type("Lost", (), {"name": "lost", "wrap": lambda self, h, c, r: c, **anchor})()
    with pytest.raises(ConfigError, match="lost"):
        new_runtime(middleware=[lost])


async def test_observers_see_every_effect(new_runtime):
    seen = []

    class Watching:
        def started(self, effect):
            seen.append(("started", effect.name))

        def finished(self, effect, seconds, error):
            seen.append(("finished", effect.name, seconds >= 0, type(error).__name__))

    async with new_runtime(observers=[Watching()]) as runtime:
        await runtime.execute("add{a = 1} pcall(add, {a = 'x'})")
    assert seen == [
        ("started", "tool.call"),
        ("finished", "tool.call", True, "NoneType"),
        ("started", "tool.call"),
        ("finished", "tool.call", True, "InvalidArguments"),
    ]


async def test_two_tools_of_one_name_are_refused(tmp_path):
    @tool
    async def same() -> None:
        """One."""

    with pytest.raises(PluginError, match="a tool named 'same' is already registered"):
        Runtime(project=Project(tmp_path), tools=[same, same])


@pytest.mark.parametrize("given", [5, "add", None, partial(max, 1), dict])
async def test_what_no_tool_can_be_made_from(given, tmp_path):
    with pytest.raises(PluginError, match="is not a tool, nor a function to make one from"):
        Runtime(project=Project(tmp_path), tools=[given])


async def test_console_lua_log_json_config_debug(lua, caplog):
    caplog.set_level("INFO", logger="llmspell.spell")
    assert await lua("""
        Log.info("noted", {n = 1})
        local text = JSON.encode({a = {1, 2}}, {indent = 2})
        local ok, e = pcall(JSON.decode, "{")
        local ok2 = pcall(function() Config.model = "x" end)
        local elapsed = Debug.timer()
        return {JSON.parse(text), JSON.stringify({}), ok, e.code, ok2, inspect({b = {1}, a = "x"}), elapsed() >= 0,
                (try(error, "x")) == nil, (select(2, try(error, "x")))}
    """) == [
        {"a": [1, 2]},
        "[]",
        False,
        "invalid_arguments",
        False,
        '{\n  a = "x",\n  b = {\n    1\n  }\n}',
        True,
        True,
        "x",
    ]
    assert "noted n=1" in caplog.text


@pytest.mark.parametrize("isolate", [False, True])
async def test_what_is_written_arrives_as_lines_or_piece_by_piece(tmp_path, lines, isolate):
    class Pieces(list):
        write = list.append

    pieces = Pieces()
    source = """
        Console.write("a", 1, 2.5) Console.write("") Console.write("\\n\\xc3")
        Console.write("\\xa9") print() Console.write("b")
        return select(2, try(Console.write, "c", {})).message
    """
    said = "Console.write: argument 2 must be a string or a number, not a table"
    for output in (lines.append, pieces):
        made = Runtime(project=Project(tmp_path), output=output, isolate=isolate)
        async with made as runtime:
            assert await runtime.execute(source) == said
    assert lines == ["a12.5", "é", "b"]
    assert pieces == ["a12.5", "", b"\n\xc3", b"\xa9", "\n", "b"]


async def test_what_is_written_counts_as_output(tmp_path, lines):
    limits = Limits(output=100)
    async with Runtime(project=Project(tmp_path), output=lines.append, limits=limits) as runtime:
        with pytest.raises(LimitExceeded) as caught:
            await runtime.execute("for i = 1, 11 do Console.write('1234567890') end")
    assert caught.value.limit == "output"
    assert lines == ["1234567890" * 10]


async def test_a_runtime_that_has_not_started_says_so(tmp_path):
    runtime = Runtime(project=Project(tmp_path))
    with pytest.raises(LlmspellError, match="before the runtime has started") as caught:
        await runtime.execute("return 1")
    assert "async with Runtime" in caught.value.hint


async def test_a_runtime_is_started_once_and_runs_nothing_when_it_has_stopped(tmp_path):
    runtime = Runtime(project=Project(tmp_path))
    async with runtime:
        assert await runtime.execute("return 1") == 1
    with pytest.raises(LlmspellError, match="after the runtime has stopped"):
        await runtime.execute("return 1")
    with pytest.raises(LlmspellError, match="started only once"):
        async with runtime:
            pass


@pytest.mark.parametrize("record", [False, True])
async def test_runs_that_are_under_way_end_when_the_runtime_stops(tmp_path, record):
    async with Runtime(project=Project(tmp_path), record=record) as runtime:

        @tool
        async def nested() -> int:
            """Run another spell of the same runtime, in the same task."""
            return await runtime.execute("Task.sleep(60) return 1")

        runtime.tools.add(nested)
        ids = []
        sources = ["Task.sleep(60)", "pcall(nested) Task.sleep(60)", "return 1"]
        runs = [asyncio.create_task(runtime.execute(s, begun=ids.append)) for s in sources]
        assert await runs[2] == 1
        await anyio.sleep(0.1)
    for run in runs[:2]:
        with pytest.raises(LlmspellError, match="the runtime stopped before the spell") as caught:
            await run
        assert "await all runs within" in caught.value.hint
        assert run.cancelling() == 0
    if record:
        async with Runtime(project=Project(tmp_path)) as runtime:
            with pytest.raises(ReplayError):
                await runtime.replay(ids[0])


async def test_a_run_that_somebody_else_cancels_is_cancelled(tmp_path):
    async with Runtime(project=Project(tmp_path)) as runtime:
        run = asyncio.create_task(runtime.execute("Task.sleep(60)"))
        await anyio.sleep(0.1)
        run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def test_a_runtime_needs_asyncio(tmp_path):
    start = Runtime(project=Project(tmp_path)).__aenter__()
    with pytest.raises(LlmspellError, match="needs an event loop of asyncio"):
        start.send(None)  # as another kind of event loop does


def exits(*_):
    sys.exit(0)


async def exits_later(*_):
    await asyncio.sleep(0)
    sys.exit(1)


class ExitingMiddleware:
    name, after = "exiting", "hooks"

    def wrap(self, handler, call, run):
        return exits if handler.name == "state.set" else call


class Exiting(Capability):
    type = "exiting"

    async def attach(self, agent, effect):
        sys.exit(2)


async def test_code_of_the_host_that_exits_fails_and_does_not_end_the_program(new_runtime, caplog):
    get = middleware(name="get", effects="state.get")(exits_later)
    async with new_runtime(
        middleware=[ExitingMiddleware(), get], capabilities=[Exiting]
    ) as runtime:
        runtime.hooks.before("tool.call", id="sync")(exits)
        runtime.hooks.after("tool.call", id="async", required=True)(exits_later)
        runtime.events.subscribe("tea", exits)
        runtime.events.subscribe("tea", exits_later)
        messages = await runtime.execute("""
            Event.publish("tea")
            local messages = {}
            for n, fails in ipairs{
              function() add{a = 1} end,
              function() State.set("a", 1) end,
              function() State.get("a") end,
              function() Agent.create{}:with{exiting = {}} end,
            } do
              messages[n] = select(2, try(fails)).message
            end
            return messages
        """)
    assert messages == [
        "hook 'async' after tool.call failed: it called sys.exit(1)",
        "middleware 'exiting' at state.set: it called sys.exit(0)",
        "middleware 'get' at state.get: it called sys.exit(1)",
        "capability 'exiting' of agent 'agent': attach failed: it called sys.exit(2)",
    ]
    assert "hook 'sync' before tool.call failed: it called sys.exit(0)" in caplog.text
    assert "subscriber exits failed at the event tea: it called sys.exit(0)" in caplog.text
    assert "subscriber exits_later failed at the event tea: it called sys.exit(1)" in caplog.text

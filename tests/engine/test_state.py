"""The global State, over both stores."""

import asyncio
import sqlite3

import pytest

from llmspell.errors import SpellRuntimeError
from llmspell.state import MemoryStore, SqliteStore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "sqlite"])
async def stored(request, new_runtime, tmp_path):
    """Runs Lua; all runs of a test share one store."""
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "state.db")

    async def run(source):
        async with new_runtime(store=store) as runtime:
            return await runtime.execute(source, name="test.lua")

    yield run
    await store.close()


async def test_values_outlive_the_run(stored):
    await stored("State.set('k', {a = {1, 2}, b = 'x'}) State.set('n', 1.5)")
    assert await stored("return {State.get('k'), State.get('n'), State.keys()}") == [
        {"a": [1, 2], "b": "x"},
        1.5,
        ["k", "n"],
    ]


async def test_defaults_deletion_and_patterns(stored):
    assert await stored("""
        State.set("a1", false) State.set("a2", 2) State.set("b", 3)
        State.set("b", nil)
        return {State.get("none", "default"), State.get("a1", true), State.delete("a2"), State.delete("a2"),
                State.keys("a*"), State.get("b", "gone")}
    """) == ["default", False, True, False, ["a1"], "gone"]


async def test_scopes_are_apart(stored):
    assert await stored("""
        local one, two = State.scope("one"), State.scope("two")
        one.set("k", 1) two.set("k", 2) State.set("k", 0)
        State.save("three", "k", 3)
        return {one.get("k"), two.get("k"), State.get("k"), State.load("three", "k"), State.list_keys("three")}
    """) == [1, 2, 0, 3, ["k"]]


async def test_update_is_atomic_among_tasks(stored):
    assert await stored("""
        State.set("n", 0)
        local list = {}
        for i = 1, 30 do list[i] = i end
        Task.map(list, function()
          State.update("n", function(old) Task.sleep(0) return old + 1 end)
        end)
        return {State.get("n"), State.increment("n", 5), State.increment("fresh")}
    """) == [30, 35, 1]


async def test_compare_and_set(stored):
    assert await stored("""
        return {
          State.compare_and_set("k", 1, 2), State.compare_and_set("k", nil, {a = {1}}),
          State.compare_and_set("k", {a = {2}}, 3), State.compare_and_set("k", {a = {1}}, 3), State.get("k"),
          State.scope("s").compare_and_set("k", 3, 4), State.compare_and_set("k", 3, nil), State.get("k", "gone"),
        }
    """) == [False, True, False, True, 3, False, True, "gone"]


async def test_a_value_with_a_ttl_disappears_and_keeps_its_time_when_changed(stored):
    assert await stored("""
        State.set("k", 1, {ttl = 0.3})
        State.increment("k") State.compare_and_set("k", 2, 3)
        State.update("k", function(old) return old + 1 end)
        local before = State.get("k")
        Task.sleep(0.35)
        return {before, State.get("k", "gone"), State.increment("k")}
    """) == [4, "gone", 1]


async def test_an_update_is_made_of_effects(stored, lines):
    """So that a journal has nothing to record of it but those, and hooks see each once."""
    await stored("""
        Hook.before("state.*", function(call) print(call.effect, call.path) end)
        Hook.register("pre_state_update", function(call) print("pre", call.effect) end)
        Hook.register("post_state_update", function(call) print("post", call.result) end)
        State.update("k", function(old) return "new" end)
    """)
    assert lines == [
        "state.update\t0/3",
        "pre\tstate.update",
        "state.read\t0/3/0",
        "state.commit\t0/3/1",
        "post\tnew",
    ]


async def test_an_update_sees_a_value_that_was_written_while_it_ran(stored):
    assert await stored("""
        State.set("n", 1)
        local calls = 0
        State.update("n", function(old)
          calls = calls + 1
          if calls == 1 then Task.spawn(State.set, "n", 10):await() end
          return old + 1
        end)
        return {calls, State.get("n")}
    """) == [2, 11]


async def test_a_hook_may_stand_in_for_an_updates_steps(stored):
    """What a journal does on replay."""
    assert await stored("""
        State.set("k", "stored")
        Hook.before("state.read", function() return Hook.replace{"recorded", 7} end)
        Hook.before("state.commit", function(call) return Hook.replace(call.args.version == 7) end)
        return {State.update("k", function(old) return old .. "!" end), State.get("k")}
    """) == ["recorded!", "stored"]


@pytest.mark.parametrize("result", ["{}", "'ab'", "{1, 2, 3}"])
async def test_a_hook_that_answers_an_updates_read_wrongly_is_told(stored, caplog, result):
    with pytest.raises(SpellRuntimeError, match="did not return a value and its version"):
        await stored(f"""
            Hook.after("state.read", function() return Hook.replace({result}) end)
            State.update("k", function(old) return 1 end)
        """)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("decision", ["Hook.skip()", "Hook.replace(5)"])
async def test_a_hook_that_answers_an_updates_write_wrongly_is_told(stored, decision):
    with pytest.raises(SpellRuntimeError, match="did not return whether it stored the value"):
        await stored(f"""
            Hook.before("state.commit", function() return {decision} end)
            State.update("k", function(old) return 1 end)
        """)


async def test_a_watch_calls_a_function_with_every_change(stored, lines):
    await stored("""
        State.set("a", 0)
        local watch = State.watch("[ab]", function(key, new, old)
          Task.sleep(0)
          print(key, new, old)
        end)
        State.set("a", {1})
        State.set("other", 1)
        State.scope("s").set("a", 1)
        State.increment("b")
        State.update("b", function(old) return old + 1 end)
        State.delete("a")
        local stopped = {watch:stop(), watch:stop()}
        State.set("b", 100)
        return stopped
    """)
    assert [line.split("\t")[0] for line in lines] == ["a", "b", "b", "a"]
    assert lines[1:3] == ["b\t1\tnil", "b\t2\t1"]


async def test_what_changed_before_the_end_is_still_told(stored, lines):
    await stored("""
        State.scope("s").watch("*", function(key, new) print(key, new) end)
        for i = 1, 20 do State.scope("s").set("k", i) end
    """)
    assert lines == [f"k\t{n}" for n in range(1, 21)]


async def test_changes_can_be_iterated_over(stored, lines):
    assert await stored("""
        local reader = Task.spawn(function()
          for key, new, old in State.changes("k*") do
            print(key, new, old)
            if new == nil then return "done" end
          end
        end)
        Task.sleep(0.01)
        State.set("k1", 1) State.set("x", 1) State.set("k2", 2) State.delete("k1") State.set("k1", 3)
        return reader:await()
    """) == ("done")
    assert lines == ["k1\t1\tnil", "k2\t2\tnil", "k1\tnil\t1"]


async def test_one_run_sees_what_another_writes(new_runtime):
    async with new_runtime() as runtime:
        reader = asyncio.create_task(
            runtime.execute("for key, new in State.changes() do return {key, new} end")
        )
        while not reader.done():
            await runtime.execute("State.set('from', 'another run')")
            await asyncio.sleep(0.01)  # a run that waits for nothing lets no other task in
        assert await reader == ["from", "another run"]


async def test_a_watcher_that_fails_or_hangs_disturbs_nobody(stored, lines, caplog):
    await stored("""
        State.watch("k", function(key, new)
          if new == 1 then error("no tea") end
          if new == 2 then Task.sleep(60) end
          print(new)
        end, {timeout = 0.2})
        Event.subscribe("subscriber.failed", function(event) print(event.data.error) end)
        for i = 1, 3 do State.set("k", i) end
        Task.sleep(0.5)
    """)
    assert sorted(lines) == ["3", "it took more than 0.2 s", "test.lua:3: no tea"]
    assert "failed at a change of 'k': test.lua:3: no tea" in caplog.text


async def test_watches_end_with_the_run_and_with_the_task_that_waits(new_runtime):
    store = MemoryStore()
    async with new_runtime(store=store) as runtime:
        for source in (
            "State.watch('k', print) error('the end')",
            "try(Task.timeout, 0.05, function() for _ in State.changes() do end end) assert(nil)",
            "for _ in State.changes() do break end",
        ):
            run = asyncio.create_task(runtime.execute(source))
            await asyncio.sleep(0.1)
            store.set("", "k", 1)
            await asyncio.wait([run], timeout=5)
            assert run.done()
            run.exception()
            store.set("", "k", 2)
            assert not store._watches


async def test_a_run_may_have_so_many_watches(stored):
    result = await stored("""
        for i = 1, 16 do State.watch("k", print) end
        local _, e = try(State.watch, "k", print)
        return {e.code, e.message}
    """)
    assert result == ["state_error", "the spell already has 16 watches"]


async def test_watches_that_have_ended_do_not_count(stored):
    assert (
        await stored("""
        local function change(n)
          State.set("k", n)
          State.set("k", n + 1)
        end
        for n = 1, 20 do
          local seen = Task.spawn(function()
            for _, new in State.changes("k") do return new end
          end)
          Task.sleep(0.001)
          change(n)
          assert(seen:await() == n)
          State.watch("other", function() end):stop()
          try(Task.timeout, 0.001, function() for _ in State.changes("never") do end end)
        end
        return "done"
        """)
        == "done"
    )


async def test_watches_begun_at_once_are_limited_too(stored):
    assert (
        await stored("""
        local begun, keys = 0, {}
        for n = 1, 20 do keys[n] = "key" .. n end
        Task.map(keys, function(key)
          if pcall(State.watch, key, function() end) then begun = begun + 1 end
        end)
        return begun
        """)
        == 16
    )


async def test_an_update_that_fails_changes_nothing(stored):
    assert await stored("""
        State.set("k", "before")
        local ok, e = pcall(State.update, "k", function() error("no", 0) end)
        return {ok, e.message, State.get("k")}
    """) == [False, "no", "before"]


async def test_an_update_that_another_task_asks_for_meanwhile_waits(stored):
    """It is requested in the turn of Lua in which the other one's function is called."""
    assert (
        await stored("""
        local function add(old) Task.sleep(0.001) return (old or 0) + 1 end
        Task.all{
          function() State.update("n", add) end,
          function() probe("echo") State.update("n", add) end,
        }
        return State.get("n")
    """)
        == 2
    )


async def test_an_update_within_itself_is_refused(stored):
    result = await stored("""
        local ok, e = pcall(State.update, "k", function()
          return State.update("k", function() return 1 end)
        end)
        return {ok, e.code}
    """)
    assert result == [False, "state_error"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("State.set('', 1)", "key"),
        ("State.set('k', print)", "a function cannot be stored"),
        ("State.set('k', 1, {ttl = -1})", "ttl: must be a number of seconds"),
        ("State.update('k')", "must be a function"),
        ("State.watch('k')", "State.watch: argument 2 must be a function"),
        ("State.watch(1, print)", "pattern"),
        ("State.scope('')", "not empty"),
        ("State.get()", "key is required"),
    ],
)
async def test_mistakes_are_explained(stored, source, said):
    with pytest.raises(SpellRuntimeError, match=said):
        await stored(source)


async def test_state_is_kept_in_the_project_only_once_it_is_used(new_runtime, tmp_path):
    async with new_runtime(store=None, record=False) as runtime:
        await runtime.execute("print('nothing to keep')")
        assert not (tmp_path / ".llmspell").exists()
        await runtime.execute("State.set('k', 'kept')")
    connection = sqlite3.connect(tmp_path / ".llmspell" / "state.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    async with new_runtime(store=None, record=False) as runtime:
        assert await runtime.execute("return State.get('k')") == "kept"


async def test_a_read_only_state_file_is_explained(new_runtime, tmp_path):
    (tmp_path / ".llmspell").write_text("a file where the folder should be")
    async with new_runtime(store=None, record=False) as runtime:
        with pytest.raises(SpellRuntimeError) as caught:
            await runtime.execute("State.set('k', 1)")
    assert caught.value.cause.code == "state_error"
    assert ".llmspell" in caught.value.message

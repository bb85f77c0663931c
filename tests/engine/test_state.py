"""The global State, over both stores."""

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


async def test_an_update_that_fails_changes_nothing(stored):
    assert await stored("""
        State.set("k", "before")
        local ok, e = pcall(State.update, "k", function() error("no", 0) end)
        return {ok, e.message, State.get("k")}
    """) == [False, "no", "before"]


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
        ("State.set('k', 1, {ttl = -1})", "time to live"),
        ("State.update('k')", "must be a function"),
        ("State.scope('')", "not empty"),
        ("State.get()", "key is required"),
    ],
)
async def test_mistakes_are_explained(stored, source, said):
    with pytest.raises(SpellRuntimeError, match=said):
        await stored(source)


async def test_state_is_kept_in_the_project_only_once_it_is_used(new_runtime, tmp_path):
    async with new_runtime(store=None) as runtime:
        await runtime.execute("print('nothing to keep')")
        assert not (tmp_path / ".llmspell").exists()
        await runtime.execute("State.set('k', 'kept')")
    connection = sqlite3.connect(tmp_path / ".llmspell" / "state.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    async with new_runtime(store=None) as runtime:
        assert await runtime.execute("return State.get('k')") == "kept"


async def test_a_read_only_state_file_is_explained(new_runtime, tmp_path):
    (tmp_path / ".llmspell").write_text("a file where the folder should be")
    async with new_runtime(store=None) as runtime:
        with pytest.raises(SpellRuntimeError) as caught:
            await runtime.execute("State.set('k', 1)")
    assert caught.value.cause.code == "state_error"
    assert ".llmspell" in caught.value.message

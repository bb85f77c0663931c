"""Watching a store: what it tells, in which order, and what it costs when nobody watches."""

import asyncio
import gc
import sqlite3
import sys

import pytest

from llmspell.concurrency import settled
from llmspell.errors import StateError
from llmspell.state import MemoryStore, SqliteStore
from llmspell.state.watch import LOOK_SECONDS, ROOM, WAITING, StoredChange

pytestmark = pytest.mark.anyio


async def taken(watch, number):
    """The next changes as (key, new, old)."""
    changes = []
    async with asyncio.timeout(5):
        while len(changes) < number:
            changes += await watch.next()
    return [(change.key, change.new, change.old) for change in changes]


async def test_every_write_is_told_in_order(store):
    async def double(old):
        return old * 2

    await settled(store.set("", "there", "before"))
    watch = await settled(store.watch(""))
    await settled(store.set("", "a", [1]))
    await settled(store.set("", "a", [1]))
    await settled(store.increment("", "n", 2))
    await settled(store.compare_and_set("", "n", 2, 3))
    await settled(store.compare_and_set("", "n", 2, 4))
    await store.update("", "n", double)
    await settled(store.delete("", "there"))
    await settled(store.delete("", "there"))
    await settled(store.set("", "a", None))
    assert await taken(watch, 7) == [
        ("a", [1], None),
        ("a", [1], [1]),
        ("n", 2, None),
        ("n", 3, 2),
        ("n", 6, 3),
        ("there", None, "before"),
        ("a", None, [1]),
    ]


async def test_a_change_is_there_when_its_write_returns(store):
    watch = await settled(store.watch(""))
    await settled(store.set("", "key", 1))
    assert list(watch._seen) == [StoredChange("key", "1", None)]


async def test_only_what_matches_is_told(store):
    watch = await settled(store.watch("cart", "t*"))
    await settled(store.set("", "tea", 1))
    await settled(store.set("cart", "cake", 1))
    await settled(store.set("cart", "tea", 2))
    assert await taken(watch, 1) == [("tea", 2, None)]


async def test_several_watch_and_share_nothing(store):
    one, two = await settled(store.watch("")), await settled(store.watch("", "k*"))
    await settled(store.set("", "key", {"list": []}))
    (first,) = await one.next()
    first.new["list"].append("spoilt")
    assert await taken(two, 1) == [("key", {"list": []}, None)]


async def test_iterating_ends_with_what_came_before_it_was_closed(store):
    watch = await settled(store.watch(""))
    await settled(store.set("", "a", 1))
    watch.close()
    await settled(store.set("", "b", 2))
    assert [change.key async for change in watch] == ["a"]
    assert await watch.next() == []


async def test_one_who_waits_is_woken_when_it_is_closed(store):
    watch = await settled(store.watch(""))
    waiting = asyncio.create_task(watch.next())
    await asyncio.sleep(0)
    watch.close()
    assert await waiting == []


async def test_a_store_that_closes_ends_its_watches(store):
    watch = await settled(store.watch(""))
    await store.close()
    async with asyncio.timeout(5):
        assert await watch.next() == []


async def test_a_key_that_expires_is_told(store):
    await settled(store.set("", "old", 1, ttl=0.05))
    watch = await settled(store.watch(""))
    await settled(store.set("", "new", 2, ttl=0.05))
    assert await taken(watch, 3) == [("new", 2, None), ("old", None, 1), ("new", None, 2)]
    assert await settled(store.keys("")) == []


async def test_one_that_falls_behind_misses_the_oldest_changes(store, caplog):
    watch = await settled(store.watch(""))
    async with asyncio.TaskGroup() as tasks:
        for n in range(WAITING + 10):
            tasks.create_task(settle(store.set("", "n", n)))
    changes = await taken(watch, WAITING)
    assert (changes[0][1], changes[-1][1]) == (10, WAITING + 9)
    assert watch.missed == 10
    assert caplog.text.count("falls behind") == 1


async def test_changes_of_large_values_are_dropped_earlier(store):
    watch = await settled(store.watch(""))
    for n in range(6):
        await settled(store.set("", "large", f"{n}" * (ROOM // 5)))
    changes = await watch.next()
    assert [change.new[0] for change in changes] == ["4", "5"]
    assert watch.missed == 4


async def test_a_file_with_more_than_can_be_followed(sqlite_store):
    large = "x" * (ROOM // 3)
    await sqlite_store.set("", "a", large)
    watch = await sqlite_store.watch("")
    for key, value in (("b", large), ("small", 1), ("a", "short"), ("c", large), ("d", large)):
        await sqlite_store.set("", key, value)
        assert [key for key, *_ in await taken(watch, 1)] == [key]
    with pytest.raises(StateError, match="16,777,216 bytes") as caught:
        await taken(watch, 1)
    assert "narrower pattern" in caught.value.hint
    with pytest.raises(StateError, match="16,777,216 bytes"):
        await sqlite_store.watch("")
    narrow = await sqlite_store.watch("", "[ab]")
    await sqlite_store.set("", "a", 1)
    assert await taken(narrow, 1) == [("a", 1, "short")]


async def settle(answer):
    await settled(answer)


async def test_an_import_is_told(store):
    watch = await settled(store.watch(""))
    document = {"llmspell_state": 1, "scopes": {"": {"a": {"value": 1}}}}
    await settled(store.import_(document))
    await settled(store.import_({"llmspell_state": 1, "scopes": {}}, replace=True))
    assert await taken(watch, 2) == [("a", 1, None), ("a", None, 1)]


async def test_memory_forgets_watches_that_nobody_holds():
    store = MemoryStore()
    kept, closed = store.watch(""), store.watch("")
    store.watch("")
    closed.close()
    gc.collect()
    store.set("", "key", 1)
    assert len(store._watches._all) == 1
    assert await taken(kept, 1) == [("key", 1, None)]


def triggers(db):
    return [name for (name,) in db.execute("SELECT name FROM sqlite_temp_master")]


async def test_a_file_is_recorded_only_while_somebody_watches(sqlite_store):
    async def recorded():
        return await sqlite_store._writer.ask(triggers)

    await sqlite_store.set("", "key", 1)
    assert await recorded() == []
    assert sqlite_store._written.tracker.patience() is None
    watch = await sqlite_store.watch("")
    assert len(await recorded()) == 4
    assert sqlite_store._written.tracker.patience() == LOOK_SECONDS
    watch.close()
    await sqlite_store.set("", "key", 2)
    assert await recorded() == []
    assert sqlite_store._written.tracker.patience() is None

    watch = await sqlite_store.watch("")
    await sqlite_store.set("", "key", 3)
    assert await taken(watch, 1) == [("key", 3, 2)]
    del watch
    gc.collect()
    await sqlite_store.set("", "key", 4)
    assert await recorded() == []


async def test_a_write_that_is_refused_is_not_told(sqlite_store, state_file):
    await sqlite_store.set("", "before", 1)
    db = sqlite3.connect(state_file)
    db.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON state WHEN new.key = 'bad'"
        " BEGIN SELECT raise(ROLLBACK, 'not this one'); END"
    )
    db.close()
    writes = [sqlite_store.set("", key, 2) for key in ("a", "bad", "b")]
    watch, *_ = await asyncio.gather(sqlite_store.watch(""), *writes, return_exceptions=True)
    await sqlite_store.set("", "last", 3)
    seen = await taken(watch, 1)
    assert seen[-1] == ("last", 3, None)
    assert "bad" not in [key for key, _, _ in seen]
    assert len(seen) == len({key for key, _, _ in seen})


async def test_what_was_written_before_it_began_is_not_told(sqlite_store):
    other = await sqlite_store.watch("")
    writes = [sqlite_store.set("", "key", number) for number in range(3)]
    *_, watch = await asyncio.gather(*writes, sqlite_store.watch(""))
    await sqlite_store.set("", "key", 3)
    assert await taken(watch, 1) == [("key", 3, 2)]
    assert len(await taken(other, 4)) == 4


async def test_a_watch_of_too_much_leaves_nothing_behind(sqlite_store):
    for key in ("one", "two", "three"):
        await sqlite_store.set("", key, "x" * (ROOM // 3 + 1))
    with pytest.raises(StateError, match="the watched values take more than"):
        await sqlite_store.watch("")
    assert await sqlite_store._writer.ask(triggers) == []


OTHER_PROCESS = """
import asyncio, json, sys
from llmspell.state import SqliteStore
async def main():
    store = SqliteStore(sys.argv[1])
    await store.set("", "new", {"by": "another"})
    await store.set("", "changed", "now")
    await store.set("elsewhere", "changed", "now")
    await store.delete("", "deleted")
    await store.close()
asyncio.run(main())
"""


async def test_the_writes_of_another_process_are_told(sqlite_store, state_file):
    for key in ("changed", "deleted", "kept"):
        await sqlite_store.set("", key, "before")
    watch = await sqlite_store.watch("")
    await sqlite_store.set("", "kept", "own")
    assert await taken(watch, 1) == [("kept", "own", "before")]
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", OTHER_PROCESS, state_file)
    assert await other.wait() == 0
    assert sorted(await taken(watch, 3), key=str) == [
        ("changed", "now", "before"),
        ("deleted", None, "before"),
        ("new", {"by": "another"}, None),
    ]


async def test_own_writes_and_those_of_others_at_once(sqlite_store, state_file):
    """However they interleave, what is told leads from the first value to the last one."""
    watch = await sqlite_store.watch("", "n")
    other = SqliteStore(state_file)
    for _ in range(40):
        await asyncio.gather(sqlite_store.increment("", "n"), other.increment("", "n"))
    last, seen = None, 0
    async with asyncio.timeout(5):
        while last != 80:
            for change in await watch.next():
                assert change.old == last
                last, seen = change.new, seen + 1
    assert seen >= 40
    await other.close()


async def test_a_value_that_is_damaged_ends_the_watch(sqlite_store, state_file):
    watch = await sqlite_store.watch("")
    await sqlite_store.set("", "key", 1)
    db = sqlite3.connect(state_file)
    db.execute("UPDATE state SET value = '{', version = 0")
    db.commit()
    db.close()
    assert await taken(watch, 1) == [("key", 1, None)]
    with pytest.raises(StateError, match="damaged"):
        await taken(watch, 1)
    await sqlite_store.set("", "key", 2)


def test_a_watch_whose_loop_has_ended_disturbs_nobody(state_file):
    store = SqliteStore(state_file)
    watches = []

    async def watch():
        watches.append(await store.watch(""))

    async def go_on():
        await store.set("", "key", 1)
        assert store._written.tracker.patience() is None
        await store.close()

    asyncio.run(watch())
    asyncio.run(go_on())


async def test_what_is_no_scope_cannot_be_watched(store):
    with pytest.raises(StateError, match="is not a scope"):
        await settled(store.watch(None))

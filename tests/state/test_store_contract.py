"""What every store does, tried on each."""

import asyncio

import pytest

from llmspell.concurrency import settled
from llmspell.errors import StateError
from llmspell.state import MemoryStore
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio


async def test_a_value_can_be_read_back_until_it_is_deleted(store):
    await settled(store.set("", "key", {"n": 1}))
    assert await settled(store.get("", "key")) == {"n": 1}
    assert await settled(store.delete("", "key")) is True
    assert await settled(store.delete("", "key")) is False
    assert await settled(store.get("", "key")) is None


async def test_storing_none_deletes(store):
    await settled(store.set("", "key", 1))
    await settled(store.set("", "key", None))
    assert await settled(store.keys("")) == []
    assert await settled(store.scopes()) == []


async def test_scopes_are_apart(store):
    await settled(store.set("", "key", "default"))
    await settled(store.set("other", "key", "another"))
    await settled(store.delete("", "key"))
    assert await settled(store.get("other", "key")) == "another"
    assert await settled(store.scopes()) == ["other"]


async def test_keys_match_a_pattern_and_are_sorted(store):
    for key in ("b1", "a2", "a1", "A1", "ø[1]", "a\nb"):
        await settled(store.set("s", key, 0))
    assert await settled(store.keys("s")) == ["A1", "a\nb", "a1", "a2", "b1", "ø[1]"]
    assert await settled(store.keys("s", "a?")) == ["a1", "a2"]
    assert await settled(store.keys("s", "[!a]1")) == ["A1", "b1"]
    assert await settled(store.keys("s", "*[[]*")) == ["ø[1]"]
    assert await settled(store.keys("nowhere")) == []


async def test_nobody_shares_a_table_with_the_store(store):
    table = {"list": [1]}
    await settled(store.set("", "key", table))
    table["list"].append(2)
    read = await settled(store.get("", "key"))
    read["list"].append(3)
    assert await settled(store.get("", "key")) == {"list": [1]}


async def test_an_updater_may_change_what_it_is_given(store):
    await settled(store.set("", "key", [1]))

    async def append_and_fail(old):
        old.append(2)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.update("", "key", append_and_fail)
    assert await settled(store.get("", "key")) == [1]

    async def append(old):
        old.append(2)
        return old

    assert await store.update("", "key", append) == [1, 2]
    assert await settled(store.get("", "key")) == [1, 2]


async def test_a_value_with_a_ttl_disappears(store):
    await settled(store.set("s", "key", 1, ttl=0.05))
    assert await settled(store.get("s", "key")) == 1
    await asyncio.sleep(0.1)
    assert await settled(store.get("s", "key")) is None
    assert await settled(store.keys("s")) == []
    assert await settled(store.scopes()) == []
    assert await settled(store.delete("s", "key")) is False
    assert await settled(store.compare_and_set("s", "key", None, 2)) is True
    await asyncio.sleep(0.1)
    assert await settled(store.get("s", "key")) == 2


async def test_set_forgets_the_old_ttl_and_other_writes_keep_it(store):
    async def negate(old):
        return -old

    for key in ("set", "increment", "compare", "update"):
        await settled(store.set("", key, 1, ttl=0.3))
    await settled(store.set("", "set", 2))
    await settled(store.increment("", "increment"))
    assert await settled(store.compare_and_set("", "compare", 1, 2)) is True
    assert await store.update("", "update", negate) == -1
    assert len(await settled(store.keys(""))) == 4
    await asyncio.sleep(0.35)
    assert await settled(store.keys("")) == ["set"]


async def test_increment(store):
    assert await settled(store.increment("", "n")) == 1
    assert await settled(store.increment("", "n", by=-3)) == -2
    total = await settled(store.increment("", "n", by=0.5))
    assert total == -1.5
    assert await settled(store.get("", "n")) == -1.5


@pytest.mark.parametrize("value", ["1", True, [1], {}])
async def test_only_numbers_can_be_incremented(store, value):
    await settled(store.set("", "key", value))
    with pytest.raises(StateError, match="not a number"):
        await settled(store.increment("", "key"))
    with pytest.raises(StateError, match="not a number"):
        await settled(store.increment("", "new", by=value))
    assert await settled(store.keys("")) == ["key"]


async def test_a_sum_beyond_64_bits_is_refused(store):
    await settled(store.set("", "n", 2**63 - 1))
    with pytest.raises(StateError, match="64 bits"):
        await settled(store.increment("", "n"))
    assert await settled(store.get("", "n")) == 2**63 - 1


async def test_compare_and_set(store):
    assert await settled(store.compare_and_set("", "key", 1, 2)) is False
    assert await settled(store.compare_and_set("", "key", None, {"a": [1, {}]})) is True
    assert await settled(store.compare_and_set("", "key", None, 3)) is False
    assert await settled(store.compare_and_set("", "key", {"a": [True, {}]}, 3)) is False
    assert await settled(store.compare_and_set("", "key", {"a": [1.0, []]}, 3)) is True
    assert await settled(store.compare_and_set("", "key", 3, None)) is True
    assert await settled(store.keys("")) == []


async def test_update_makes_changes_and_deletes(store):
    async def count(old):
        return (old or 0) + 1

    async def forget(old):
        return None

    assert await store.update("", "n", count) == 1
    assert await store.update("", "n", count) == 2
    assert await store.update("", "n", forget) is None
    assert await settled(store.keys("")) == []


async def test_concurrent_updates_of_a_key_lose_nothing(store):
    async def count(old):
        await asyncio.sleep(0)
        return (old or 0) + 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(100):
            tasks.create_task(store.update("", "n", count))
    assert await settled(store.get("", "n")) == 100


async def test_concurrent_writers_keep_all_they_wrote(store):
    async def write(writer):
        for n in range(20):
            await settled(store.set("", f"{writer}/{n}", [writer, n]))
            assert await settled(store.get("", f"{writer}/{n}")) == [writer, n]

    async with asyncio.TaskGroup() as tasks:
        for writer in range(64):
            tasks.create_task(write(writer))
    assert len(await settled(store.keys(""))) == 64 * 20


async def test_an_update_sees_a_set_that_came_in_between(store):
    seen = []

    async def append(old):
        seen.append(old)
        if len(seen) == 1:
            await asyncio.create_task(set_from_elsewhere())
        return [*old, "updated"]

    async def set_from_elsewhere():
        await settled(store.set("", "key", ["set"]))

    await settled(store.set("", "key", ["old"]))
    assert await store.update("", "key", append) == ["set", "updated"]
    assert seen == [["old"], ["set"]]


async def test_an_updater_that_sets_its_own_key_is_given_up(store):
    async def set_it(old):
        await settled(store.set("", "key", 1))
        return 2

    with pytest.raises(StateError, match="was written 30 times") as caught:
        await store.update("", "key", set_it)
    assert "must not set the key itself" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (LuaFunction(1), "a function cannot be stored"),
        ([object()], "a value of type object cannot be stored"),
        ((1, 2), "a value of type tuple cannot be stored"),
        ({"a": {True: 1}}, "key True"),
        ({None: 1}, "key None"),
        ({float("nan"): 1}, "key nan"),
        (2**63, "64 bits"),
        ({2**63: 1}, "64 bits"),
    ],
)
async def test_a_value_that_is_not_plain_is_refused(store, value, message):
    async def give(old):
        return value

    await settled(store.set("", "key", "before"))
    with pytest.raises(StateError, match=message):
        await settled(store.set("", "key", value))
    with pytest.raises(StateError, match=message):
        await settled(store.compare_and_set("", "key", "before", value))
    with pytest.raises(StateError, match=message):
        await settled(store.compare_and_set("", "key", value, 1))
    with pytest.raises(StateError, match=message):
        await store.update("", "key", give)
    assert await settled(store.get("", "key")) == "before"


async def test_a_table_that_contains_itself_is_refused(store):
    table = {}
    table["self"] = [table]
    with pytest.raises(StateError, match="contains itself"):
        await settled(store.set("", "key", table))


@pytest.mark.parametrize("value", ["ø" * 4_194_303, ["x" * 8_388_604], b"\xff" * 6_291_444])
async def test_the_largest_value(store, value):
    await settled(store.set("", "key", value))
    assert await settled(store.get("", "key")) == value
    with pytest.raises(StateError, match="8,388,608"):
        await settled(store.set("", "key", [value, "more"]))
    assert await settled(store.get("", "key")) == value


@pytest.mark.parametrize("key", ["", "k" * 513, 1, None, b"key", "\ud800"])
async def test_what_is_no_key_is_refused(store, key):
    async def give(old):
        raise AssertionError("called")

    for ask in (
        lambda: store.get("", key),
        lambda: store.set("", key, 1),
        lambda: store.delete("", key),
        lambda: store.increment("", key),
        lambda: store.compare_and_set("", key, None, 1),
        lambda: store.update("", key, give),
    ):
        with pytest.raises(StateError, match="is not a key"):
            await settled(ask())


@pytest.mark.parametrize("scope", ["s" * 129, None, "\udfff"])
async def test_what_is_no_scope_is_refused(store, scope):
    with pytest.raises(StateError, match="is not a scope"):
        await settled(store.get(scope, "key"))
    with pytest.raises(StateError, match="is not a scope"):
        await settled(store.keys(scope))
    if scope is not None:
        with pytest.raises(StateError, match="is not a scope"):
            await settled(store.export(scope))
        with pytest.raises(StateError, match="is not a scope"):
            await settled(store.import_(await settled(store.export()), scope=scope, replace=True))


async def test_odd_keys(store):
    for key in ("\0", "a\0b", "k" * 512, "🜁", " "):
        await settled(store.set("🜁" * 128, key, key))
        assert await settled(store.get("🜁" * 128, key)) == key
    assert len(await settled(store.keys("🜁" * 128))) == 5


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "1", True])
async def test_what_is_no_time_to_live_is_refused(store, ttl):
    with pytest.raises(StateError, match="is not a time to live"):
        await settled(store.set("", "key", 1, ttl=ttl))


async def test_memory_answers_at_once():
    store = MemoryStore()
    assert store.set("", "n", 1) is None
    assert store.increment("", "n") == 2
    assert store.compare_and_set("", "n", 2, 3) is True
    assert store.get("", "n") == 3
    assert store.keys("") == ["n"]
    assert store.scopes() == [""]
    assert store.delete("", "n") is True


async def test_memory_frees_expired_values():
    store = MemoryStore()
    for n in range(40):
        store.set("old", str(n), n, ttl=0.01)
    store.set("new", "lasting", 1, ttl=60)
    await asyncio.sleep(0.02)
    for n in range(20):
        store.set("new", str(n), n)
    assert list(store._scopes) == ["new"]
    assert list(store._expiring) == [("new", "lasting")]

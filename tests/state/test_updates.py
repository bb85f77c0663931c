"""Updates take turns key by key, and one that could never come is refused."""

import asyncio

import pytest

from llmspell.concurrency import settled
from llmspell.errors import StateError
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


async def count(old):
    return (old or 0) + 1


async def test_another_key_is_not_held_up(store):
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(old):
        started.set()
        await go_on.wait()
        return "slow"

    update = asyncio.create_task(store.update("", "slow", slow))
    await started.wait()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for n in range(200):
            tasks.create_task(store.update("", f"key {n}", count))
        tasks.create_task(store.update("other", "slow", count))
    assert await settled(store.get("", "slow")) is None
    go_on.set()
    assert await update == "slow"


async def test_updates_of_a_key_take_turns(store):
    inside = 0

    async def alone(old):
        nonlocal inside
        inside += 1
        await asyncio.sleep(0.002)
        assert inside == 1
        inside -= 1
        return (old or 0) + 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(store.update("", "key", alone))
    assert await settled(store.get("", "key")) == 10


async def test_an_update_inside_an_update_of_the_same_key_is_refused(store):
    async def outer(old):
        return await store.update("", "key", count)

    async with asyncio.timeout(5):
        with pytest.raises(StateError, match="'key' inside an update of 'key'"):
            await store.update("", "key", outer)
        assert await store.update("", "key", count) == 1


async def test_also_when_a_task_of_the_updater_asks(store):
    async def outer(old):
        async def middle(old):
            return await asyncio.create_task(store.update("", "key", count))

        return await store.update("", "between", middle)

    async with asyncio.timeout(5):
        with pytest.raises(StateError, match="wait for itself"):
            await store.update("", "key", outer)


@pytest.mark.parametrize("inner", ["run:0/5.0/3", "run:0/5/1", "run:0/5.1.2/0.0/7"])
async def test_the_path_of_an_effect_tells_what_is_inside(store, inner):
    """A spell's tasks are not children of the updater's asyncio task."""
    asked: asyncio.Queue[asyncio.Future] = asyncio.Queue()

    async def spell():
        answer = await asked.get()
        with pytest.raises(StateError, match="wait for itself"):
            await store.update("", "key", count, caller=inner)
        answer.set_result("done")

    async def lua_function(old):
        answer = asyncio.get_running_loop().create_future()
        asked.put_nowait(answer)
        return await answer

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(spell())
        updated = tasks.create_task(store.update("", "key", lua_function, caller="run:0/5"))
    assert updated.result() == "done"


async def test_a_path_that_only_looks_alike_waits_its_turn(store):
    started, go_on = asyncio.Event(), asyncio.Event()

    async def first(old):
        started.set()
        await go_on.wait()
        return 1

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(store.update("", "key", first, caller="run:0/5"))
        await started.wait()
        for caller in ("run:0/51", "run:0/5", "other:0/5.0/1", ""):
            tasks.create_task(store.update("", "key", count, caller=caller))
        await asyncio.sleep(0.01)
        go_on.set()
    assert await settled(store.get("", "key")) == 5


async def test_updates_in_opposite_order_do_not_wait_for_each_other_forever(store):
    both = asyncio.Barrier(2)

    async def nested(first, second):
        async def updater(old):
            await both.wait()
            return await store.update("", second, count)

        return await store.update("", first, updater)

    async with asyncio.timeout(5):
        results = await asyncio.gather(nested("a", "b"), nested("b", "a"), return_exceptions=True)
    (refused,) = [r for r in results if isinstance(r, BaseException)]
    assert isinstance(refused, StateError)
    assert refused.retryable
    assert "wait for each other" in refused.message
    assert 1 in results


async def test_a_circle_of_many_is_found(store):
    size = 5
    everyone = asyncio.Barrier(size)

    async def nested(n):
        async def updater(old):
            await everyone.wait()
            return await store.update("", str((n + 1) % size), count)

        return await store.update("", str(n), updater)

    async with asyncio.timeout(5):
        results = await asyncio.gather(*map(nested, range(size)), return_exceptions=True)
    assert sum(isinstance(result, StateError) for result in results) == 1


async def test_a_task_that_outlives_its_updater_may_update_the_key(store):
    over = asyncio.Event()
    later = []

    async def updater(old):
        async def after():
            await over.wait()
            return await store.update("", "key", count)

        later.append(asyncio.create_task(after()))
        return 1

    await store.update("", "key", updater)
    over.set()
    async with asyncio.timeout(5):
        assert await later[0] == 2


async def test_a_cancelled_update_lets_the_next_one_in(store):
    async def forever(old):
        await asyncio.Event().wait()

    first = asyncio.create_task(store.update("", "key", forever))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(store.update("", "key", count))
    last = asyncio.create_task(store.update("", "key", count))
    await asyncio.sleep(0.01)
    waiting.cancel()
    first.cancel()
    async with asyncio.timeout(5):
        assert await last == 1
    assert not store._updates._locks
    assert not store._updates._waiting


async def test_a_long_line_of_updates_that_start_each_other():
    store = MemoryStore()
    finished = asyncio.Event()
    tasks = set()

    async def after(over, n):
        await over.wait()
        started = asyncio.Event()

        async def updater(old):
            following = finish() if n == 0 else after(started, n - 1)
            tasks.add(asyncio.create_task(following))
            return n

        await store.update("", str(n), updater)
        started.set()

    async def finish():
        await asyncio.sleep(0.01)
        await store.update("", "held", count)
        finished.set()

    async def hold(old):
        await asyncio.sleep(0.1)
        return 1

    start = asyncio.Event()
    start.set()
    async with asyncio.timeout(10):
        await after(start, 1500)
        holder = asyncio.create_task(store.update("", "held", hold))
        await finished.wait()
        await holder
        await asyncio.gather(*tasks)
    assert store.get("", "held") in (1, 2)

import asyncio

import anyio.lowlevel
import pytest
from anyio import CancelScope, move_on_after, sleep

from llmspell.callback_tasks import CallbackTasks
from llmspell.concurrency import cancel, in_own_task

pytestmark = pytest.mark.anyio


async def lingering():
    """What takes its time to end."""
    try:
        await sleep(60)
    finally:
        with CancelScope(shield=True):
            await sleep(0.05)


async def test_a_scope_that_ends_while_tasks_are_cancelled_is_left_as_ever():
    task = asyncio.create_task(lingering())
    await anyio.lowlevel.checkpoint()
    with move_on_after(0.01):
        await cancel([task])
    assert task.cancelled()


async def test_calls_of_a_spell_end_in_a_scope_that_is_cancelled_just_then():
    callers = CallbackTasks()
    callers.start("a", asyncio.Event().wait())
    await anyio.lowlevel.checkpoint()
    with CancelScope() as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        await callers.cancel()
    await anyio.lowlevel.checkpoint()
    assert not callers


async def test_what_fails_at_its_end_is_passed_over(caplog):
    async def failing():
        try:
            await sleep(60)
        finally:
            raise ValueError

    task = asyncio.create_task(failing())
    await anyio.lowlevel.checkpoint()
    await cancel([task])
    del task
    assert not caplog.records


async def test_nothing_to_cancel():
    await cancel([])


async def test_work_in_its_own_task_is_told_before_it_is_cancelled_and_left_to_clean_up():
    told = []

    async def work():
        try:
            await sleep(60)
        finally:
            assert told == ["leave"]
            with CancelScope(shield=True):
                await sleep(0.05)
            told.append("cleaned up")

    with move_on_after(0.01) as scope:
        await in_own_task(work(), lambda: told.append("leave"))
    assert scope.cancelled_caught
    assert told == ["leave", "cleaned up"]


async def test_work_in_its_own_task_may_have_ended_though_it_was_cancelled():
    async def work():
        try:
            await sleep(60)
        except asyncio.CancelledError:
            return "done"

    task = asyncio.create_task(in_own_task(work(), lambda: None))
    await sleep(0.01)
    task.cancel()
    assert await task == "done"


async def test_what_work_in_its_own_task_cancels_itself_does_not_count_as_leaving():
    async def work():
        async with asyncio.timeout(0.01):
            await sleep(60)

    told = []
    with pytest.raises(TimeoutError):
        await in_own_task(work(), lambda: told.append("leave"))
    assert not told

import asyncio

import anyio.lowlevel
import pytest
from anyio import CancelScope, move_on_after, sleep

from llmspell.callers import Callers
from llmspell.concurrency import cancel

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
    callers = Callers()
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

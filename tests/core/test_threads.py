"""Blocking functions in threads: bounded, also when nobody waits for them any more."""

from __future__ import annotations

import asyncio
import threading

import pytest
from anyio import CapacityLimiter

from llmspell.threads import current_threads, in_thread

pytestmark = pytest.mark.anyio


@pytest.fixture
def limiter():
    return CapacityLimiter(2)


async def until(holds):
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - a thread ends without telling a test
            await asyncio.sleep(0.001)


async def test_the_result_or_the_error_of_the_function_comes_back():
    assert await in_thread(threading.current_thread) is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
    assert current_threads().busy == 0


async def test_a_function_whose_caller_was_cancelled_keeps_its_slot(limiter):
    may_end, begun = threading.Event(), []

    def work(number):
        begun.append(number)
        may_end.wait(5)

    for number in range(6):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await in_thread(lambda number=number: work(number), limiter)
    assert begun == [0, 1]
    assert limiter.borrowed_tokens == current_threads().busy == 2
    may_end.set()
    assert await in_thread(lambda: "a slot is free", limiter) == "a slot is free"
    await until(lambda: current_threads().busy == 0)
    assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("turns", range(8))
async def test_no_slot_is_lost_whenever_the_caller_is_cancelled(limiter, turns):
    done = []
    task = asyncio.create_task(in_thread(lambda: done.append(1), limiter))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await until(lambda: limiter.borrowed_tokens == current_threads().busy == 0)
    assert len(done) <= 1

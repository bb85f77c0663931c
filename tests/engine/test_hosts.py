"""Programs that embed a runtime: what their event loops, tools and standard streams may be like."""

import asyncio
import time

import anyio
import pytest

from llmspell import tool
from llmspell.errors import LlmspellError

pytestmark = pytest.mark.anyio

RECORDED = pytest.mark.parametrize("record", [True, False], ids=["recorded", "not recorded"])
CONCURRENTLY = "return Task.map({1, 2, 3}, function(i) return %s end)"


class GivenUp(BaseException):
    """Like the exceptions of `pytest.fail` and `pytest.skip`."""


@tool
async def gives_up(after: float = 0.0) -> None:
    """It raises what is no Exception."""
    await asyncio.sleep(after)
    raise GivenUp


@tool
async def cancels_itself() -> None:
    """It cancels its own task."""
    asyncio.current_task().cancel()
    await asyncio.sleep(60)


@tool
async def answers_at_once(number: int) -> int:
    """It never suspends."""
    return number


def begin_at_once(loop, work, context=None):
    """A task factory for Python 3.11 that does what `asyncio.eager_task_factory` does since 3.12."""
    task = asyncio.tasks._PyTask(work, loop=loop, context=context)
    if loop.is_running():
        first_step, outer = loop._ready.pop(), asyncio.current_task()
        if outer:
            asyncio.tasks._leave_task(loop, outer)
        first_step._run()
        if outer:
            asyncio.tasks._enter_task(loop, outer)
    return task


@pytest.fixture
async def eager_tasks(anyio_backend):
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", begin_at_once))
    yield
    loop.set_task_factory(None)


# Exceptions that are no failures


@RECORDED
@pytest.mark.parametrize("call", ["gives_up{}", "gives_up{after = 0.01}"])
async def test_what_is_no_exception_ends_the_run(new_runtime, call, record):
    caught = f"return pcall(function() return {call} end)"
    for source in (caught, CONCURRENTLY % call):
        async with new_runtime(tools=[gives_up], record=record) as runtime:
            with anyio.fail_after(10), pytest.raises(GivenUp):
                await runtime.execute(source)
            assert await runtime.execute("return 1") == 1


async def test_a_tool_that_cancels_its_task_cancels_the_run(new_runtime):
    async with new_runtime(tools=[cancels_itself]) as runtime:
        for source in ("return cancels_itself{}", CONCURRENTLY % "cancels_itself{}"):
            with anyio.fail_after(10):
                run = asyncio.ensure_future(runtime.execute(source))
                await asyncio.wait([run])
            assert run.cancelled()


async def test_an_output_that_raises_no_exception_ends_the_run(new_runtime):
    def give_up(_):
        raise GivenUp

    async with new_runtime() as runtime:
        for source in ("print(1)", "Task.map({1, 2}, function() Task.sleep(0.01) print(1) end)"):
            runtime._output = give_up
            with anyio.fail_after(10), pytest.raises(GivenUp):
                await runtime.execute(source)


# Event loops


@pytest.mark.usefixtures("eager_tasks")
@RECORDED
async def test_tasks_may_begin_at_once(new_runtime, record):
    sources = {
        CONCURRENTLY % "answers_at_once{number = i}": [1, 2, 3],
        "return Task.race({function() Task.sleep(9) end, function() return answers_at_once{number = 2} end})": 2,
        """
        local heard = {}
        local subscription = Event.subscribe("x", function(event) heard[#heard + 1] = event.data end)
        Event.publish("x", 1)
        Event.publish("x", 2)
        Task.sleep(0.01)
        return heard
        """: [1, 2],
        """
        State.watch("a", function(key, new) State.increment("seen", new) end)
        State.set("a", 1)
        Task.sleep(0.01)
        return State.get("seen")
        """: 1,
    }
    async with new_runtime(tools=[answers_at_once], record=record) as runtime:
        for source, expected in sources.items():
            with anyio.fail_after(10):
                assert await runtime.execute(source) == expected


@RECORDED
async def test_a_watch_that_sets_itself_off_leaves_time_to_others(new_runtime, record):
    source = """
        State.watch("*", function() State.increment("count") end)
        State.set("a", 1)
        Task.sleep(60)
    """
    limits = {"effects": 1_000_000}
    async with new_runtime(tools=[], record=record, limits=limits) as runtime:
        began = time.monotonic()
        with anyio.move_on_after(0.3) as waiting:
            await runtime.execute(source)
        assert waiting.cancelled_caught
        assert time.monotonic() - began < 2


# What a host is told


async def test_a_run_of_whose_beginning_the_host_cannot_hear_can_be_resumed(new_runtime):
    ids = []

    def fail(id_):
        ids.append(id_)
        raise OSError("no log")

    async with new_runtime(record=True) as runtime:
        with pytest.raises(OSError, match="no log"):
            await runtime.execute("return 1", begun=fail)
        assert await runtime.resume(ids[0]) == 1


async def test_a_runtime_is_refused_in_another_event_loop(new_runtime):
    async with new_runtime() as runtime:

        def elsewhere():
            asyncio.run(runtime.execute("return 1"))

        with pytest.raises(LlmspellError, match="only in the event loop in which it was started"):
            await asyncio.to_thread(elsewhere)
        assert await runtime.execute("return 1") == 1

"""The driver against a state that says what a test has it say."""

import asyncio
import gc
import struct

import pytest

from llmspell.driver import Driver
from llmspell.kept import Kept
from llmspell.limits import Limits
from llmspell.lua import messages
from llmspell.lua.codec import encode
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio


def request(task):
    head = struct.pack("<IH", task, 1) + b"0" + b"wait"
    return b"\x01" + struct.pack("<H", len(head)) + head + struct.pack("<I", 0) + b"0"


def cancel(task):
    return struct.pack("<BI", 2, task)


def returned(value):
    return struct.pack("<BI", 3, 0) + encode(value)


class Scripted:
    """A state that says one thing after the other; `also` is what else happens in a turn."""

    def __init__(self, *turns, also):
        self._turns, self._also = enumerate(turns), also

    def resume(self, _):
        turn, said = next(self._turns)
        self._also.get(turn, lambda: None)()
        return said

    def on_end(self, tell):
        pass

    def close(self):
        pass


@pytest.mark.parametrize(
    ("says", "result"),
    [
        (b"w" + cancel(3) + request(4), "done"),
        (b"w" + cancel(3) + request(4) + cancel(4) + request(5), "done"),
        (b"w" + returned(7), 7),
    ],
)
async def test_an_effect_is_abandoned_that_is_not_awaited_yet(says, result):
    """What stops an effect that the runner awaits must not hit the runner anywhere else."""
    loop, effects, calls = asyncio.get_running_loop(), [], []

    async def perform():
        effects.append(loop.create_future())
        await effects[-1]

    async def settle():
        for _ in range(5):
            await asyncio.sleep(0)

    def call():
        """A function of the spell, as an event does that comes just now."""
        calls.append(driver.call(LuaFunction(1), [], "0"))
        calls[0].send(None)

    machine = Scripted(
        b"w" + request(1) + request(2),
        b"w",
        b"w" + request(3),
        says,
        b"w" + returned("done"),
        also={2: lambda: loop.call_soon(call)},
    )
    driver = Driver(
        machine, lambda *_: perform(), limits=Limits(), kept=Kept(1 << 20), output=lambda _: None
    )
    run = loop.create_task(driver.run(messages.main("@x.lua", b"", {}, [])))
    while not run.done():
        await settle()
        if effects:
            effects.pop(0).set_result(None)
    assert await run == result
    assert not effects
    calls[0].close()


async def test_a_run_is_cancelled_before_it_awaits_an_effect():
    """Nothing is left of the effect: Python would warn of a coroutine that nobody awaited."""
    loop = asyncio.get_running_loop()

    async def perform():
        pass

    machine = Scripted(
        b"w" + request(1) + request(2),
        b"w" + request(3),
        also={1: lambda: loop.call_soon(run.cancel)},
    )
    driver = Driver(
        machine, lambda *_: perform(), limits=Limits(), kept=Kept(1 << 20), output=lambda _: None
    )
    run = loop.create_task(driver.run(messages.main("@x.lua", b"", {}, [])))
    with pytest.raises(asyncio.CancelledError):
        await run
    gc.collect()

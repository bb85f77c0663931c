"""Events on their way to a spell, in groups."""

import asyncio

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.agents.streams import GROUP, ROOM, Stream, Streams, StreamStopped
from llmspell.concurrency import settled
from llmspell.errors import ProviderError

pytestmark = pytest.mark.anyio

pieces = st.lists(
    st.one_of(st.text(min_size=1), st.builds(lambda t: {"reasoning": t}, st.text(min_size=1))),
    max_size=120,
)
pauses = st.lists(st.integers(0, 2), min_size=1, max_size=20)


async def pause(times):
    for _ in range(times):
        await asyncio.sleep(0)


async def taken(stream, pauses=(0,), *, text=False):
    """All groups, with pauses between taking them."""
    groups = []
    while (group := await settled(stream.take(text=text))) is not None:
        groups.append(group)
        await pause(pauses[len(groups) % len(pauses)])
    return groups


@given(said=pieces, speaking=pauses, taking=pauses, text=st.booleans())
async def test_however_fast_either_is_groups_are_those_of_the_record(said, speaking, taking, text):
    stream = Stream("0")
    async with anyio.create_task_group() as both:
        reading = asyncio.ensure_future(taken(stream, taking, text=text))

        async def speak():
            for n, piece in enumerate(said):
                stream.push(piece)
                if stream.is_full:
                    await stream.wait_for_room()
                await pause(speaking[n % len(speaking)])
            await stream.end()

        both.start_soon(speak)
    live = await reading
    assert [piece for group in stream.pieces for piece in group] == said
    assert all(len(group) <= GROUP for group in stream.pieces)
    again = Stream("0")
    again.catch_up(stream.pieces)
    if said:
        again.catch_up([["never twice"]])
    reading = asyncio.ensure_future(taken(again, text=text))
    await again.end()
    assert await reading == live


async def test_nothing_is_begun_before_more_is_asked_for():
    stream = Stream("0")
    stream.put({"type": "step"}, {"type": "step"})
    wanted = asyncio.ensure_future(stream.wait_for_demand())
    await pause(3)
    assert not wanted.done()
    assert len(await settled(stream.take())) == 2
    await pause(3)
    assert not wanted.done()
    asking = asyncio.ensure_future(settled(stream.take()))
    await pause(3)
    assert wanted.done()
    stream.stop()
    assert await asking is None
    with pytest.raises(StreamStopped):
        await stream.wait_for_demand()
    with pytest.raises(StreamStopped):
        await stream.interruptible(asyncio.sleep(9))


async def test_it_is_full_until_groups_are_taken():
    stream = Stream("0")
    for _ in range(ROOM * GROUP):
        stream.push("x")
    assert stream.is_full
    room = asyncio.ensure_future(stream.wait_for_room())
    await pause(3)
    assert not room.done()
    assert len(await settled(stream.take())) == GROUP
    await room


async def test_an_error_comes_after_what_was_told_before():
    streams = Streams()
    reading = asyncio.ensure_future(taken(streams.find("0.0")))

    async def fail():
        async with streams.open("0.0", "0.0/0") as stream:
            assert streams.of_request("0.0/0/3") is stream
            stream.push("before")
            raise ProviderError("broken")

    with pytest.raises(ProviderError):
        await fail()
    assert await reading == [[{"type": "text", "text": "before"}]]
    assert streams.of_request("0.0/0/3") is None


def test_whoever_takes_holds_up_what_it_waits_for():
    stream = Stream("0.2")
    for path, waits in [("0.2/5", True), ("0.2.1/0", True), ("0.3/1", False), ("0.21/1", False)]:
        assert stream.holds_up(path) is waits

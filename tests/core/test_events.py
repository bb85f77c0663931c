"""The bus: topics, order, overflow, weak subscribers, replay, and subscribers that misbehave."""

import asyncio
import gc
import logging

import pytest

from llmspell.events import Events
from llmspell.events.event import ROOM
from llmspell.events.topics import Pattern, check_topic
from llmspell.values import LuaFunction, NotPlain

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bus():
    events = Events()
    yield events
    await events.close()


async def settle():
    """Let handlers handle what was published."""
    for _ in range(5):
        await asyncio.sleep(0)


async def until(happened):
    async with asyncio.timeout(30):
        while not happened():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a.b", ["a.b"], ["a", "a.b.c", "a.bc", "aXb"]),
        ("a.*", ["a.b", "a.b.c"], ["a", "b.a"]),
        ("*", ["a", "a.b.c"], []),
        ("*.b", ["a.b"], ["b", "a.c.b", "a.b.c"]),
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c"]),
        ("**", ["a", "a.b.c"], []),
        ("a.**", ["a", "a.b", "a.b.c"], ["b.a"]),
        ("**.c", ["c", "a.c", "a.b.c"], ["a.c.b"]),
        ("a.**.d", ["a.d", "a.b.d", "a.b.c.d", "a.d.d"], ["a.d.c", "b.d"]),
        ("**.a.**.b.*", ["a.b.c", "x.a.x.a.b.b.c"], ["a.b", "b.a.c"]),
        ("user:1.[x]", ["user:1.[x]"], ["user:1.x"]),
    ],
)
def test_patterns(pattern, yes, no):
    found = Pattern(pattern)
    assert [topic for topic in (*yes, *no) if found.matches(topic)] == yes


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "x" * 257, ".".join("x" * 17), 7])
def test_what_is_neither_topic_nor_pattern(text):
    with pytest.raises(ValueError, match=r"not a topic|a topic must be"):
        check_topic(text)
    with pytest.raises(ValueError, match=r"not a pattern|a pattern must be"):
        Pattern(text)


def test_a_star_stands_for_whole_parts_and_only_in_patterns():
    with pytest.raises(ValueError, match="only a pattern may contain"):
        check_topic("order.*")
    with pytest.raises(ValueError, match="stands for whole parts"):
        Pattern("order.p*")


def test_a_pattern_made_to_be_slow_is_not():
    assert not Pattern(".".join(["**", "a"] * 8)).matches(".".join("a" * 15 + "b"))


async def test_a_handler_gets_the_events_of_its_pattern_in_order(bus):
    seen = []

    async def handle(event):
        await asyncio.sleep(0.001 if event.data % 2 else 0)
        seen.append((event.topic, event.data, event.source, event.number))

    bus.subscribe("order.*", handle)
    for n in range(4):
        await bus.publish(f"order.n{n}", n)
        await bus.publish("other", n)
    await until(lambda: len(seen) == 4)
    assert seen == [(f"order.n{n}", n, "host", 2 * n + 1) for n in range(4)]


async def test_subscribers_work_at_the_same_time(bus):
    both = asyncio.Barrier(2)
    met = []

    async def handle(_):
        await both.wait()
        met.append(True)

    bus.subscribe("a", handle)
    bus.subscribe("*", handle)
    await bus.publish("a")
    await until(lambda: met == [True, True])


async def test_a_handler_that_raises_stops_neither_others_nor_itself(bus, caplog):
    seen, failures = [], []

    def fail(event):
        raise ZeroDivisionError(f"at {event.data}")

    bus.subscribe("a", fail)
    bus.subscribe("a", lambda event: seen.append(event.data))
    bus.subscribe("subscriber.failed", lambda event: failures.append(event.data))
    with caplog.at_level(logging.WARNING, "llmspell.events"):
        await bus.publish("a", 1)
        await bus.publish("a", 2)
        await settle()
    assert seen == [1, 2]
    assert [f["error"] for f in failures] == [f"ZeroDivisionError('at {n}')" for n in (1, 2)]
    assert failures[0]["topic"] == "a"
    assert "fail failed at the event a: ZeroDivisionError('at 1')" in caplog.text
    statistics = bus.statistics()
    assert (statistics.failed, statistics.delivered, statistics.published) == (2, 6, 4)


async def test_a_failure_while_a_failure_is_told_is_not_told_without_end(bus):
    def fail(_):
        raise ValueError

    subscription = bus.subscribe("**", fail)
    await bus.publish("a")
    await settle()
    assert subscription.failed == 2
    assert bus.statistics().published == 2


async def test_a_handler_that_hangs_is_cut_off(bus, caplog):
    seen = []

    async def hang(event):
        seen.append(event.data)
        await asyncio.sleep(60)

    subscription = bus.subscribe("a", hang, timeout=0.01)
    await bus.publish("a", 1)
    await bus.publish("a", 2)
    await asyncio.sleep(0.05)
    assert seen == [1, 2]
    assert subscription.failed == 2
    assert "it took more than 0.01 s" in caplog.text


async def test_a_handlers_own_timeout_and_cancellation_are_failures_as_any(bus, caplog):
    async def give_up(event):
        raise TimeoutError if event.data else asyncio.CancelledError

    subscription = bus.subscribe("a", give_up)
    await bus.publish("a", 0)
    await bus.publish("a", 1)
    await settle()
    assert subscription.failed == 2
    assert "what it waited for was cancelled" in caplog.text
    assert "TimeoutError()" in caplog.text


async def test_what_a_handler_returns_does_not_matter(bus):
    bus.subscribe("a", lambda _: object())
    await bus.publish("a")
    await settle()
    assert bus.statistics().delivered == 1


async def test_a_full_subscriber_loses_its_oldest_events(bus, caplog):
    stream = bus.stream("a", size=3)
    for n in range(10):
        await bus.publish("a", n)
    assert [(await stream.receive()).data for _ in range(3)] == [7, 8, 9]
    assert bus.statistics().dropped == 7
    assert caplog.text.count("too slow") == 1


async def test_back_pressure_makes_publishers_wait_and_loses_nothing(bus):
    stream = bus.stream("a", size=2, overflow="wait")
    published = []

    async def publish(n):
        await bus.publish("a", n)
        published.append(n)

    async with asyncio.TaskGroup() as tasks:
        for n in range(6):
            tasks.create_task(publish(n))
        await settle()
        assert published == [0, 1]
        assert [(await stream.receive()).data for _ in range(6)] == list(range(6))
    assert published == list(range(6))
    assert bus.statistics().dropped == 0


async def test_a_stalled_subscriber_holds_up_only_publishers(bus):
    stalled = bus.stream("a", size=1, overflow="wait")
    seen = []
    bus.subscribe("a", lambda event: seen.append(event.data))
    await bus.publish("a", 1)
    publisher = asyncio.create_task(bus.publish("a", 2))
    await settle()
    assert seen == [1, 2]
    assert not publisher.done()
    stalled.close()
    await publisher


async def test_a_publisher_that_gives_up_takes_its_event_along(bus):
    stream = bus.stream("a", size=1, overflow="wait")
    await bus.publish("a", 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bus.publish("a", 2), 0.01)
    later = asyncio.create_task(bus.publish("a", 3))
    await settle()
    assert [(await stream.receive()).data for _ in range(2)] == [1, 3]
    await later


async def test_publishing_without_waiting_passes_a_full_subscriber_by(bus):
    stream = bus.stream("a", size=1, overflow="wait")
    bus.publish_nowait("a", 1)
    bus.publish_nowait("a", 2)
    assert (await stream.receive()).data == 1
    assert await stream.receive(0) is None
    assert bus.statistics().dropped == 1


async def test_large_events_count_by_their_weight(bus):
    stream = bus.stream("a")
    for n in range(10):
        await bus.publish("a", f"{n}" * (ROOM // 4))
    assert (await stream.receive()).data[0] == "7"
    with pytest.raises(ValueError, match="at most"):
        await bus.publish("a", ["x" * (ROOM // 2), "y" * (ROOM // 2)])


async def test_only_plain_data_is_published_and_it_is_a_copy(bus):
    stream = bus.stream("a")
    data = {"list": [1]}
    await bus.publish("a", data)
    data["list"].append(2)
    assert (await stream.receive()).data == {"list": [1]}
    for wrong in (object(), {"f": LuaFunction(1)}):
        with pytest.raises(NotPlain):
            await bus.publish("a", wrong)
    assert bus.statistics().published == 1


async def test_a_late_subscriber_gets_the_last_events_first():
    bus = Events(history=5)
    for n in range(8):
        await bus.publish(f"n.{n % 2}", n)
    stream = bus.stream("n.1", replay=2)
    everything = bus.stream("*", replay=100)
    seen = []
    bus.subscribe("n.0", lambda event: seen.append(event.data), replay=1)
    await bus.publish("n.1", 8)
    assert [(await stream.receive()).data for _ in range(3)] == [5, 7, 8]
    assert [(await everything.receive()).data for _ in range(6)] == [3, 4, 5, 6, 7, 8]
    await settle()
    assert seen == [6]


async def test_no_history_no_replay():
    bus = Events(history=0)
    await bus.publish("a")
    assert await bus.wait("a", 0, replay=1) is None


async def test_a_method_held_weakly_goes_with_its_object(bus):
    class Listener:
        def __init__(self):
            self.seen = []

        def heard(self, event):
            self.seen.append(event.data)

    listener = Listener()
    seen = listener.seen
    bus.subscribe("a", listener.heard, weak=True)
    await bus.publish("a", 1)
    await settle()
    assert bus.statistics().subscriptions == 1
    del listener
    gc.collect()
    assert bus.statistics().subscriptions == 0
    await bus.publish("a", 2)
    await settle()
    assert seen == [1]


async def test_an_object_held_weakly_that_goes_with_events_waiting(bus):
    class Listener:
        def __call__(self, event):
            raise AssertionError

    listener = Listener()
    bus.subscribe("a", listener, weak=True)
    bus.publish_nowait("a", 1)
    del listener
    gc.collect()
    await settle()
    statistics = bus.statistics()
    assert (statistics.subscriptions, statistics.failed) == (0, 0)


async def test_a_stream_ends_when_nobody_holds_it(bus):
    bus.publish_nowait("a", 1)
    async for event in bus.stream("a", replay=1):
        assert event.data == 1
        break
    gc.collect()
    assert bus.statistics().subscriptions == 0


async def test_a_stream_ends_when_it_is_closed(bus):
    seen = []
    with bus.stream("a") as stream:

        async def read():
            seen.extend([event.data async for event in stream])

        reader = asyncio.create_task(read())
        await bus.publish("a", 1)
        await settle()
    await reader
    assert seen == [1]
    assert await stream.receive() is None


async def test_an_event_goes_to_one_of_several_receivers_and_is_not_lost_with_one(bus):
    stream = bus.stream("a")
    first, second = (asyncio.create_task(stream.receive()) for _ in range(2))
    await settle()
    bus.publish_nowait("a", 1)
    first.cancel()  # it was woken for the event already
    assert (await second).data == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_waiting_for_an_event(bus):
    waiting = asyncio.create_task(bus.wait("a.*", 5))
    await settle()
    await bus.publish("b")
    await bus.publish("a.b", 1)
    await bus.publish("a.c", 2)
    assert (await waiting).data == 1
    assert (await bus.wait("a.*", replay=1)).data == 2
    assert await bus.wait("a.*", 0.01) is None
    assert bus.statistics().subscriptions == 0


async def test_a_subscription_that_is_closed_hears_nothing_more(bus):
    seen = []

    async def handle(event):
        seen.append(event.data)
        subscription.close()

    subscription = bus.subscribe("a", handle)
    bus.publish_nowait("a", 1)
    bus.publish_nowait("a", 2)
    await settle()
    await bus.publish("a", 3)
    await settle()
    assert seen == [1]
    assert bus.statistics().delivered == 1


async def test_a_handler_may_publish_what_it_hears(bus):
    seen = []

    async def echo(event):
        seen.append(event.data)
        if event.data < 200:
            await bus.publish("a", event.data + 1)

    bus.subscribe("a", echo)
    await bus.publish("a", 0)
    await until(lambda: len(seen) == 201)
    assert seen == list(range(201))


async def test_a_busy_handler_lets_the_loop_go_on(bus):
    turns = 0
    bus.subscribe("a", lambda _: None)
    for _ in range(1000):
        bus.publish_nowait("a")
    while bus.statistics().waiting:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10


async def test_closing_the_bus_lets_handlers_finish_in_time():
    bus, seen = Events(), []

    async def slow(event):
        await asyncio.sleep(0.01)
        seen.append(event.data)

    async def stuck(_):
        await asyncio.sleep(60)

    bus.subscribe("a", slow)
    bus.subscribe("a", stuck, timeout=None)
    await bus.publish("a", 1)
    await bus.publish("a", 2)
    await bus.close(within=0.1)
    assert seen == [1, 2]
    assert bus.statistics().subscriptions == 0


async def test_what_the_runtime_says_goes_outward_and_nothing_else_does():
    outer = Events()
    inner = Events(outer=outer)
    heard, around = inner.stream("*"), outer.stream("*")
    await inner.publish("spell.said", 1)
    await outer.publish("outer.said", 2)
    inner.tell("run.ended", {"run": "x"})
    assert [(await heard.receive(0)).topic for _ in range(2)] == ["spell.said", "run.ended"]
    assert [(await around.receive(0)).topic for _ in range(2)] == ["outer.said", "run.ended"]
    assert await heard.receive(0) is None
    assert inner.wants("run.ended")
    heard.close()
    assert inner.wants("run.ended")
    around.close()
    assert not inner.wants("run.ended")


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"size": 1.5}, {"overflow": "explode"}, {"replay": -1}, {"replay": 1.5}],
    ids=str,
)
async def test_options_that_make_no_sense(bus, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        bus.stream("a", **options)
    assert bus.statistics().subscriptions == 0


@pytest.mark.parametrize(
    "given",
    [
        {"handler": None},
        {"handler": 5},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": "1"},
    ],
    ids=str,
)
async def test_what_cannot_handle_events_is_refused_at_once(bus, given):
    with pytest.raises((ValueError, TypeError), match=next(iter(given))):
        bus.subscribe("a", **{"handler": print} | given)
    assert bus.statistics().subscriptions == 0


async def test_many_topics_are_not_remembered_for_ever(bus):
    seen = []
    bus.subscribe("topic.*", lambda event: seen.append(event.topic))
    for n in range(3000):
        bus.publish_nowait(f"topic.{n}")
        if n % 500 == 499:
            await until(lambda: len(seen) == n + 1)  # noqa: B023 - at once
    assert len(bus._routes) < 2000

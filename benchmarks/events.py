"""Throughput of the event bus, compared with an asyncio queue and one reader; and its memory."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable

from llmspell.events import Event, Events

EVENTS = 50_000
ROUNDS = 3
SUBSCRIBERS = 10


async def bare_queue() -> None:
    queue: asyncio.Queue[object] = asyncio.Queue(1000)

    async def read() -> None:
        for _ in range(EVENTS):
            await queue.get()

    reader = asyncio.create_task(read())
    for n in range(EVENTS):
        await queue.put({"n": n})
    await reader


async def one_stream() -> None:
    bus = Events()
    stream = bus.stream("bench.*", overflow="wait")

    async def read() -> None:
        for _ in range(EVENTS):
            await stream.receive()

    reader = asyncio.create_task(read())
    for n in range(EVENTS):
        await bus.publish("bench.event", {"n": n})
    await reader


async def handlers(make: Callable[[], Callable[[Event], object]], number: int) -> None:
    """Deliver EVENTS events in total to that number of handlers."""
    bus = Events()
    for _ in range(number):
        bus.subscribe("bench.*", make(), overflow="wait")
    for n in range(EVENTS // number):
        await bus.publish("bench.event", {"n": n})
    await bus.close(within=60)
    assert bus.statistics().delivered == EVENTS // number * number


def plain_handler() -> Callable[[Event], object]:
    return lambda event: event.number


def async_handler() -> Callable[[Event], object]:
    async def handle(event: Event) -> int:
        return event.number

    return handle


async def seconds(work: Callable[[], Awaitable[None]]) -> float:
    begin = time.process_time()
    await work()
    return time.process_time() - begin


async def deliveries() -> None:
    cases: dict[str, Callable[[], Awaitable[None]]] = {
        "asyncio.Queue, one reader": bare_queue,
        "one stream, back-pressure": one_stream,
        "one function": lambda: handlers(plain_handler, 1),
        "one async function": lambda: handlers(async_handler, 1),
        f"{SUBSCRIBERS} functions": lambda: handlers(plain_handler, SUBSCRIBERS),
        f"{SUBSCRIBERS} async functions": lambda: handlers(async_handler, SUBSCRIBERS),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for title, work in cases.items():
            best[title] = min(best[title], await seconds(work))
    base = best["asyncio.Queue, one reader"]
    for title, took in best.items():
        print(f"{title:<28} {EVENTS / took:12,.0f} deliveries/s {took / base:6.2f} x")


async def stalled_subscriber() -> None:
    """Measure the memory allocated while a subscriber consumes nothing."""
    bus, never = Events(), asyncio.Event()

    async def stall(_: Event) -> None:
        await never.wait()

    bus.subscribe("bench.*", stall, timeout=None)

    async def publish(count: int) -> int:
        for n in range(count):
            await bus.publish("bench.event", {"n": n, "text": "x" * 1000})
            if n % 100 == 0:
                await asyncio.sleep(0)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    sizes = [await publish(count) for count in (5_000, 50_000)]
    tracemalloc.stop()
    dropped = bus.statistics().dropped
    await bus.close(within=0)
    print(
        f"a stalled subscriber: {sizes[0] / 1e6:.2f} MB after 5,000 events, "
        f"{sizes[1] / 1e6:.2f} MB after 55,000; {dropped:,} dropped"
    )


async def measure() -> None:
    await deliveries()
    await stalled_subscriber()


def main() -> None:
    asyncio.run(measure())


if __name__ == "__main__":
    main()

"""The gain of the SQLite store's group commit and snapshot reads, and the cost of a watch.

Every figure is compared with a baseline of the same run, since disks differ; the ratio matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from llmspell.concurrency import settled
from llmspell.state import MemoryStore, SqliteStore, Store

WRITERS = 64
SETS = 400
BASELINE_SETS = {"NORMAL": 20_000, "FULL": 4_000}
READS = 4_000


def one_commit_a_set(path: Path, synchronous: str) -> float:
    """Return the sets per second of plain sqlite3, without a thread or an event loop."""
    sets = BASELINE_SETS[synchronous]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT)")
        start = time.perf_counter()
        for n in range(sets):
            db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (f"key {n % 6400}", f"{n}"))
        return sets / (time.perf_counter() - start)


async def one_after_another(store: Store, sets: int) -> float:
    await settled(store.set("", "key", 0))
    start = time.perf_counter()
    for n in range(sets):
        await settled(store.set("", "key", n))
    return sets / (time.perf_counter() - start)


async def concurrently(store: Store) -> float:
    """Return the acknowledged sets per second of all writers together."""

    async def write(writer: int) -> None:
        for n in range(SETS):
            await settled(store.set("", f"{writer}/{n % 100}", n))

    await settled(store.set("", "key", 0))
    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for writer in range(WRITERS):
            tasks.create_task(write(writer))
    return WRITERS * SETS / (time.perf_counter() - start)


async def watched_by_somebody(store: Store) -> float:
    """Return the same while a watch receives every change."""
    watch = await settled(store.watch(""))

    async def take() -> None:
        async for _ in watch:
            pass

    taking = asyncio.create_task(take())
    sets = await concurrently(store)
    watch.close()
    await taking
    return sets


async def read_microseconds(store: Store) -> tuple[float, float]:
    """Return the median and 99th percentile of sequential reads."""
    times = []
    for _ in range(READS):
        start = time.perf_counter()
        await settled(store.get("", "read"))
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6, statistics.quantiles(times, n=100)[98] * 1e6


async def reads_beside_a_writer(store: Store) -> tuple[tuple[float, float], float]:
    """Return the read times while one task writes continuously, and its writes per second."""
    writes = 0

    async def write() -> None:
        nonlocal writes
        while True:
            await settled(store.set("", "written", "x" * 10_000))
            writes += 1

    writer = asyncio.create_task(write())
    start = time.perf_counter()
    times = await read_microseconds(store)
    seconds = time.perf_counter() - start
    writer.cancel()
    await asyncio.wait([writer])
    return times, writes / seconds


async def measure(folder: Path) -> None:
    for synchronous in ("NORMAL", "FULL"):
        baseline = one_commit_a_set(folder / f"baseline-{synchronous}.db", synchronous)
        store = SqliteStore(folder / f"store-{synchronous}.db", synchronous)
        single = await one_after_another(store, 2_000)
        group = await concurrently(store)
        watched = await watched_by_somebody(store)
        await store.close()
        print(f"synchronous={synchronous}")
        print(f"  plain sqlite3, one commit a set      {baseline:9,.0f} sets/s   1.0")
        print(
            f"  one writer, one commit a set         {single:9,.0f} sets/s   {single / baseline:.1f}"
        )
        print(
            f"  {WRITERS} writers, group commit            {group:9,.0f} sets/s   {group / baseline:.1f}"
        )
        print(
            f"  the same while somebody watches      {watched:9,.0f} sets/s   {watched / baseline:.1f}"
        )
    for name, store in (("sqlite", SqliteStore(folder / "reads.db")), ("memory", MemoryStore())):
        await settled(store.set("", "read", {"some": "value"}))
        idle, slow_idle = await read_microseconds(store)
        (busy, slow_busy), writes = await reads_beside_a_writer(store)
        await store.close()
        print(f"one read, {name}: median and 99th percentile")
        print(f"  alone                                {idle:6.1f} µs {slow_idle:7.1f} µs   1.0")
        if name == "sqlite":
            print(
                f"  beside a writer ({writes:,.0f} sets/s)         {busy:6.1f} µs {slow_busy:7.1f} µs   {busy / idle:.1f}"
            )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()

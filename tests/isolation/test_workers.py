"""Workers: how they end, and what the host makes of one that a spell took over."""

import asyncio
import errno
import gc
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis.strategies import binary

from llmspell import Limits, Runtime
from llmspell.config import Project, find_project
from llmspell.driver import Driver
from llmspell.errors import IsolationError, LimitExceeded, SpellError
from llmspell.isolation.watchdog import Watchdog
from llmspell.isolation.worker import Worker
from llmspell.isolation.workers import REFILL_AFTER, SPARES
from llmspell.kept import Kept
from llmspell.lua import codec, messages
from llmspell.lua.codec import encode
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


def _children(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _state(pid):
    """R when it runs, S when it waits, Z when it has ended."""
    return Path(f"/proc/{pid}/stat").read_text().split()[2]


def _environment(pid):
    return Path(f"/proc/{pid}/environ").read_bytes()


def _descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _workers():
    """Process ids of the workers of this process."""
    return [worker for template in _children(os.getpid()) for worker in _children(template)]


@pytest.fixture
async def runtime(tmp_path):
    options = {"project": Project(tmp_path), "store": MemoryStore(), "output": lambda _: None}
    async with Runtime(isolate=True, **options) as runtime:
        yield runtime


async def _wait_until(condition):
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.005)


async def test_a_run_ends_its_process(runtime):
    assert await runtime.execute("return 7") == 7
    await _wait_until(lambda: not _workers())


async def test_cancelling_a_run_ends_its_process(runtime):
    for code in ("while true do end", "Task.sleep(60)"):
        with anyio.move_on_after(0.3):
            await runtime.execute(code)
        await _wait_until(lambda: len(_workers()) <= SPARES)
        assert not any(_state(pid) == "R" for pid in _workers())


async def test_a_run_cancelled_just_as_its_process_has_begun_does_nothing(runtime, monkeypatch):
    greet, done = Worker.greet, []

    async def cancelling(worker):
        await greet(worker)
        asyncio.get_running_loop().call_soon(run.cancel)

    await runtime.execute("return 1")
    monkeypatch.setattr(Worker, "greet", cancelling)
    runtime.events.subscribe("done", done.append)
    source = "Event.publish('done') Task.sleep(30)"
    run = asyncio.create_task(runtime.execute(source))
    with anyio.fail_after(20), pytest.raises(asyncio.CancelledError):
        await run
    assert done == []


async def test_a_process_that_dies_ends_its_run_only(runtime):
    async def die():
        with pytest.raises(SpellError, match="process ended: SIGKILL"):
            await runtime.execute("Task.sleep(60)", name="victim.lua")

    async with anyio.create_task_group() as group:
        group.start_soon(die)
        await _wait_until(_workers)
        await anyio.sleep(0.1)
        victim = _workers()[0]
        group.start_soon(runtime.execute, "for i = 1, 50 do Task.sleep(0.002) end")
        await anyio.sleep(0.05)
        os.kill(victim, signal.SIGKILL)
    assert await runtime.execute("return 1") == 1


async def test_a_runtime_that_is_cancelled_leaves_no_process(tmp_path):
    before = _children(os.getpid())
    async with (
        anyio.create_task_group() as tasks,
        Runtime(isolate=True, project=Project(tmp_path), store=MemoryStore()) as runtime,
    ):
        assert await runtime.execute("return 7") == 7
        tasks.cancel_scope.cancel()
    assert _children(os.getpid()) == before


async def test_a_template_that_dies_is_replaced(runtime):
    async with anyio.create_task_group() as group:

        async def lose():
            with pytest.raises(SpellError, match="process ended"):
                await runtime.execute("Task.sleep(60)")

        group.start_soon(lose)
        await _wait_until(_workers)
        await anyio.sleep(0.1)
        orphans = _workers()
        os.kill(_children(os.getpid())[0], signal.SIGKILL)
    assert await runtime.execute("return 1") == 1
    await _wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))


async def test_a_host_without_free_descriptors_is_told_by_the_run_alone(runtime, monkeypatch):
    def refuse():
        raise OSError(errno.EMFILE, "Too many open files")

    unheard = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    for _ in range(2):  # from the second on, spares are kept
        assert await runtime.execute("return 1") == 1
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", refuse)
        await asyncio.sleep(2 * REFILL_AFTER)
        taken = await asyncio.gather(
            *(runtime.execute("return 1") for _ in range(SPARES + 1)), return_exceptions=True
        )
        await asyncio.sleep(2 * REFILL_AFTER)
        gc.collect()
    refused = [result for result in taken if result != 1]
    assert refused
    assert all(isinstance(error, IsolationError) for error in refused)
    assert unheard == []
    assert await runtime.execute("return 1") == 1


async def test_no_process_outlives_a_killed_host(tmp_path):
    script = """
import asyncio
from llmspell import Runtime
async def main():
    async with Runtime(isolate=True) as runtime:
        print("started", flush=True)
        await asyncio.gather(*(runtime.execute("while true do end") for _ in range(3)))
asyncio.run(main())
"""
    options = {"cwd": tmp_path, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **options) as host:  # noqa: ASYNC220
        host.stdout.readline()
        await _wait_until(lambda: [w for t in _children(host.pid) for w in _children(t)])
        family = [*_children(host.pid), *(w for t in _children(host.pid) for w in _children(t))]
        host.kill()
    await _wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


async def test_a_worker_knows_the_time_zone_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-user")
    async with Runtime(project=Project(tmp_path), store=MemoryStore(), isolate=True) as runtime:

        async def look():
            assert await runtime.execute("Task.sleep(0.3) return os.date('%H:%M', 0)") == "05:30"

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await _wait_until(_workers)
            for pid in [*_children(os.getpid()), *_workers()]:
                assert b"sk-of-the-user" not in _environment(pid)


async def test_time_is_measured_in_cpu_seconds(tmp_path):
    options = {"project": Project(tmp_path), "limits": Limits(time=0.2), "isolate": True}
    async with Runtime(store=MemoryStore(), **options) as runtime:
        assert await runtime.execute("Task.sleep(0.5) return 1") == 1
        begin = time.monotonic()
        with pytest.raises(LimitExceeded, match="time limit exceeded") as caught:
            await runtime.execute("\nwhile true do end", name="busy.lua")
        assert time.monotonic() - begin < 2
        assert caught.value.where == "busy.lua:2"


LENGTH = struct.Struct("<I")


def _frame(message):
    return LENGTH.pack(len(message)) + message


def _request(name=b"wait", args=b"0", task=1):
    head = struct.pack("<I", task) + struct.pack("<H", 1) + b"0" + name
    return b"\x01" + struct.pack("<H", len(head)) + head + struct.pack("<I", 0) + args


async def _run_on(pipe_says, *, limits=None):
    """Drive a run whose process is in the hands of an attacker, who says that on each turn."""
    limits = limits or Limits(memory=1 << 20, output=1000)
    ours, theirs = socket.socketpair()
    killed = []

    def send(worker, number):
        assert number == signal.SIGKILL
        killed.append(worker)
        theirs.close()
        worker.gone(signal.SIGKILL)

    async def wait():
        await anyio.sleep(60)

    worker = Worker(Watchdog(), send)
    theirs.sendall(_frame(json.dumps([os.getpid(), []]).encode()))
    with theirs:
        await asyncio.get_running_loop().create_unix_connection(lambda: worker, sock=ours)
        await worker.greet()
        worker.set_up(limits, seed=1, tools=[])
        driver = Driver(
            worker, lambda *_: wait(), limits=limits, kept=Kept(limits.kept), output=lambda _: None
        )
        theirs.setblocking(False)
        saying = asyncio.create_task(asyncio.get_running_loop().sock_sendall(theirs, pipe_says))
        try:
            with anyio.fail_after(5):
                return await driver.run(messages.main("@x.lua", b"", {}, []))
        finally:
            saying.cancel()
            assert worker in killed


@pytest.mark.parametrize(
    "says",
    [
        _frame(b""),
        _frame(b"z"),
        _frame(b"w\xff"),
        _frame(b"w\x09\x00\x00\x00\x00n"),
        _frame(b"w\x01\xff\xff"),
        _frame(b"w" + _request(args=b"A\xff\xff\xff\xff")),
        _frame(b"w" + _request(args=b"T" * 100_000)),
        _frame(b"w" + _request(args=b"F" + b"\xff" * 8)),
        _frame(b"w" + _request(args=codec.encode([{n / 2: 1 for n in range(40_000)}]))),
        _frame(b"w" + _request() + _request()),
        _frame(b"w\x03\x00\x00\x00\x00s\xff\xff\xff\xff"),
        _frame(b"w") + _frame(b"w"),
        _frame(b"w" * (1 << 22)),
        LENGTH.pack(0xFFFFFFFF),
        _frame(
            b"w\x05" + LENGTH.pack(100) + b"x" * 100 + b"\x05" + LENGTH.pack(2000) + b"x" * 2000
        ),
    ],
)
async def test_a_process_that_was_taken_over_ends_its_run_only(says):
    with pytest.raises((SpellError, LimitExceeded)):
        await _run_on(says)


RETURNED = b"\x03\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (b"\x05\x00\x00\x00\x00" * 200_000, "more values"),
        (b"\x02\x07\x00\x00\x00" * 200_000, "more values"),
        (RETURNED + b"A" + LENGTH.pack(1_000_000) + b"0" * 1_000_000, "more values"),
        (RETURNED + b"T" + b"s\x00\x00\x00\x00n" * 150_000 + b"e", "more values"),
        (b"".join(_request(task=n) for n in range(1025)), "too many requests"),
    ],
    ids=["prints", "cancellations", "a list", "a table", "requests"],
)
async def test_no_flood_is_read_to_its_end(says, problem):
    with pytest.raises(SpellError, match=f"invalid message: .*{problem}"):
        await _run_on(_frame(b"w" + says))


async def test_no_more_tasks_wait_than_the_memory_can_hold():
    limits = Limits(memory=1 << 19, output=1000)
    with pytest.raises(SpellError, match="more tasks wait"):
        await _run_on(_frame(b"w" + b"".join(_request(task=n) for n in range(600))), limits=limits)


async def test_a_worker_has_only_its_pipe_and_the_standard_streams(runtime):
    """With the template's own descriptors it could keep the ends of other workers from it."""

    async def look():
        await _wait_until(_workers)
        await anyio.sleep(0.1)
        for pid in _workers():
            assert _descriptors(pid) == 4

    async with anyio.create_task_group() as group:
        group.start_soon(runtime.execute, "Task.sleep(0.5)")
        group.start_soon(look)


@given(says=binary(max_size=200))
def test_whatever_it_says_is_an_error_or_nothing(says):
    async def run():
        with anyio.move_on_after(0.05), suppress(SpellError, LimitExceeded):
            await _run_on(_frame(b"w" + says))

    anyio.run(run)


async def test_an_intact_answer_is_one():
    assert await _run_on(_frame(b"w\x03\x00\x00\x00\x00" + encode([1, "two"]))) == [1, "two"]


async def test_settings_that_change_give_it_more_memory(tmp_path):
    settings = tmp_path / "llmspell.toml"
    settings.write_text('isolate = true\n[limits]\nmemory = "4MB"')
    fill = "local t = {} for i = 1, 300 do t[i] = ('x'):rep(1 << 20) .. i end return #t"
    async with Runtime(project=find_project(tmp_path), store=MemoryStore()) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.execute(fill)
        settings.write_text('isolate = true\n[limits]\nmemory = "700MB"')
        await runtime.reload()
        assert await runtime.execute(fill) == 300

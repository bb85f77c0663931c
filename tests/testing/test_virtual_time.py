"""Waiting takes no time, and everything agrees on how long it took."""

import asyncio
import sys
import time
from datetime import UTC, datetime

import anyio
import httpx2
import pytest

from llmspell.clock import monotonic, now
from llmspell.config import Project
from llmspell.errors import EffectTimeout, SpellRuntimeError
from llmspell.hooks.builtin.retrying import Retrying
from llmspell.state import MemoryStore
from llmspell.testing.fakes import FakeServer, slow
from llmspell.testing.spell_runs import run_text
from llmspell.testing.virtual_time import run

WEEK = 7 * 86400


@pytest.fixture(autouse=True)
def soon():
    """Whatever a test waits for, it does not take long."""
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < 30


def test_a_week_takes_no_time():
    async def main():
        begin, before = monotonic(), now()
        await asyncio.sleep(WEEK)
        return monotonic() - begin, now() - before

    for seconds in run(main()):
        assert seconds == pytest.approx(WEEK, abs=5)


def test_who_waits_less_is_first():
    async def main():
        order = []

        async def wait(hours):
            await anyio.sleep(3600 * hours)
            order.append(hours)

        async with anyio.create_task_group() as group:
            for hours in (3, 1, 2, 0.5):
                group.start_soon(wait, hours)
        return order

    assert run(main()) == [0.5, 1, 2, 3]


def test_timeouts_go_by_it():
    async def main():
        with anyio.move_on_after(60) as scope:
            await anyio.sleep(WEEK)
        return scope.cancelled_caught

    assert run(main())


def test_a_thread_is_waited_for():
    async def main():
        with anyio.fail_after(0.5):
            await anyio.to_thread.run_sync(time.sleep, 0.1)
        await asyncio.wait_for(asyncio.to_thread(time.sleep, 0.1), 0.5)

    run(main())


def test_a_program_is_waited_for():
    async def main():
        with anyio.fail_after(30):
            return await anyio.run_process([sys.executable, "-c", "print(1)"])

    assert run(main()).stdout.strip() == b"1"


def test_a_program_without_pipes_is_waited_for():
    program = "import os, time; os.close(1); os.close(2); time.sleep(0.2)"

    async def main():
        with anyio.fail_after(30):
            return await anyio.run_process([sys.executable, "-c", program], check=False)

    assert run(main()).returncode == 0


def test_a_socket_is_waited_for():
    async def main():
        async with FakeServer(slow(0.1)) as server, httpx2.AsyncClient(timeout=5) as client:
            answer = await client.post(
                f"{server.url}/v1/chat/completions", json={"model": "m", "messages": []}
            )
        await asyncio.sleep(WEEK)
        return answer.status_code

    assert run(main()) == 200


def test_a_server_that_nobody_talks_to_does_not_hold_time_up():
    async def main():
        async with FakeServer():
            await asyncio.sleep(WEEK)

    run(main())


def play(source, tmp_path, **options):
    start = options.pop("start", None)
    return run(run_text(source, project=Project(tmp_path), **options), start=start)


def test_spells_see_it(tmp_path):
    source = """
        local start, before = os.time(), now().unix
        Task.sleep(7 * 86400)
        return {os.time() - start, now().unix - before, os.date("!%Y-%m-%d", start)}
    """
    start = datetime(2026, 2, 25, 12, tzinfo=UTC)
    passed, tool, date = play(source, tmp_path, start=start).result
    assert passed == pytest.approx(WEEK, abs=5)
    assert tool == pytest.approx(WEEK, abs=5)
    assert date == "2026-02-25"


def test_a_timeout_of_a_spell(tmp_path):
    source = "Task.timeout(3600, function() Task.sleep(7200) end)"
    with pytest.raises(SpellRuntimeError, match="not done within 3600 seconds"):
        play(source, tmp_path)


def test_state_that_expires(tmp_path):
    source = """
        State.set("a", 1, {ttl = 3600})
        Task.sleep(3500)
        local before = State.get("a")
        Task.sleep(200)
        return {before, State.get("a", "gone")}
    """
    assert play(source, tmp_path).result == [1, "gone"]


def test_a_hook_that_tries_again_an_hour_later(tmp_path):
    calls = []

    def call(_):
        calls.append(time.monotonic())
        if len(calls) < 3:
            raise EffectTimeout("later", seconds=1)
        return "done"

    options = {"tools": {"slow": call}, "hooks": [Retrying(delay=3600, longest=7200, attempts=3)]}
    result = play("local t = os.time() return {slow{}, os.time() - t}", tmp_path, **options).result
    assert result[0] == "done"
    assert result[1] >= 2 * 3600


def test_a_store_of_its_own_needs_no_loop():
    store = MemoryStore()
    store.set("", "a", 1, ttl=3600)
    assert store.get("", "a") == 1


def test_what_nobody_ends_is_ended_by_its_timeout():
    async def main():
        with anyio.move_on_after(WEEK) as scope:
            await asyncio.get_running_loop().create_future()
        return scope.cancelled_caught

    assert run(main())

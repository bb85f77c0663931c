"""A crowd of spells that never stop: each is ended, and the cores are shared out meanwhile."""

import os
import sys
from pathlib import Path

import anyio
import pytest

from llmspell import Limits, Runtime
from llmspell.config import Project
from llmspell.errors import LimitExceeded
from llmspell.isolation.watchdog import Watchdog
from llmspell.state import MemoryStore

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

CROWD = 5 * os.cpu_count()


def _running():
    """How many workers compute right now, or would if there were a core."""
    this = os.getpid()
    states = []
    for template in Path(f"/proc/{this}/task/{this}/children").read_text().split():
        children = Path(f"/proc/{template}/task/{template}/children")
        try:
            pids = children.read_text().split()
            states += [Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in pids]
        except FileNotFoundError:  # one has just ended
            continue
    return states.count("R")


async def test_only_as_many_compute_at_once_as_there_are_cores(tmp_path):
    seen = []
    options = {"project": Project(tmp_path), "store": MemoryStore(), "limits": Limits(time=0.15)}
    async with Runtime(isolate=True, **options) as runtime:

        async def endless():
            with pytest.raises(LimitExceeded) as caught:
                await runtime.execute("\nwhile true do end", name="loop.lua")
            assert (caught.value.limit, caught.value.where) == ("time", "loop.lua:2")

        async def look():
            while True:
                await anyio.sleep(0.02)
                seen.append(_running())

        with anyio.fail_after(60):
            async with anyio.create_task_group() as looking:
                looking.start_soon(look)
                async with anyio.create_task_group() as crowd:
                    for _ in range(CROWD):
                        crowd.start_soon(endless)
                looking.cancel_scope.cancel()
    # Those in a first turn, those in a long one, and a few that are being forked or stopped.
    assert sorted(seen)[len(seen) * 9 // 10] <= 3 * os.cpu_count()


async def test_short_turns_go_on_beside_long_ones(tmp_path):
    options = {"project": Project(tmp_path), "store": MemoryStore(), "limits": Limits(time=0.3)}
    async with Runtime(isolate=True, **options) as runtime:

        async def endless():
            with pytest.raises(LimitExceeded):
                await runtime.execute("while true do end")

        async with anyio.create_task_group() as crowd:
            for _ in range(CROWD):
                crowd.start_soon(endless)
            with anyio.fail_after(30):
                count = "for i = 1, 100 do State.set('n', i) end return State.get('n')"
                assert await runtime.execute(count) == 100


class Waiting:
    """A worker that computes nothing, as the watchdog sees it."""

    pid, time = os.getpid(), 10.0


async def test_workers_that_end_before_their_first_turn_take_no_room():
    watchdog, started = Watchdog(), []

    def begin(worker):
        watchdog.begin(worker, lambda: started.append(worker), new=True)

    first, doomed = ([Waiting() for _ in range(os.cpu_count())] for _ in range(2))
    for worker in (*first, *doomed):
        begin(worker)
    for worker in (*doomed, *first):
        watchdog.end(worker)
    last = Waiting()
    begin(last)
    watchdog.close()
    assert started == [*first, last]


class Signalled(Waiting):
    def __init__(self):
        self.signals = []

    def pause(self):
        self.signals.append("pause")

    def unpause(self):
        self.signals.append("unpause")


async def test_a_worker_that_answers_while_it_is_being_paused_does_not_stay_so():
    watchdog, workers = Watchdog(), [Signalled() for _ in range(os.cpu_count() + 1)]
    for worker in workers:
        watchdog.begin(worker, lambda: None, new=False)
    with anyio.fail_after(30):
        while not (paused := [one for one in workers if one.signals]):
            sum(range(100_000))  # they are this process, and compute for long
            await anyio.sleep(0.001)
    watchdog.end(paused[0])
    watchdog.close()
    assert paused[0].signals == ["pause", "unpause"]


async def test_a_paused_spell_can_be_cancelled(tmp_path):
    options = {"project": Project(tmp_path), "store": MemoryStore()}
    async with Runtime(isolate=True, **options) as runtime:
        with anyio.fail_after(30), anyio.move_on_after(1):
            async with anyio.create_task_group() as crowd:
                for _ in range(CROWD):
                    crowd.start_soon(runtime.execute, "while true do end")
        assert await runtime.execute("return 1") == 1

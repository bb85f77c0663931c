"""Several processes on one file, processes that are killed, and disks that have no room."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from llmspell.state import SqliteStore

pytestmark = pytest.mark.anyio

HEAD = """
import asyncio, sys
from llmspell.errors import StateError
from llmspell.state import SqliteStore
store = SqliteStore(sys.argv[1])
"""
TAIL = """
asyncio.run(main())
"""


def start(body, path, *args):
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + body + TAIL, path, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output


INCREMENTING = """
async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(store.increment("", "n") for _ in range(int(sys.argv[2]))))
    await store.close()
"""

UPDATING = """
calls = 0
async def count(old):
    global calls
    calls += 1
    await asyncio.sleep(0)
    return (old or 0) + 1
async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(sys.argv[2])):
        await store.update("", "n", count)
    print(calls)
    await store.close()
"""

COMPARING = """
async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    won = 0
    while won < int(sys.argv[2]):
        old = await store.get("", "n")
        won += await store.compare_and_set("", "n", old, (old or 0) + 1)
    await store.close()
"""


@pytest.mark.parametrize(
    ("body", "processes", "times"),
    [(INCREMENTING, 2, 2000), (UPDATING, 2, 300), (COMPARING, 2, 300), (INCREMENTING, 6, 50)],
)
async def test_processes_that_change_one_key_lose_nothing(state_file, body, processes, times):
    """The file does not exist yet, so they also race to create it."""
    running = [start(body, state_file, times) for _ in range(processes)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        finish(process)
    store = SqliteStore(state_file)
    assert await store.get("", "n") == processes * times
    await store.close()


async def test_updates_of_several_processes_take_turns(state_file):
    """Each function is called once, although all of them are always at work."""
    store = SqliteStore(state_file)
    await store.set("", "there", True)
    await store.close()
    slowly = UPDATING.replace("sleep(0)", "sleep(0.01)")
    running = [start(slowly, state_file, 10) for _ in range(6)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [int(finish(process)) for process in running] == [10] * 6


async def test_an_update_does_not_wait_forever_for_another_process(state_file, monkeypatch):
    monkeypatch.setattr("llmspell.state.process_turns.PATIENCE", 0.05)
    one, other = SqliteStore(state_file), SqliteStore(state_file)
    seen = []

    async def outer(old):
        seen.append(old)
        if old is None:
            await other.update("", "n", inner)
        return f"{old} outer"

    async def inner(old):
        return f"{old} inner"

    await one.set("", "there", True)
    async with asyncio.timeout(5):
        assert await one.update("", "n", outer) == "None inner outer"
    assert seen == [None, "None inner"]
    await one.close()
    await other.close()


OPENING = """
from llmspell.state.database import connect
async def main():
    for path in sys.stdin:
        connect(path.strip(), "NORMAL").close()
        print("opened", flush=True)
"""


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path):
    running = [start(OPENING, tmp_path / "unused") for _ in range(4)]
    for n in range(80):
        for process in running:
            print(tmp_path / f"{n}.db", file=process.stdin, flush=True)
        for process in running:
            assert process.stdout.readline() == "opened\n"
    for process in running:
        finish(process)


ACKNOWLEDGING = """
import itertools, os
async def count(old):
    await asyncio.sleep(0)
    return (old or 0) + 1
async def write(writer):
    for n in itertools.count(1):
        if writer % 2:
            await store.set("", f"{writer}", n)
        else:
            await store.update("", f"{writer}", count)
        await store.increment("", "total")
        os.write(1, b"%d %d\\n" % (writer, n))
async def main():
    await asyncio.gather(*(write(writer) for writer in range(64)))
"""


def acknowledged(process, seconds):
    """What each writer was told it had written, up to a kill after so many seconds."""
    first = process.stdout.readline()
    killing = threading.Timer(seconds, os.kill, (process.pid, signal.SIGKILL))
    killing.start()
    lines = [first, *process.stdout]
    assert process.wait(timeout=20) == -signal.SIGKILL
    return {writer: int(n) for writer, n in (line.split() for line in lines if line[-1] == "\n")}


# `make stress` sets it to 50.
@pytest.mark.parametrize("_", range(int(os.environ.get("LLMSPELL_KILLS", "5"))))
async def test_what_was_acknowledged_survives_a_kill(state_file, _):
    with start(ACKNOWLEDGING, state_file) as process:
        written = acknowledged(process, random.uniform(0, 0.5))
    store = SqliteStore(state_file)
    kept = {key: await store.get("", key) for key in await store.keys("")}
    for writer, n in written.items():
        assert n <= kept[writer] <= n + 1
    assert kept["total"] >= sum(written.values())
    await store.set("", "after", 1)
    await store.close()
    db = sqlite3.connect(state_file)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


NO_ROOM = """
import resource
def allow(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
async def main():
    await store.set("", "before", 1)
    allow(300_000)
    kept = []
    failures = []
    for n in range(100):
        small, large = await asyncio.gather(
            store.set("", f"small {n}", n),
            store.set("", f"large {n}", "x" * 20_000),
            return_exceptions=True,
        )
        for key, result in ((f"small {n}", small), (f"large {n}", large)):
            if result is None:
                kept.append(key)
            elif isinstance(result, StateError):
                failures.append(result)
            else:
                raise result
    assert "small 0" in kept and "large 0" in kept, kept
    assert len(failures) > 50, len(failures)
    assert all("no room" in error.message and error.hint for error in failures), failures[0]
    for key in kept:
        assert await store.get("", key) is not None
    allow(resource.RLIM_INFINITY)
    await store.set("", "after", "x" * 500_000)
    assert await store.get("", "after") == "x" * 500_000
    assert set(await store.keys("")) >= {"before", "after", *kept}
    await store.close()
    print(*kept, sep=",")
"""


async def test_a_disk_without_room_loses_nothing_that_was_acknowledged(state_file):
    """A limit on the size of files makes write() fail as a full disk or a quota does."""
    kept = finish(start(NO_ROOM, state_file)).strip().split(",")
    store = SqliteStore(state_file)
    assert set(await store.keys("")) >= set(kept)
    await store.close()


FULL_DISK = """
import os
async def main():
    ballast = sys.argv[1] + ".ballast"
    with open(ballast, "wb") as file:
        file.write(bytes(200_000))
    await store.set("", "before", 0)
    kept = ["before"]
    failures = []
    for n in range(50):
        keys = [f"large {n}", f"small {n}"]
        results = await asyncio.gather(
            store.set("", keys[0], "x" * 30_000), store.set("", keys[1], n), return_exceptions=True
        )
        kept += [key for key, result in zip(keys, results) if result is None]
        failures += [result for result in results if result is not None]
    assert "small 2" in kept and len(failures) > 20, (kept, failures)
    assert all("the disk is full" in str(error) for error in failures), failures
    assert set(await store.keys("")) == set(kept)
    os.unlink(ballast)
    await store.set("", "after", "x" * 30_000)
    assert set(await store.keys("")) == {*kept, "after"}
    await store.close()
    print("over")
"""
IN_A_SMALL_FILE_SYSTEM = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
MOUNT = 'mount -t tmpfs -o size=600k none "$0"'


def may_mount(folder):
    try:
        tried = subprocess.run(
            [*IN_A_SMALL_FILE_SYSTEM, MOUNT, folder], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return tried.returncode == 0


def test_a_full_disk(tmp_path):
    if not may_mount(tmp_path):
        pytest.skip("this system lets us mount no file system of our own")
    program = HEAD + FULL_DISK + TAIL
    done = subprocess.run(
        [
            *IN_A_SMALL_FILE_SYSTEM,
            f'{MOUNT} && exec "$1" -c "$2" "$0/state.db"',
            tmp_path,
            sys.executable,
            program,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")

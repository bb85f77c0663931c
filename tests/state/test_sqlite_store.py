"""What is particular to the store in a file: the file, its thread, and how it fails."""

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import llmspell
from llmspell.errors import StateError
from llmspell.sqlite_file import LONGEST_PATH
from llmspell.state import SqliteStore
from llmspell.state.database import APPLICATION_ID, connect
from llmspell.state.worker import WAITING, Worker

pytestmark = pytest.mark.anyio


def query(path, statement):
    db = sqlite3.connect(path)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


def connected(path):
    connect(str(path), "NORMAL").close()
    return path


def state_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("llmspell-state")]


async def test_a_store_that_is_not_used_makes_no_file(state_file):
    store = SqliteStore(state_file)
    await store.close()
    assert not state_file.exists()


async def test_the_folder_is_made(tmp_path):
    store = SqliteStore(tmp_path / "a" / "b" / "state.db")
    await store.set("", "key", 1)
    await store.close()
    assert (tmp_path / "a" / "b" / "state.db").exists()


async def test_values_are_kept_between_stores(state_file):
    for n in (1, 2, 3):
        store = SqliteStore(state_file)
        assert await store.increment("", "n") == n
        await store.close()


async def test_the_file_is_readable_for_others(sqlite_store, state_file):
    await sqlite_store.set("scope", "key", {"a": [1, "ø"]})
    assert query(state_file, "SELECT scope, key, value, expires FROM state") == [
        ("scope", "key", '{"a":[1,"ø"]}', None)
    ]
    assert query(state_file, "PRAGMA journal_mode") == [("wal",)]
    assert query(state_file, "PRAGMA user_version") == [(2,)]
    assert query(state_file, "PRAGMA application_id") == [(APPLICATION_ID,)]


async def test_close_flushes_and_leaves_no_thread_and_no_log(state_file):
    store = SqliteStore(state_file)
    writes = [asyncio.create_task(store.set("", str(n), n)) for n in range(100)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writes)
    assert state_threads() == []
    assert [path.name for path in state_file.parent.iterdir()] == [state_file.name]
    assert query(state_file, "SELECT count(*) FROM state") == [(100,)]
    await store.close()


async def test_a_closed_store_answers_nothing(state_file):
    store = SqliteStore(state_file)
    await store.close()
    for ask in (store.get("", "key"), store.set("", "key", 1), store.keys("")):
        with pytest.raises(StateError, match="closed"):
            await ask
    assert state_threads() == []


async def test_more_writers_than_may_wait(sqlite_store):
    async with asyncio.TaskGroup() as tasks:
        for n in range(WAITING * 3):
            tasks.create_task(sqlite_store.set("", str(n % 100), n))
    assert len(await sqlite_store.keys("")) == 100


async def test_writers_that_wait_for_a_place_when_the_store_closes(state_file):
    store = SqliteStore(state_file)
    writes = [asyncio.create_task(store.set("", str(n), n)) for n in range(WAITING + 50)]
    await asyncio.sleep(0)
    await store.close()
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [r for r in results[:WAITING] if r is not None] == []
    assert all(isinstance(r, StateError) and "closed" in r.message for r in results[WAITING:])


async def test_a_job_that_fails_does_not_take_its_batch_with_it(sqlite_store):
    await sqlite_store.set("", "text", "text")
    results = await asyncio.gather(
        sqlite_store.set("", "a", 1),
        sqlite_store.increment("", "text"),
        sqlite_store.set("", "b", object()),
        sqlite_store.set("", "c", 3),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), StateError, StateError, type(None)]
    assert await sqlite_store.keys("") == ["a", "c", "text"]


async def test_a_job_that_sqlite_refuses_does_not_take_its_batch_with_it(sqlite_store, state_file):
    await sqlite_store.set("", "before", 1)
    query(
        state_file,
        "CREATE TRIGGER refuse BEFORE INSERT ON state WHEN new.key = 'bad'"
        " BEGIN SELECT raise(ROLLBACK, 'not this one'); END",
    )
    results = await asyncio.gather(
        *(sqlite_store.set("", key, 2) for key in ("a", "bad", "b")), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), StateError, type(None)]
    assert "not this one" in results[1].message
    assert await sqlite_store.keys("") == ["a", "b", "before"]


async def test_a_thread_that_meets_the_unforeseen_says_so_and_goes_on():
    def serve(jobs):
        for job in jobs:
            job.answer = job.work(1) if job.work(0) else 1 / 0

    worker = Worker("llmspell-state-test", serve, lambda: None)
    with pytest.raises(ZeroDivisionError):
        await worker.ask(lambda n: n)
    assert await worker.ask(lambda n: n + 1) == 2
    await worker.close()
    assert state_threads() == []


async def test_cancelled_writers_do_not_disturb_the_others(sqlite_store):
    for round_ in range(10):
        writes = [asyncio.create_task(sqlite_store.set("", str(n), round_)) for n in range(60)]
        await asyncio.sleep(0)
        for write in writes[::3]:
            write.cancel()
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [r for n, r in enumerate(results) if n % 3 and r is not None] == []
        for n in range(60):
            if n % 3:
                assert await sqlite_store.get("", str(n)) == round_


async def test_a_reader_does_not_wait_for_a_writer(sqlite_store, state_file):
    await sqlite_store.set("", "key", "old")
    other = sqlite3.connect(state_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.create_task(sqlite_store.set("", "key", "new"))
    async with asyncio.timeout(5):
        for _ in range(20):
            assert await sqlite_store.get("", "key") == "old"
    assert not write.done()
    other.execute("ROLLBACK")
    other.close()
    await write
    assert await sqlite_store.get("", "key") == "new"


async def test_a_file_that_stays_locked(sqlite_store, state_file, monkeypatch):
    monkeypatch.setattr("llmspell.sqlite_file.BUSY_SECONDS", 0.05)
    await sqlite_store.set("", "key", "old")
    other = sqlite3.connect(state_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = await asyncio.gather(
        *(sqlite_store.set("", "key", n) for n in range(5)), return_exceptions=True
    )
    other.execute("ROLLBACK")
    other.close()
    for error in results:
        assert isinstance(error, StateError)
        assert "another process" in error.message
        assert error.retryable
        assert error.details["path"] == str(state_file)
    assert len(set(map(id, results))) == 5
    await sqlite_store.set("", "key", "new")
    assert await sqlite_store.get("", "key") == "new"


async def test_expired_rows_are_deleted(state_file):
    store = SqliteStore(state_file)
    await asyncio.gather(*(store.set("", str(n), n, ttl=0.01) for n in range(20)))
    await store.close()
    await asyncio.sleep(0.02)
    assert query(state_file, "SELECT count(*) FROM state") == [(20,)]
    store = SqliteStore(state_file)
    await store.set("", "new", 1)
    await store.close()
    assert query(state_file, "SELECT key FROM state") == [("new",)]


async def test_a_ttl_is_wall_time(sqlite_store, state_file):
    await sqlite_store.set("", "key", 1, ttl=100)
    ((expires,),) = query(state_file, "SELECT expires FROM state")
    assert 90 < expires - time.time() <= 100


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at\n" * 50])
async def test_a_file_that_is_no_database(sqlite_store, state_file, content):
    state_file.write_bytes(content)
    for ask in (sqlite_store.get, sqlite_store.delete):
        with pytest.raises(StateError, match="not an SQLite database") as caught:
            await ask("", "key")
        assert str(state_file) in caught.value.message
        assert caught.value.hint
    assert state_file.read_bytes() == content
    state_file.unlink()
    await sqlite_store.set("", "key", 1)
    assert await sqlite_store.get("", "key") == 1


async def test_a_file_of_a_later_version(sqlite_store, state_file):
    query(state_file, f"PRAGMA application_id = {APPLICATION_ID}")
    query(state_file, "PRAGMA user_version = 99")
    with pytest.raises(StateError, match="later version") as caught:
        await sqlite_store.get("", "key")
    assert caught.value.details["schema"] == 99
    assert "upgrade" in caught.value.hint
    assert query(state_file, "SELECT count(*) FROM sqlite_master") == [(0,)]


async def test_another_programs_database_is_left_alone(sqlite_store, state_file):
    query(state_file, "CREATE TABLE theirs (a)")
    before = state_file.read_bytes()
    with pytest.raises(StateError, match="another program's"):
        await sqlite_store.set("", "key", 1)
    assert state_file.read_bytes() == before


async def test_a_folder_in_the_files_place(tmp_path):
    store = SqliteStore(tmp_path)
    with pytest.raises(StateError, match="cannot be opened"):
        await store.get("", "key")
    await store.close()


@pytest.mark.parametrize("more", [0, 1])
async def test_a_path_that_is_too_long_for_sqlite(tmp_path, more):
    folder = tmp_path.resolve() / "/".join(["x" * 99] * 3)
    file = folder / ("y" * (LONGEST_PATH + more - len(os.fsencode(folder)) - 1))
    store = SqliteStore(file)
    if more:
        with pytest.raises(StateError, match="is longer than SQLite's limit") as caught:
            await store.set("", "key", 1)
        assert caught.value.hint.startswith("use a folder with a shorter path, or run with")
    else:
        await store.set("", "key", 1)
    await store.close()


async def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = SqliteStore(tmp_path / "file" / "state.db")
    with pytest.raises(StateError, match="folder of the state"):
        await store.set("", "key", 1)
    await store.close()


async def test_a_damaged_value_can_be_replaced(sqlite_store, state_file):
    await sqlite_store.set("", "key", 1)
    query(state_file, "BEGIN")
    db = sqlite3.connect(state_file)
    db.execute("UPDATE state SET value = '{'")
    db.commit()
    db.close()
    with pytest.raises(StateError, match="damaged"):
        await sqlite_store.get("", "key")
    with pytest.raises(StateError, match="damaged"):
        await sqlite_store.increment("", "key")
    with pytest.raises(StateError, match="value of key is damaged") as caught:
        await sqlite_store.export()
    assert caught.value.hint == "delete the key, or set it again"
    await sqlite_store.set("", "key", 2)
    assert await sqlite_store.get("", "key") == 2


def test_what_synchronous_may_be(state_file):
    with pytest.raises(ValueError, match="NORMAL or FULL"):
        SqliteStore(state_file, "OFF")


def test_a_store_may_be_used_from_one_loop_after_another(state_file):
    store = SqliteStore(state_file)

    async def crowd():
        await asyncio.gather(*(store.increment("", "n") for _ in range(WAITING * 2)))

        async def count(old):
            await asyncio.sleep(0)
            return old + 1

        await asyncio.gather(*(store.update("", "n", count) for _ in range(10)))

    asyncio.run(crowd())
    asyncio.run(crowd())

    async def end():
        assert await store.get("", "n") == 2 * (WAITING * 2 + 10)
        await store.close()

    asyncio.run(end())
    assert state_threads() == []


@pytest.mark.parametrize("use", ["set", "get", "update"])
def test_a_second_loop_at_the_same_time_is_refused(state_file, use):
    """Rather than that both wait for ever."""
    store = SqliteStore(state_file)
    inside, leave = threading.Event(), threading.Event()

    async def count(old):
        return (old or 0) + 1

    async def hold():
        await store.update("", "n", count)
        inside.set()
        await asyncio.to_thread(leave.wait)
        await store.update("", "n", count)

    async def intrude():
        args = {"set": ("m", 1), "get": ("n",), "update": ("n", count)}[use]
        async with asyncio.timeout(5):
            await getattr(store, use)("", *args)

    holder = threading.Thread(target=asyncio.run, args=(hold(),))
    holder.start()
    inside.wait()
    with pytest.raises(StateError, match="in use in the event loop of another thread"):
        asyncio.run(intrude())
    leave.set()
    holder.join()

    async def end():
        assert await store.get("", "n") == 2
        await store.close()

    asyncio.run(end())


def test_a_loop_that_ends_before_its_answers(state_file):
    store = SqliteStore(state_file)
    other = sqlite3.connect(connected(state_file), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def leave():
        async with asyncio.timeout(0.01):
            await asyncio.gather(*(store.set("", str(n), n) for n in range(50)))

    async def end():
        async with asyncio.timeout(5):
            await store.set("", "last", 1)
            assert len(await store.keys("")) == 51
            await store.close()

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    other.execute("ROLLBACK")
    other.close()
    asyncio.run(end())


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_uses_the_store_that_its_parent_has_used(state_file):
    store = SqliteStore(state_file)

    async def count(then=lambda: asyncio.sleep(0)):
        async with asyncio.timeout(5):
            await store.increment("", "n")
            answer = await store.get("", "n")
            await then()
            return answer

    assert asyncio.run(count()) == 1
    child = os.fork()
    if child == 0:
        try:
            os._exit(asyncio.run(count(store.close)))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert asyncio.run(count(store.close)) == 3
    assert state_threads() == []


def test_the_relative_path_of_the_beginning_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("state.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    async def use():
        await store.set("", "key", 1)
        await store.close()

    asyncio.run(use())
    assert (tmp_path / "state.db").exists()


def test_an_interpreter_ends_without_close(state_file):
    program = (
        "import asyncio, sys\n"
        "from llmspell.state import SqliteStore\n"
        "store = SqliteStore(sys.argv[1])\n"
        "async def main():\n"
        "    await store.set('', 'key', await store.get('', 'key') or 1)\n"
        "    asyncio.ensure_future(store.set('', 'other', 1))\n"
        "asyncio.run(main())\n"
        "print('over')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, state_file],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
    assert ("key", "1") in query(state_file, "SELECT key, value FROM state")


def test_sqlite3_is_not_imported_before_it_is_needed():
    program = (
        "import sys, llmspell.state as s; s.SqliteStore('x'); sys.exit('sqlite3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


READ_ONLY = """
import asyncio, os, sqlite3, sys
import llmspell.state.database
from llmspell.errors import StateError
from llmspell.state import SqliteStore
async def main():
    if os.getuid() == 0:  # root may write anything
        os.setuid(65534)
    store = SqliteStore(sys.argv[1])
    assert await store.get("", "key") == "kept"
    try:
        await store.set("", "key", "changed")
    except StateError as error:
        print(error, error.hint, sep="|")
    await store.close()
asyncio.run(main())
"""


def test_a_file_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as folder:
        state_file = Path(folder) / "state.db"
        db = connect(str(state_file), "NORMAL")
        db.execute("INSERT INTO state VALUES ('', 'key', '\"kept\"', NULL, 1)")
        db.close()
        state_file.chmod(0o444)
        Path(folder).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, state_file],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.stderr == ""
        message, hint = done.stdout.strip().split("|")
        assert message.endswith("the file cannot be written")
        assert hint == "check the permissions of the file and its folder"
        assert query(state_file, "SELECT value FROM state") == [('"kept"',)]


def test_placeholders_have_no_numbers():
    """Python 3.12 takes them for names, and warns when they are given a tuple."""
    sources = [file.read_text() for file in Path(llmspell.__path__[0]).rglob("*.py")]
    sql = [text for text in sources if "SELECT" in text]
    assert len(sql) > 5
    assert not any(re.search(r"[ (]\?[1-9]", text) for text in sql)

"""Files of other versions: older ones are led on, newer ones are left alone."""

import sqlite3
import subprocess
import sys

import pytest

from llmspell.errors import StateError
from llmspell.state import SqliteStore, database
from llmspell.state.database import APPLICATION_ID, MIGRATIONS

pytestmark = pytest.mark.anyio

# What version 1 of the schema has written: never to be changed.
VERSION_1 = """
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE state (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    expires REAL,
    version INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX state_expires ON state (expires) WHERE expires IS NOT NULL;
INSERT INTO state VALUES ('', 'name', '"Ada"', NULL, 1);
INSERT INTO state VALUES ('', 'bytes', '{"$bytes":"AP8="}', NULL, -5);
INSERT INTO state VALUES ('cart', 'tea', '{"cups":2}', 32503680000.0, 7);
INSERT INTO state VALUES ('cart', 'gone', '1', 1.0, 8);
PRAGMA user_version = 1;
PRAGMA application_id = 1819046768;
COMMIT;
"""

# A step there might be one day, from the last version there is to the next.
NEXT = (
    "ALTER TABLE state ADD COLUMN written REAL",
    "UPDATE state SET written = 0 WHERE scope = ''",
)


@pytest.fixture
def old_file(state_file):
    db = sqlite3.connect(state_file)
    db.executescript(VERSION_1)
    db.close()
    return state_file


def numbers(path):
    db = sqlite3.connect(path)
    try:
        return [db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("user_version", "application_id")]
    finally:
        db.close()


async def contents(path):
    store = SqliteStore(path)
    exported = await store.export()
    await store.close()
    return {
        (scope, key): entry["value"]
        for scope, keys in exported["scopes"].items()
        for key, entry in keys.items()
    }


KEPT = {("", "name"): "Ada", ("", "bytes"): {"$bytes": "AP8="}, ("cart", "tea"): {"cups": 2}}


async def test_a_file_of_version_1_is_read_and_written(old_file):
    assert await contents(old_file) == KEPT
    store = SqliteStore(old_file)
    await store.set("", "name", "Bob")
    assert await store.get("", "bytes") == b"\x00\xff"
    await store.close()
    assert numbers(old_file) == [len(MIGRATIONS), APPLICATION_ID]


async def test_an_older_file_is_led_on_and_keeps_what_it_holds(old_file, monkeypatch):
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, NEXT))
    assert await contents(old_file) == KEPT
    assert numbers(old_file) == [len(MIGRATIONS) + 1, APPLICATION_ID]
    db = sqlite3.connect(old_file)
    assert db.execute("SELECT key FROM state WHERE written = 0 ORDER BY key").fetchall() == [
        ("bytes",),
        ("name",),
    ]
    db.close()
    assert await contents(old_file) == KEPT  # and is not led on again


async def test_a_step_that_fails_leaves_the_file_as_it_was(old_file, monkeypatch):
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, (*NEXT, "DROP TABLE nowhere")))
    store = SqliteStore(old_file)
    with pytest.raises(StateError, match="nowhere"):
        await store.get("", "name")
    await store.close()
    monkeypatch.undo()
    assert numbers(old_file) == [1, APPLICATION_ID]
    assert await contents(old_file) == KEPT
    db = sqlite3.connect(old_file)
    assert "written" not in [row[1] for row in db.execute("PRAGMA table_info(state)")]
    db.close()


async def test_a_file_of_a_later_version_is_not_touched(old_file):
    db = sqlite3.connect(old_file)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    before = old_file.read_bytes()
    store = SqliteStore(old_file)
    for ask in (store.get("", "name"), store.set("", "name", 1), store.import_({**EMPTY})):
        with pytest.raises(StateError, match="later version") as caught:
            await ask
        assert "upgrade" in caught.value.hint
    await store.close()
    assert old_file.read_bytes() == before
    assert [path.name for path in old_file.parent.iterdir()] == [old_file.name]


EMPTY = {"llmspell_state": 1, "scopes": {}}

OPENING = """
import sys
from llmspell.state import database
database.MIGRATIONS = (*database.MIGRATIONS, tuple(sys.argv[2:]))
database.connect(sys.argv[1], "NORMAL").close()
"""


def test_several_processes_may_lead_a_file_on_at_once(old_file):
    command = [sys.executable, "-c", OPENING, old_file, *NEXT]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    for process in running:
        assert process.communicate(timeout=30)[1] == b""
        assert process.returncode == 0
    assert numbers(old_file) == [len(MIGRATIONS) + 1, APPLICATION_ID]

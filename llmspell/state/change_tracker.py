"""Tracks the changes of a file for its watches. Everything here runs in the writer's thread.

Writes of this connection are recorded by temporary triggers, which exist only while there are
watches. Writes of other processes change SQLite's data_version; then the versions of the keys are
compared with those last seen.
"""

from __future__ import annotations

import asyncio
import copy
import sqlite3
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from llmspell.errors import StateError
from llmspell.state.watch import LOOK_SECONDS, ROOM, StoredChange, Watch

_RECORD = (
    "CREATE TEMP TABLE IF NOT EXISTS written (scope, key, value, version, expires)",
    """CREATE TEMP TRIGGER IF NOT EXISTS record_insert AFTER INSERT ON main.state BEGIN
    INSERT INTO written VALUES (new.scope, new.key, new.value, new.version, new.expires); END""",
    """CREATE TEMP TRIGGER IF NOT EXISTS record_update AFTER UPDATE ON main.state BEGIN
    INSERT INTO written VALUES (new.scope, new.key, new.value, new.version, new.expires); END""",
    """CREATE TEMP TRIGGER IF NOT EXISTS record_delete AFTER DELETE ON main.state BEGIN
    INSERT INTO written VALUES (old.scope, old.key, NULL, NULL, NULL); END""",
)
_FORGET = (
    "DROP TRIGGER IF EXISTS temp.record_insert",
    "DROP TRIGGER IF EXISTS temp.record_update",
    "DROP TRIGGER IF EXISTS temp.record_delete",
    "DROP TABLE IF EXISTS temp.written",
)
_LIVE = "FROM state WHERE scope = ? AND (expires IS NULL OR expires > ?)"
_ROW = f"value, version, expires {_LIVE}"


class _Row(NamedTuple):
    """A key as last seen; all fields are None if it does not exist."""

    text: str | None = None
    version: int | None = None
    expires: float | None = None

    @property
    def weight(self) -> int:
        return len(self.text or "")


_NO_ROW = _Row()


class _Watched:
    """What one watch has seen, and the changes it is to receive next."""

    def __init__(self, watch: Watch, loop: asyncio.AbstractEventLoop) -> None:
        self._watch, self._loop = weakref.ref(watch), loop
        self.scope, self.matches = watch.scope, watch.matches
        self._rows: dict[str, _Row] = {}
        self._expiring: dict[str, float] = {}
        self._weight = 0
        self._data_version = 0
        self._since = 0  # the rowid of the last write that was there already when it began
        self._seen: list[StoredChange] = []

    @property
    def needed(self) -> bool:
        watch = self._watch()
        return watch is not None and not watch.closed and not self._loop.is_closed()

    def is_of(self, watch: Watch) -> bool:
        return self._watch() is watch

    def begin(self, db: sqlite3.Connection) -> None:
        self._data_version = _data_version(db)
        self._since = db.execute("SELECT coalesce(max(rowid), 0) FROM temp.written").fetchone()[0]
        for key, *row in db.execute(f"SELECT key, {_ROW}", (self.scope, time.time())):
            if self.matches(key):
                self._keep(key, _Row(*row))

    def follow(self, written: Sequence[tuple[Any, ...]]) -> None:
        """Note which of the writes, each a row of `written` after its rowid, it has not seen yet."""
        since, self._since = self._since, 0
        for rowid, scope, key, *row in written:
            if rowid > since and scope == self.scope and self.matches(key):
                self.record(key, _Row(*row))

    def record(self, key: str, row: _Row) -> None:
        """Note that a key has been written or deleted."""
        old = self._rows.get(key, _NO_ROW)
        if row.version != old.version:
            self._seen.append(StoredChange(key, row.text, old.text))
            self._keep(key, row)

    def check(self, db: sqlite3.Connection) -> None:
        """Find expired keys, and writes of other processes."""
        now = time.time()
        for key in [key for key, expires in self._expiring.items() if expires <= now]:
            self.record(key, _NO_ROW)
        data_version = _data_version(db)
        if data_version == self._data_version:
            return
        self._data_version = data_version
        live = dict(db.execute(f"SELECT key, version {_LIVE}", (self.scope, now)))
        for key in self._rows.keys() - live.keys():
            self.record(key, _NO_ROW)
        for key, version in live.items():
            if self._rows.get(key, _NO_ROW).version != version and self.matches(key):
                row = db.execute(f"SELECT {_ROW} AND key = ?", (self.scope, now, key)).fetchone()
                self.record(key, _Row(*row) if row else _NO_ROW)

    def deliver(self) -> None:
        """Pass the changes to the watch, in its event loop, ahead of whatever is scheduled later."""
        seen, self._seen = self._seen, []
        watch = self._watch()
        if seen and watch is not None:
            self._call(watch.offer, seen)

    def fail(self, error: StateError) -> None:
        if watch := self._watch():
            self._call(watch.fail, error)

    def end(self) -> None:
        if watch := self._watch():
            self._call(watch.close)

    def _keep(self, key: str, row: _Row) -> None:
        self._expiring.pop(key, None)
        self._weight += row.weight - self._rows.pop(key, _NO_ROW).weight
        if row.version is not None:
            self._rows[key] = row
        if row.expires is not None:
            self._expiring[key] = row.expires
        if self._weight > ROOM:
            raise StateError(
                f"the watched values take more than {ROOM:,} bytes",
                hint="watch fewer keys, by a narrower pattern, or keep large values in files",
            )

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody watches any more
            self._loop.call_soon_threadsafe(function, *args)


class ChangeTracker:
    """The watches of one file, and what they have seen."""

    def __init__(self) -> None:
        self._watched: list[_Watched] = []
        self._look_at = 0.0

    def patience(self) -> float | None:
        """Return the most seconds between calls of `report`, or None for no limit."""
        return LOOK_SECONDS if self._watched else None

    def add(self, db: sqlite3.Connection, watch: Watch, loop: asyncio.AbstractEventLoop) -> None:
        """Track the file for a watch of an event loop, from this point of the transaction on."""
        for statement in _RECORD:
            db.execute(statement)
        watched = _Watched(watch, loop)
        try:
            watched.begin(db)
        except StateError:
            self._forget_writes_if_unwatched(db)
            raise
        others = [other for other in self._watched if not other.is_of(watch)]  # if this is a retry
        self._watched = [*others, watched]

    def report(self, db: sqlite3.Connection) -> None:
        """Pass committed changes to the watches. Must not run within a transaction."""
        if not self._watched:
            return
        self._watched = [watched for watched in self._watched if watched.needed]
        self._forget_writes_if_unwatched(db)
        if self._watched:
            self._follow(db)

    def fail(self, error: StateError) -> None:
        """End all watches with an error."""
        for watched in self._watched:
            watched.fail(copy.copy(error))

    def close(self) -> None:
        for watched in self._watched:
            watched.end()

    def _forget_writes_if_unwatched(self, db: sqlite3.Connection) -> None:
        if not self._watched:
            for statement in _FORGET:
                db.execute(statement)

    def _follow(self, db: sqlite3.Connection) -> None:
        written = db.execute("SELECT rowid, * FROM temp.written ORDER BY rowid").fetchall()
        db.execute("DELETE FROM temp.written")
        due = time.monotonic() >= self._look_at
        if due:
            self._look_at = time.monotonic() + LOOK_SECONDS
        for watched in self._watched:
            try:
                watched.follow(written)
                if due:
                    watched.check(db)
                watched.deliver()
            except StateError as error:
                watched.deliver()
                watched.fail(error)


def _data_version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA data_version").fetchone()[0])

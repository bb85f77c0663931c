"""A store in a SQLite file, which persists and can be shared by processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from copy import copy
from fnmatch import translate
from functools import cached_property
from re import compile as compile_pattern
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from weakref import WeakSet

from llmspell.state.encoding import added, decode, encode, same
from llmspell.state.process_turns import ProcessTurns
from llmspell.state.store import Steps, Store, Updater, check_address, check_scope, check_ttl
from llmspell.state.updates import Updates
from llmspell.state.watch import Watch
from llmspell.state.worker import Worker
from llmspell.values import Value

if TYPE_CHECKING:
    import sqlite3

    from llmspell.state.database import Database
    from llmspell.state.transfer import Entry


T = TypeVar("T")

_stores: WeakSet[SqliteStore] = WeakSet()
_of_parents: list[object] = []
"""What a parent process has opened: to close its connections here would release its files."""


def _forget_parents() -> None:
    for store in tuple(_stores):
        store._forget_parent()  # noqa: SLF001 - same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents)


class SqliteStore(Store):
    """A store in a file. See `Store`; every method is a coroutine.

    Writes go to one thread, which commits all waiting writes in one transaction; a write returns
    after its commit. Reads go to another thread with its own connection, and see the last commit
    without waiting for the next. Several processes may use the file. While an event loop uses the
    store, one of another thread is refused with StateError.

    The file, with its folder, is opened or created on first use.

    Args:
        path: The file.
        synchronous: With NORMAL, acknowledged writes survive any end of the process; with FULL,
            also a power failure, at the price of waiting for the disk on each commit.
    """

    def __init__(
        self, path: str | os.PathLike[str], synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    ) -> None:
        if synchronous not in ("NORMAL", "FULL"):
            raise ValueError(f"synchronous must be NORMAL or FULL, not {synchronous!r}")
        self.path = os.path.abspath(path)  # noqa: PTH100 - fixed now; the working directory may change
        self._synchronous = synchronous
        self._take_turns()
        self._once: str | None = None
        _stores.add(self)

    @cached_property
    def _written(self) -> Database:
        """The database of the writer's thread."""
        return self._database()

    @cached_property
    def _writer(self) -> Worker[sqlite3.Connection]:
        database = self._written
        return Worker(
            "llmspell-state-writer", database.write, database.close, database.tracker.patience
        )

    @cached_property
    def _reader(self) -> Worker[sqlite3.Connection]:
        database = self._database()
        return Worker("llmspell-state-reader", database.read, database.close)

    def _database(self) -> Database:
        from llmspell.state.database import Database

        return Database(self.path, self._synchronous)

    async def get(self, scope: str, key: str) -> Value:
        return (await self.read(scope, key))[0]

    async def set(self, scope: str, key: str, value: Value, ttl: float | None = None) -> None:
        check_address(scope, key)
        check_ttl(ttl)
        expires = None if ttl is None else time.time() + ttl
        text = _text(value)
        await self._write(lambda db: _put(db, scope, key, text, expires))

    async def delete(self, scope: str, key: str) -> bool:
        check_address(scope, key)
        return await self._write(lambda db: _delete(db, scope, key))

    async def keys(self, scope: str, pattern: str = "*") -> list[str]:
        check_scope(scope)
        matches = compile_pattern(translate(pattern)).match
        return await self._reader.ask(lambda db: sorted(filter(matches, _keys(db, scope))))

    async def scopes(self) -> list[str]:
        return await self._reader.ask(_scopes)

    async def increment(self, scope: str, key: str, by: float = 1) -> int | float:
        check_address(scope, key)

        def work(db: sqlite3.Connection) -> int | float:
            value, _, expires = _row(db, scope, key)
            total = added(value, by)
            _put(db, scope, key, _text(total), expires)
            return total

        return await self._write(work)

    async def compare_and_set(self, scope: str, key: str, expected: Value, new: Value) -> bool:
        check_address(scope, key)
        expected_text, text = encode(expected), _text(new)

        def work(db: sqlite3.Connection) -> bool:
            value, _, expires = _row(db, scope, key)
            equal = same(value, decode(expected_text))
            if equal:
                _put(db, scope, key, text, expires)
            return equal

        return await self._write(work)

    async def read(self, scope: str, key: str) -> tuple[Value, int | None]:
        check_address(scope, key)
        value, version, _ = await self._reader.ask(lambda db: _row(db, scope, key))
        return value, version

    async def commit(self, scope: str, key: str, value: Value, version: int | None) -> bool:
        check_address(scope, key)
        text = _text(value)

        def work(db: sqlite3.Connection) -> bool:
            _, current, expires = _row(db, scope, key)
            if current == version:
                _put(db, scope, key, text, expires)
            return current == version

        return await self._write(work)

    async def update(
        self, scope: str, key: str, updater: Updater, caller: str = "", steps: Steps | None = None
    ) -> Value:
        check_address(scope, key)
        return await self._updates.run(steps or self, scope, key, updater, caller)

    async def watch(self, scope: str, pattern: str = "*") -> Watch:
        """See `Store.watch`.

        Changes by other processes are seen within `LOOK_SECONDS`; several changes of one key in
        that time count as one.
        """
        check_scope(scope)
        watch = Watch(scope, pattern)
        loop, tracker = asyncio.get_running_loop(), self._written.tracker
        await self._writer.ask(lambda db: tracker.add(db, watch, loop))
        return watch

    async def export(self, scope: str | None = None) -> dict[str, Any]:
        from llmspell.state.transfer import to_document

        if scope is not None:
            check_scope(scope)
        return to_document(await self._reader.ask(lambda db: _entries(db, scope)))

    async def import_(
        self, document: Any, *, scope: str | None = None, replace: bool = False
    ) -> int:
        from llmspell.state.transfer import from_document

        if scope is not None:
            check_scope(scope)
        entries = from_document(document, scope)

        def work(db: sqlite3.Connection) -> None:
            if replace:
                db.execute("DELETE FROM state WHERE scope = ? OR ? IS NULL", (scope, scope))
            for entry in entries:
                _put(db, *entry)

        await self._writer.ask(work)
        return len(entries)

    def once(self, done: str) -> SqliteStore:
        _ = self._writer, self._reader  # create them first, so that both stores share them
        other = copy(self)
        other._once = done  # noqa: SLF001 - same class
        return other

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        done = self._once
        if done is None:
            return await self._writer.ask(work)
        return await self._writer.ask(lambda db: _done_once(db, done, work))

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()
        self._turns.close()

    def _forget_parent(self) -> None:
        """Begin anew in a forked process, which has neither the parent's threads nor its locks."""
        opened = [vars(self).pop(name, None) for name in ("_written", "_writer", "_reader")]
        _of_parents.extend(opened)
        self._turns.close()
        self._take_turns()

    def _take_turns(self) -> None:
        self._turns = ProcessTurns(f"{self.path}-turns")
        self._updates = Updates(self._turns.turn)


def _done_once(db: sqlite3.Connection, done: str, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do the work, or return its result if it was already done under that name."""
    row = db.execute("SELECT answer FROM done WHERE name = ?", (done,)).fetchone()
    if row is not None:
        return cast("T", decode(row[0]))
    answer = work(db)
    db.execute("INSERT INTO done VALUES (?, ?, ?)", (done, encode(answer), time.time()))
    return answer


def _text(value: Value) -> str | None:
    """Encode a value; None stands for no row."""
    return None if value is None else encode(value)


_LIVE = "(expires IS NULL OR expires > ?)"


def _row(db: sqlite3.Connection, scope: str, key: str) -> tuple[Value, int | None, float | None]:
    """Return value, version and expiry; all None if there is no row or it has expired."""
    row = db.execute(
        f"SELECT value, version, expires FROM state WHERE scope = ? AND key = ? AND {_LIVE}",  # noqa: S608 - a constant
        (scope, key, time.time()),
    ).fetchone()
    return (None, None, None) if row is None else (decode(row[0]), row[1], row[2])


def _put(
    db: sqlite3.Connection, scope: str, key: str, text: str | None, expires: float | None
) -> None:
    if text is None:
        _delete(db, scope, key)
        return
    db.execute(
        "INSERT INTO state (scope, key, value, expires, version) VALUES (?, ?, ?, ?, random())"
        " ON CONFLICT (scope, key) DO UPDATE SET"
        " value = excluded.value, expires = excluded.expires, version = excluded.version",
        (scope, key, text, expires),
    )


def _delete(db: sqlite3.Connection, scope: str, key: str) -> bool:
    deleted = db.execute(
        f"DELETE FROM state WHERE scope = ? AND key = ? AND {_LIVE}",  # noqa: S608 - a constant
        (scope, key, time.time()),
    )
    return deleted.rowcount > 0


def _keys(db: sqlite3.Connection, scope: str) -> list[str]:
    rows = db.execute(f"SELECT key FROM state WHERE scope = ? AND {_LIVE}", (scope, time.time()))  # noqa: S608 - a constant
    return [key for (key,) in rows]


def _scopes(db: sqlite3.Connection) -> list[str]:
    rows = db.execute(f"SELECT DISTINCT scope FROM state WHERE {_LIVE}", (time.time(),))  # noqa: S608 - a constant
    return sorted(scope for (scope,) in rows)


def _entries(db: sqlite3.Connection, scope: str | None) -> list[Entry]:
    from llmspell.state.transfer import Entry

    rows = db.execute(
        f"SELECT scope, key, value, expires FROM state WHERE (scope = ? OR ? IS NULL)"  # noqa: S608 - a constant
        f" AND {_LIVE} ORDER BY scope, key",
        (scope, scope, time.time()),
    )
    return [Entry(*row) for row in rows]

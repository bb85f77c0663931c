"""SQLite files of llmspell: opening, creating and migrating them, and explaining errors."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

from llmspell.errors import LlmspellError
from llmspell.frozen import Frozen

E = TypeVar("E", bound=LlmspellError)

BUSY_SECONDS = 10.0
LONGEST_PATH = 504  # bytes; SQLite allows 512, with the 8 that it adds for files beside this one

_RETRY = "try again when the other process has finished writing"
_SPACE = "free some space and try again"


class Schema(Frozen, Generic[E]):
    """The contents of one kind of file.

    Attributes:
        application_id: Identifies files of this kind, in the file's header.
        migrations: The statements that migrate from version n to n+1, the file's `user_version`.
        what: A name for the contents, for errors: "the state".
        without: How to do without the file, for errors: "run with --state memory".
        error: The class of errors.
        page_size: Page size of a new file in bytes. A commit writes whole pages.
    """

    application_id: int
    migrations: Sequence[Sequence[str]]
    what: str
    without: str
    error: type[E]
    page_size: int = 4096

    def failure(self, error: sqlite3.Error, path: str) -> E:
        """Translate a SQLite error into one that explains it to the user."""
        meaning, hint = self._meaning(kind_of(error), path) or (str(error), None)
        name = getattr(error, "sqlite_errorname", str(error))
        return self.error(
            f"{self.what} in {path} cannot be used: {meaning}",
            hint=hint,
            details={"path": path, "sqlite": name},
        )

    def _meaning(self, kind: int, path: str) -> tuple[str, str] | None:
        if kind == sqlite3.SQLITE_CANTOPEN and _is_too_long(path):
            meaning = f"its path is longer than SQLite's limit of {LONGEST_PATH} bytes"
            return meaning, f"use a folder with a shorter path, or {self.without}"
        meanings = {
            sqlite3.SQLITE_BUSY: ("another process has locked it", _RETRY),
            sqlite3.SQLITE_LOCKED: ("another process has locked it", _RETRY),
            sqlite3.SQLITE_NOTADB: (
                "the file is not an SQLite database",
                f"move it away, or {self.without}",
            ),
            sqlite3.SQLITE_CORRUPT: (
                "the file is damaged",
                "restore it from a backup, or move it away",
            ),
            sqlite3.SQLITE_READONLY: (
                "the file cannot be written",
                "check the permissions of the file and its folder",
            ),
            sqlite3.SQLITE_PERM: ("the file cannot be used", "check the file's permissions"),
            sqlite3.SQLITE_CANTOPEN: (
                "the file cannot be opened",
                "check that it is not a folder, and that it and its folder are writable",
            ),
            sqlite3.SQLITE_FULL: ("the disk is full", _SPACE),
            sqlite3.SQLITE_IOERR: (
                "the disk failed, or has no room for a file of that size",
                "check the disk's space, quota and health, and try again",
            ),
        }
        return meanings.get(kind)

    def refusal(self, message: str, hint: str, path: str, **details: Any) -> E:
        return self.error(message, hint=hint, details={"path": path, **details})


def _is_too_long(path: str) -> bool:
    return len(os.fsencode(os.path.realpath(path))) > LONGEST_PATH


def connect(path: str, schema: Schema[Any], synchronous: str, **options: Any) -> sqlite3.Connection:
    """Open a file, or create it and its folder, with the current schema.

    Args:
        path: The file.
        schema: The expected contents.
        synchronous: SQLite's setting of that name.
        **options: Options of `sqlite3.connect`.

    Raises:
        LlmspellError: The schema's error: the folder cannot be created, or the file belongs to
            another program or a later version.
        sqlite3.Error: SQLite cannot open the file.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib is slow to start
    except OSError as error:
        message = f"the folder of {schema.what} in {path} cannot be created: {error.strerror}"
        hint = f"check the folder's permissions, or {schema.without}"
        raise schema.refusal(message, hint, path) from error
    db: sqlite3.Connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, **options
    )
    try:
        _prepare(db, path, schema)
        db.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        db.close()
        raise
    return db


def connect_to_read(path: str, schema: Schema[Any]) -> sqlite3.Connection:
    """Open a file that is only read, also where nothing can be written, with the current schema.

    Where a folder cannot be written, the connection is as of now: it may miss what others write.

    Raises:
        LlmspellError: The schema's error: the file belongs to another program or a later version.
        sqlite3.Error: SQLite cannot open the file.
    """
    try:
        return _opened_to_read(path, schema)
    except sqlite3.OperationalError as error:
        # Without a log of writes beside the file, SQLite wants to create one, unless it is told
        # that nobody writes.
        if not is_not_writable(error) or os.path.lexists(f"{path}-wal"):
            raise
        return _opened_to_read(path, schema, "&immutable=1")


def _opened_to_read(path: str, schema: Schema[Any], options: str = "") -> sqlite3.Connection:
    from urllib.parse import quote

    place = os.fsencode(os.path.abspath(path))  # noqa: PTH100 - as above
    address = f"file:{quote(place)}?mode=ro{options}"
    db = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        version = check_version(db, path, schema)
        return db if version == len(schema.migrations) else _as_of_now(db, schema)
    except BaseException:
        db.close()
        raise


def _as_of_now(old: sqlite3.Connection, schema: Schema[Any]) -> sqlite3.Connection:
    """Return an in-memory copy, migrated to the current schema."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    old.backup(db)
    old.close()
    migrate(db, schema)
    return db


def check_version(db: sqlite3.Connection, path: str, schema: Schema[Any]) -> int:
    """Return the version of an open file. Raises the schema's error when it cannot be used."""
    with transaction(db, "DEFERRED"):
        version = _number(db, "PRAGMA user_version")
        owner = _number(db, "PRAGMA application_id")
        empty = _is_empty(db)
    if owner != schema.application_id and not empty:
        message = f"{path} is another program's database"
        raise schema.refusal(message, schema.without, path)
    if version > len(schema.migrations):
        message = f"{path} was written by a later version of llmspell"
        hint = f"upgrade llmspell, or {schema.without}"
        versions = {"schema": version, "known": len(schema.migrations)}
        raise schema.refusal(message, hint, path, **versions)
    return version


def _is_empty(db: sqlite3.Connection) -> bool:
    """Whether a file has no tables; this is the first to read which it has."""
    try:
        return _number(db, "SELECT count(*) FROM sqlite_master") == 0
    except UnicodeDecodeError as error:  # SQLite's message quotes the damaged part as it is
        damage = sqlite3.DatabaseError("malformed database schema")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        damage.sqlite_errorname = "SQLITE_CORRUPT"
        raise damage from error


def _prepare(db: sqlite3.Connection, path: str, schema: Schema[Any]) -> None:
    version = check_version(db, path, schema)
    db.execute(f"PRAGMA page_size = {schema.page_size}")
    _switch_to_wal(db)
    if version < len(schema.migrations):
        migrate(db, schema)


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, so that readers do not wait for the writer.

    SQLite's busy timeout does not apply here, so retry while another process does the same.
    """
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if kind_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def migrate(db: sqlite3.Connection, schema: Schema[Any]) -> None:
    """Migrate an open file to the current schema."""
    with transaction(db, "IMMEDIATE"):
        version = _number(db, "PRAGMA user_version")  # another process may have migrated it
        for statements in schema.migrations[version:]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(schema.migrations)}")
        db.execute(f"PRAGMA application_id = {schema.application_id}")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:  # SQLite ends it by itself after some errors
            db.execute("ROLLBACK")


def _number(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


_NOT_WRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def is_not_writable(error: sqlite3.Error) -> bool:
    """Whether the file, or its folder, cannot be written, so that it may still be read."""
    return kind_of(error) in _NOT_WRITABLE


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has locked the file, so that a retry may succeed."""
    return kind_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def kind_of(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 for an error raised by Python itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF

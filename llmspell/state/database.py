"""The file of a SQLite store: how it is opened, written and read, and what its errors mean."""

from __future__ import annotations

import contextlib
import copy
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence

from llmspell.errors import StateError
from llmspell.state.lookout import Lookout
from llmspell.state.worker import Job

APPLICATION_ID = 0x6C6C7370
"""`llsp`: says in the file's header whose file it is."""

MIGRATIONS = (
    (
        """
        CREATE TABLE state (
            scope TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            expires REAL,
            version INTEGER NOT NULL,
            PRIMARY KEY (scope, key)
        )
        """,
        "CREATE INDEX state_expires ON state (expires) WHERE expires IS NOT NULL",
    ),
)
"""Statements that lead from schema version n to n+1, the file's `user_version`.

`value` is JSON (see encoding.py), `expires` seconds since 1970, `version` a random number that
every write changes.
"""

BUSY_SECONDS = 10.0
PURGE_SECONDS = 30.0
PURGE_ROWS = 1000

_RETRY = "try again when the other process has finished writing"
_ERRORS = {
    sqlite3.SQLITE_BUSY: ("another process keeps it locked", _RETRY),
    sqlite3.SQLITE_LOCKED: ("another process keeps it locked", _RETRY),
    sqlite3.SQLITE_NOTADB: (
        "the file is no SQLite database",
        "move it away, or run with --state memory",
    ),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", "restore it from a backup, or move it away"),
    sqlite3.SQLITE_READONLY: ("the file cannot be written", "check who may write it"),
    sqlite3.SQLITE_PERM: ("the file cannot be used", "check who may read and write it"),
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened",
        "check that it is no folder, and who may write it and its folder",
    ),
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space and try again"),
    sqlite3.SQLITE_IOERR: (
        "the disk failed, or has no room for a file of that size",
        "check the disk's space, quota and health, and try again",
    ),
}


class Database:
    """A connection to the file, for one thread. It opens with the first batch of jobs.

    Args:
        path: The file; it and its folder are created if need be.
        synchronous: SQLite's setting of that name.

    Attributes:
        lookout: Follows what is written, here and by other processes, for those who watch.
    """

    def __init__(self, path: str, synchronous: str) -> None:
        self._path, self._synchronous = path, synchronous
        self._connection: sqlite3.Connection | None = None
        self._purge_at = 0.0
        self.lookout = Lookout()

    def write(self, jobs: Sequence[Job[sqlite3.Connection]]) -> None:
        """Do the jobs in one transaction; one that fails is left out of it.

        When the transaction fails as a whole, each job gets one of its own, so that a job that
        the disk has no room for does not take the others with it.
        """
        db = self._opened(jobs)
        if db is None:
            return
        if jobs:
            self._commit(jobs, db)
        try:
            self.lookout.report(db)
        except sqlite3.Error as error:
            self.lookout.fail(state_error(error, self._path))

    def _commit(self, jobs: Sequence[Job[sqlite3.Connection]], db: sqlite3.Connection) -> None:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._refuse(jobs, error)
            return
        try:
            self._purge(db)
            for job in jobs:
                _do(job, db)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:  # SQLite ends it by itself after some errors
                db.execute("ROLLBACK")
            if len(jobs) == 1:
                self._refuse(jobs, error)
            else:
                for job in jobs:
                    self.write([job])

    def read(self, jobs: Sequence[Job[sqlite3.Connection]]) -> None:
        """Do jobs that only read. Each sees all that was committed before it began."""
        db = self._opened(jobs)
        if db is None:
            return
        for job in jobs:
            try:
                _do(job, db)
            except sqlite3.Error as error:
                self._refuse([job], error)

    def close(self) -> None:
        self.lookout.close()
        if self._connection is not None:
            self._connection.close()

    def _opened(self, jobs: Sequence[Job[sqlite3.Connection]]) -> sqlite3.Connection | None:
        if self._connection is None and jobs:
            try:
                self._connection = connect(self._path, self._synchronous)
            except (sqlite3.Error, StateError) as error:
                self._refuse(jobs, error)
        return self._connection

    def _refuse(
        self, jobs: Sequence[Job[sqlite3.Connection]], error: sqlite3.Error | StateError
    ) -> None:
        if isinstance(error, sqlite3.Error):
            error = state_error(error, self._path)
        for job in jobs:  # each its own, for the engine writes on it where it was met
            job.error = copy.copy(error)

    def _purge(self, db: sqlite3.Connection) -> None:
        """Now and then, delete some of the expired rows, which readers do not see any more."""
        now = time.monotonic()
        if now < self._purge_at:
            return
        self._purge_at = now + PURGE_SECONDS
        purged = db.execute(
            "DELETE FROM state WHERE rowid IN (SELECT rowid FROM state WHERE expires <= ? LIMIT ?)",
            (time.time(), PURGE_ROWS),
        ).rowcount
        if purged == PURGE_ROWS:
            self._purge_at = now


def _do(job: Job[sqlite3.Connection], db: sqlite3.Connection) -> None:
    job.error = None
    try:
        job.answer = job.work(db)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - the one who asked is told
        job.error = error


def connect(path: str, synchronous: str) -> sqlite3.Connection:
    """Open the file, or create it, with the schema of this version.

    Raises:
        StateError: When the folder cannot be made, or the file is another program's or of a later
            version.
        sqlite3.Error: When SQLite cannot open it.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib is slow to start
    except OSError as error:
        raise StateError(
            f"the folder of the state in {path} cannot be made: {error.strerror}",
            hint="check who may write there, or run with --state memory",
            details={"path": path},
        ) from error
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        _prepare(db, path)
        db.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: str) -> None:
    with _transaction(db, "DEFERRED"):
        version = _number(db, "PRAGMA user_version")
        owner = _number(db, "PRAGMA application_id")
        empty = _number(db, "SELECT count(*) FROM sqlite_master") == 0
    if owner != APPLICATION_ID and not empty:
        raise StateError(
            f"{path} is another program's database",
            hint="run with --state memory",
            details={"path": path},
        )
    if version > len(MIGRATIONS):
        raise StateError(
            f"{path} was written by a later version of llmspell",
            hint="upgrade llmspell, or run with --state memory",
            details={"path": path, "schema": version, "known": len(MIGRATIONS)},
        )
    _switch_to_wal(db)
    if version < len(MIGRATIONS):
        _migrate(db)


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Let readers read while the writer writes.

    While another process does the same to a new file SQLite does not wait, but fails at once.
    """
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _migrate(db: sqlite3.Connection) -> None:
    with _transaction(db, "IMMEDIATE"):
        version = _number(db, "PRAGMA user_version")  # another process may have been faster
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _number(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


def _kind(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error of Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def state_error(error: sqlite3.Error, path: str) -> StateError:
    """What a SQLite error means to someone who uses the state."""
    meaning, hint = _ERRORS.get(_kind(error), (str(error), None))
    return StateError(
        f"the state in {path} cannot be used: {meaning}",
        hint=hint,
        details={"path": path, "sqlite": getattr(error, "sqlite_errorname", str(error))},
        retryable=hint is _RETRY,
    )

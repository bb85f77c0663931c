"""The database of a SQLite store: opens, writes and reads it, and translates its errors."""

from __future__ import annotations

import copy
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing

from llmspell import sqlite_file
from llmspell.errors import StateError
from llmspell.sqlite_file import Schema
from llmspell.state.change_tracker import ChangeTracker
from llmspell.state.worker import Job

APPLICATION_ID = 0x6C6C7370
"""`llsp` in ASCII; marks the file's header as a llmspell state."""

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
    (
        "CREATE TABLE done (name TEXT PRIMARY KEY, answer TEXT NOT NULL, at REAL NOT NULL)",
        "CREATE INDEX done_at ON done (at)",
    ),
)
"""The statements that migrate from schema version n to n+1, the file's `user_version`.

`value` is JSON (see encoding.py), `expires` is in seconds since 1970, and `version` is a random
number that changes with every write. `done` has the writes that must be done only once, with their
results, by the name of the effect that requested each.
"""

DONE_SECONDS = 7 * 86400
"""How long a write in `done` is kept; it is needed from a kill until the run is resumed."""


PURGE_SECONDS = 30.0
PURGE_ROWS = 1000


class Database:
    """A connection to the file, for one thread. It opens with the first batch of jobs.

    Args:
        path: The file; it and its folder are created if necessary.
        synchronous: SQLite's setting of that name.

    Attributes:
        tracker: Tracks writes, of this and other processes, for watches.
    """

    def __init__(self, path: str, synchronous: str) -> None:
        self._path, self._synchronous = path, synchronous
        self._connection: sqlite3.Connection | None = None
        self._purge_at = 0.0
        self.tracker = ChangeTracker()

    def write(self, jobs: Sequence[Job[sqlite3.Connection]]) -> None:
        """Execute jobs in one transaction, leaving out those that fail.

        If the transaction fails as a whole, each job gets its own, so that a job that does not fit
        on the disk does not make the others fail.
        """
        db = self._opened(jobs)
        if db is None:
            return
        if jobs:
            self._commit(jobs, db)
        try:
            self.tracker.report(db)
        except sqlite3.Error as error:
            self.tracker.fail(state_error(error, self._path))

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
            if db.in_transaction:  # SQLite rolls back by itself after some errors
                db.execute("ROLLBACK")
            if len(jobs) == 1:
                self._refuse(jobs, error)
            else:
                for job in jobs:
                    self.write([job])

    def read(self, jobs: Sequence[Job[sqlite3.Connection]]) -> None:
        """Execute jobs that only read. Each sees everything that was committed before it began.

        A file that cannot be written is opened for each batch: others may write it meanwhile.
        """
        if self._connection is None and jobs:
            try:
                self._connection = connect(self._path, self._synchronous)
            except (sqlite3.Error, StateError) as error:
                self._read_unwritable(jobs, error)
                return
        if self._connection is not None:
            self._read_in(self._connection, jobs)

    def _read_unwritable(
        self, jobs: Sequence[Job[sqlite3.Connection]], error: sqlite3.Error | StateError
    ) -> None:
        try:
            db = connect_to_read(self._path, error)
        except (sqlite3.Error, StateError) as refusal:
            self._refuse(jobs, refusal)
            return
        with closing(db):
            self._read_in(db, jobs)

    def _read_in(self, db: sqlite3.Connection, jobs: Sequence[Job[sqlite3.Connection]]) -> None:
        for job in jobs:
            try:
                _do(job, db)
            except sqlite3.Error as error:
                self._refuse([job], error)

    def close(self) -> None:
        self.tracker.close()
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
        for job in jobs:  # a copy each, because the engine adds where it occurred
            job.error = copy.copy(error)

    def _purge(self, db: sqlite3.Connection) -> None:
        """Delete a batch of expired rows, which readers ignore, unless one was deleted recently."""
        now = time.monotonic()
        if now < self._purge_at:
            return
        self._purge_at = now + PURGE_SECONDS
        purged = db.execute(
            "DELETE FROM state WHERE rowid IN (SELECT rowid FROM state WHERE expires <= ? LIMIT ?)",
            (time.time(), PURGE_ROWS),
        ).rowcount
        purged = max(
            purged,
            db.execute(
                "DELETE FROM done WHERE rowid IN (SELECT rowid FROM done WHERE at <= ? LIMIT ?)",
                (time.time() - DONE_SECONDS, PURGE_ROWS),
            ).rowcount,
        )
        if purged == PURGE_ROWS:
            self._purge_at = now


def _do(job: Job[sqlite3.Connection], db: sqlite3.Connection) -> None:
    job.error = None
    try:
        job.answer = job.work(db)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - reported to the caller
        job.error = error


def connect(path: str, synchronous: str) -> sqlite3.Connection:
    """Open or create the file with this version's schema. Raises like `sqlite_file`."""
    return sqlite_file.connect(path, _schema(), synchronous)


def connect_to_read(path: str, error: sqlite3.Error | StateError) -> sqlite3.Connection:
    """Open a file that could not be opened for writing; one that is not there is empty.

    Raises `error` unless the reason is that nothing can be written there.
    """
    if isinstance(error, StateError) and not isinstance(error.__cause__, OSError):
        raise error
    if isinstance(error, sqlite3.Error) and not sqlite_file.is_not_writable(error):
        raise error
    try:
        os.stat(path)  # noqa: PTH116 - pathlib is slow to start
    except FileNotFoundError:
        db = sqlite3.connect(":memory:", isolation_level=None)
        sqlite_file.migrate(db, _schema())
        return db
    except OSError:
        raise error from None
    try:
        return sqlite_file.connect_to_read(path, _schema())
    except sqlite3.Error:
        raise error from None


def _schema() -> Schema[StateError]:
    return Schema(APPLICATION_ID, MIGRATIONS, "the state", "run with --state memory", StateError)


def state_error(error: sqlite3.Error, path: str) -> StateError:
    """Translate a SQLite error for users of the state."""
    failure = _schema().failure(error, path)
    failure.retryable = sqlite_file.is_busy(error)
    return failure

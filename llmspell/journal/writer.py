"""Writes to the journal, in the order in which things happened.

`commit` returns only when its rows, and all rows added before, are in the file. It writes in the
calling thread, because a transaction costs less than handing it to another one. Rows that can wait
are added, and are written with the next commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from llmspell import sqlite_file
from llmspell.journal.database import open_to_write, schema
from llmspell.journal.stored_values import Row

CHECKPOINT = 4000  # rows in the write-ahead log before a checkpoint


class Writer:
    """This process's only writing connection; the file is opened on first use."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self.path, self._synchronous = path, synchronous
        self._db: sqlite3.Connection | None = None
        self._waiting: list[Row] = []
        self._scheduled = False
        self._written = 0
        self._checkpoint: threading.Thread | None = None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection. Raises JournalError if the file cannot be used."""
        if self._db is None:
            self._db = open_to_write(self.path, self._synchronous)
        return self._db

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows; they are written before any that are added or committed later."""
        self._waiting += rows

    def add_soon(self, rows: Iterable[Row]) -> None:
        """Add rows, and write them soon even if no commit follows."""
        self._waiting += rows
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._write_soon)

    def commit(self, rows: Iterable[Row] = ()) -> None:
        """Write rows, and all that were added before, in one transaction.

        Raises:
            JournalError: They cannot be written. They stay added.
        """
        self._waiting += rows
        waiting = self._waiting
        if not waiting:
            return
        db = self.db
        try:
            if len(waiting) == 1:
                db.execute(*waiting[0])
            else:
                with sqlite_file.transaction(db, "IMMEDIATE"):
                    for statement, values in waiting:
                        db.execute(statement, values)
        except sqlite3.Error as error:
            raise schema().failure(error, str(self.path)) from error
        self._written += len(waiting)
        self._waiting = []
        if self._written > CHECKPOINT:
            self._move_into_file()

    def finds(self, query: str, values: tuple[object, ...]) -> bool:
        """Return whether a query has a result. Raises JournalError."""
        try:
            return self.db.execute(query, values).fetchone() is not None
        except sqlite3.Error as error:
            raise schema().failure(error, str(self.path)) from error

    def close(self) -> None:
        """Write the added rows and close the file. Raises like `commit`."""
        try:
            self.commit()
        finally:
            if self._checkpoint is not None:
                self._checkpoint.join()
            if self._db is not None:
                self._db.close()
                self._db = None

    def _write_soon(self) -> None:
        self._scheduled = False
        with contextlib.suppress(Exception):  # the rows stay added: the next commit raises
            self.commit()

    def _move_into_file(self) -> None:
        """Checkpoint the write-ahead log in a thread, because that waits for the disk."""
        self._written = 0
        if self._checkpoint is None or not self._checkpoint.is_alive():
            self._checkpoint = threading.Thread(
                target=_checkpoint, args=(str(self.path),), name="llmspell-journal", daemon=True
            )
            self._checkpoint.start()


def _checkpoint(path: str) -> None:
    with (
        contextlib.suppress(sqlite3.Error),  # the next checkpoint catches up
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db,
    ):
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")

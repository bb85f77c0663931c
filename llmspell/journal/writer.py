"""Writes into the journal, in the order in which things happened.

Who says `commit` goes on only when that, and all that was added before, is in the file. It is done
right there: a transaction costs less than handing it to a thread would. What can wait is added, and
is committed with what comes next.
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

CHECKPOINT = 4000  # rows in the write-ahead log from which they are moved into the file


class Writer:
    """The one connection of this process that writes; the file is opened at the first use."""

    def __init__(self, path: Path, synchronous: str = "NORMAL") -> None:
        self.path, self._synchronous = path, synchronous
        self._db: sqlite3.Connection | None = None
        self._waiting: list[Row] = []
        self._scheduled = False
        self._written = 0
        self._checkpoint: threading.Thread | None = None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection. Raises JournalError when the file cannot be used."""
        if self._db is None:
            self._db = open_to_write(self.path, self._synchronous)
        return self._db

    def add(self, rows: Iterable[Row]) -> None:
        """Have rows written before anything that is added or committed later."""
        self._waiting += rows

    def add_soon(self, rows: Iterable[Row]) -> None:
        """The same, and soon even if nothing comes later."""
        self._waiting += rows
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._write_soon)

    def commit(self, rows: Iterable[Row] = ()) -> None:
        """Write rows, and all that was added before.

        Raises:
            JournalError: It cannot be written. It stays added.
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

    def close(self) -> None:
        """Write what was added, and let go of the file. Raises as `commit` does."""
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
        with contextlib.suppress(Exception):  # it stays added: who commits next is told
            self.commit()

    def _move_into_file(self) -> None:
        """Take the write-ahead log in, in a thread, since that waits for the disk."""
        self._written = 0
        if self._checkpoint is None or not self._checkpoint.is_alive():
            self._checkpoint = threading.Thread(
                target=_checkpoint, args=(str(self.path),), name="llmspell-journal", daemon=True
            )
            self._checkpoint.start()


def _checkpoint(path: str) -> None:
    with (
        contextlib.suppress(sqlite3.Error),  # the next one does it
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db,
    ):
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")

"""The tables of `.llmspell/runs.db`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from llmspell import sqlite_file
from llmspell.errors import JournalError
from llmspell.sqlite_file import Schema

APPLICATION_ID = 0x6C6C7372
"""`llsr`: says in the file's header whose file it is."""

MIGRATIONS = (
    (
        """
        CREATE TABLE runs (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            spell TEXT NOT NULL,
            file TEXT NOT NULL,
            path TEXT,
            source BLOB NOT NULL,
            trusted INTEGER NOT NULL,
            params TEXT NOT NULL,
            arguments TEXT NOT NULL,
            seed INTEGER NOT NULL,
            setup NOT NULL,
            started REAL NOT NULL,
            ended REAL,
            status TEXT NOT NULL,
            reason TEXT,
            due REAL,
            result,
            error TEXT,
            origin TEXT,
            origin_path TEXT
        )
        """,
        """
        CREATE TABLE effects (
            run INTEGER NOT NULL,
            number INTEGER NOT NULL,
            path TEXT NOT NULL,
            name TEXT NOT NULL,
            digest BLOB NOT NULL,
            args,
            lists TEXT,
            kind TEXT NOT NULL,
            outcome,
            asked INTEGER NOT NULL,
            turn INTEGER NOT NULL,
            started REAL NOT NULL,
            seconds REAL NOT NULL,
            usage TEXT,
            PRIMARY KEY (run, number)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE begun (
            run INTEGER NOT NULL,
            path TEXT NOT NULL,
            name TEXT NOT NULL,
            digest BLOB NOT NULL,
            args,
            lists TEXT,
            started REAL NOT NULL,
            due REAL,
            PRIMARY KEY (run, path)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE composites (
            run INTEGER NOT NULL,
            path TEXT NOT NULL,
            name TEXT NOT NULL,
            label TEXT NOT NULL,
            kind TEXT NOT NULL,
            started REAL NOT NULL,
            seconds REAL NOT NULL,
            PRIMARY KEY (run, path)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE turns (
            run INTEGER NOT NULL,
            turn INTEGER NOT NULL,
            under TEXT NOT NULL,
            batch TEXT NOT NULL,
            PRIMARY KEY (run, turn)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE blobs (
            digest BLOB PRIMARY KEY,
            packed INTEGER NOT NULL,
            data BLOB NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE links (
            digest BLOB PRIMARY KEY,
            before BLOB NOT NULL,
            item NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    ("ALTER TABLE begun ADD COLUMN answer TEXT",),
    (
        """
        CREATE TABLE payments (
            run INTEGER NOT NULL,
            number INTEGER NOT NULL,
            path TEXT NOT NULL,
            model TEXT NOT NULL,
            usage TEXT NOT NULL,
            answered INTEGER NOT NULL,
            PRIMARY KEY (run, number)
        ) WITHOUT ROWID
        """,
    ),
    (
        """
        CREATE TABLE calls (
            run INTEGER NOT NULL,
            turn INTEGER NOT NULL,
            path TEXT NOT NULL,
            function INTEGER NOT NULL,
            args NOT NULL,
            PRIMARY KEY (run, turn, path)
        ) WITHOUT ROWID
        """,
    ),
)
"""Statements that lead from schema version n to n+1, the file's `user_version`.

Where a column has no type, there is a value as JSON (see state/encoding.py): as TEXT, or as the
BLOB that is its digest in `blobs`. Times are seconds since 1970.

- runs: one row a run. `status` is running, suspended, completed or failed; a running one whose lock
  nobody holds has been killed. `setup` is what it ran with: grants, limits, versions; `ungranted`
  in it says that none of these grants hold when it goes on; `elsewhere`, of a run that was taken in,
  up to which of its effects others have recorded it, and the paths of those approvals among them
  that were given here as well. `due` is when a suspended one is
  to go on by itself. `origin` is the run it was forked from, at `origin_path`.
- effects: one row a leaf that has ended, in the order in which they ended. `digest` is of its name
  and arguments; `lists` are arguments that are lists, by name, each as the digest of its last link.
  `kind` is ok, error or cancelled. `asked` is the number of the last effect that had ended when this
  one was asked for; `turn`, how many turns Lua had had when it ended.
- begun: leaves that have begun and not ended; only those of which it matters. `answer` is what a
  person said of one that waits for that.
- payments: requests to models that no leaf in `effects` tells of. One is there from before it begins
  until it is part of the leaf that it was made for; so that of a process which was killed stays. `usage`
  is what it used or, unless it was `answered`, the most it may have.
- composites: notes of the effects that are made of others, for who looks at the run; `label` is
  what one was about, `kind` as in effects, or unfinished.
- turns: what Lua was told at one turn, where that was not the only thing it could have been told:
  `batch` names the messages, `under` the run of a child, or is empty. A run that has ended has one more,
  whose `batch` is "end": it never comes.
- calls: which of these messages are made again from the record: calls of functions of the spell that
  were made in the midst of a leaf. `path` is as in `batch`, `function` what stands for the function.
- blobs: zlib'd where `packed`.
- links: of lists: each the digest of the one before, and an item.
"""

OF_A_RUN = ("effects", "begun", "payments", "composites", "turns", "calls")
"""The tables whose rows belong to the run of their `run`."""


def schema() -> Schema[JournalError]:
    return Schema(
        APPLICATION_ID,
        MIGRATIONS,
        "the journal",
        "run with --no-record",
        JournalError,
        page_size=2048,  # most rows are short, and each is committed by itself
    )


def open_to_write(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open the journal, or create it. Raises JournalError."""
    try:
        db = sqlite_file.connect(str(path), schema(), synchronous, check_same_thread=False)
    except sqlite3.Error as error:
        raise schema().failure(error, str(path)) from error
    db.execute("PRAGMA wal_autocheckpoint = 0")  # it would hold up the runs; see writer.py
    return db


def _as_of_now(old: sqlite3.Connection) -> sqlite3.Connection:
    """A copy of what an earlier version wrote, in memory."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    old.backup(db)
    old.close()
    sqlite_file.migrate(db, schema())
    return db


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a journal that is there, and change nothing. Raises JournalError."""
    if not path.is_file():
        message = f"there is no journal in {path.parent}"
        raise schema().refusal(message, "run a spell here first: llmspell run SPELL", str(path))
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            version = sqlite_file.check_version(db, str(path), schema())
            return db if version == len(MIGRATIONS) else _as_of_now(db)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise schema().failure(error, str(path)) from error

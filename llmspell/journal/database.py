"""The tables of `.llmspell/runs.db`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from llmspell import sqlite_file
from llmspell.errors import JournalError
from llmspell.sqlite_file import Schema

APPLICATION_ID = 0x6C6C7372
"""`llsr` in ASCII; marks the file's header as a llmspell journal."""

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
    ("ALTER TABLE composites ADD COLUMN begun INTEGER NOT NULL DEFAULT 1",),
    (
        """
        CREATE TABLE delivered (
            run INTEGER NOT NULL,
            path TEXT NOT NULL,
            number INTEGER NOT NULL,
            asked INTEGER NOT NULL,
            turn INTEGER,
            part TEXT NOT NULL,
            PRIMARY KEY (run, path, number)
        ) WITHOUT ROWID
        """,
    ),
)
"""The statements that migrate from schema version n to n+1, the file's `user_version`.

A column without a type holds a value as JSON (see state/encoding.py), either directly as TEXT or as
a BLOB that is its digest in `blobs`. Times are in seconds since 1970.

- runs: one row per run. `status` is running, suspended, completed or failed; a run that is marked
  running but whose lock is free has been killed. `setup` is what it ran with: grants, limits,
  versions. In it, `ungranted` says that none of these grants apply when the run is resumed;
  `elsewhere`, in an imported run, has the number of the last effect recorded by others, and the
  paths of those of its approvals that were given again here. `due` is when a suspended run is to be
  resumed automatically. `origin` is the run it was forked from, at `origin_path`.
- effects: one row per finished leaf, in the order in which they ended. `digest` covers name and
  arguments. `lists` holds the arguments that are stored as chains: their names and the digests of
  their last links. `kind` is ok, error or cancelled. `asked` is the number of the last leaf that
  had ended when this one was requested; `turn` is the number of turns Lua had had when it ended.
- begun: leaves that have begun and not ended, where that matters. `answer` is what a person replied
  to a leaf that waits for one.
- payments: model requests that are not part of a leaf in `effects`. A row is written before the
  request begins and deleted when the leaf it was made for is recorded, so it survives a kill of the
  process. `usage` is the actual usage if `answered`, otherwise the most it may have been.
- delivered: parts of answers that the spell had got before these were whole. They are deleted with
  the end of the leaf at that path, unless it failed. `asked` is as in effects; `turn` is the one at
  which the spell was told, as long as no leaf was recorded after that.
- composites: notes on composite effects, for people who inspect the run. `label` is what the effect
  was about; `kind` is as in effects, or unfinished. `begun` is how often it was begun: again if the
  run stopped in the middle of it and was resumed.
- turns: what Lua was told at a turn, where something else would have been possible. `batch` names
  the messages; `under` is the path of the effect that runs a child, with a slash, or empty. A
  finished run has one more row, whose `batch` is "end": that turn never comes.
- calls: those messages that are calls from within a leaf to functions of the spell; a replay makes
  them from the record. `path` is as in `batch`; `function` is the number of the function.
- blobs: compressed with zlib if `packed`.
- links: lists as chains; each link has the digest of the previous one and an item.
"""

OF_A_RUN = ("effects", "begun", "payments", "delivered", "composites", "turns", "calls")
"""The tables whose rows belong to the run in their column `run`."""


def schema(without: str = "run with --no-record") -> Schema[JournalError]:
    """Return the schema of a journal; `without` says in errors how to do without the file."""
    return Schema(
        APPLICATION_ID,
        MIGRATIONS,
        "the journal",
        without,
        JournalError,
        page_size=2048,  # most rows are short, and each is committed separately
    )


def open_to_write(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open the journal, or create it. Raises JournalError."""
    try:
        db = sqlite_file.connect(str(path), schema(), synchronous, check_same_thread=False)
    except sqlite3.Error as error:
        raise schema().failure(error, str(path)) from error
    db.execute("PRAGMA wal_autocheckpoint = 0")  # checkpoints would block the runs; see writer.py
    return db


def open_to_read(path: Path, known: Schema[JournalError] | None = None) -> sqlite3.Connection:
    """Open an existing journal read-only, perhaps with a schema of its own. Raises JournalError."""
    known = known or schema()
    if path.exists() and not path.is_file():
        message = f"{path} is not a regular file"
        raise known.refusal(message, f"move it away, or {known.without}", str(path))
    if not path.is_file():
        message = f"there is no journal in {path.parent}"
        raise known.refusal(message, "run a spell here first: llmspell run SPELL", str(path))
    try:
        return sqlite_file.connect_to_read(str(path), known)
    except sqlite3.Error as error:
        raise known.failure(error, str(path)) from error

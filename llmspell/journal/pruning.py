"""Deletes runs, and the stored values that no remaining run refers to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from llmspell.journal.database import OF_A_RUN, open_to_write, schema
from llmspell.journal.locks import is_running
from llmspell.journal.run_ids import is_id
from llmspell.journal.stored_reader import damaged
from llmspell.journal.validation import InvalidRecord, heads_of
from llmspell.sqlite_file import transaction

# What the remaining runs refer to, directly or through chains.
_HEADS = """
    SELECT unhex_text(value) FROM {table}, json_each({table}.lists) WHERE lists IS NOT NULL
"""
_FORGET_LINKS = f"""
    DELETE FROM links WHERE digest NOT IN (WITH RECURSIVE needed (digest) AS (
        {_HEADS.format(table="effects")}
        UNION {_HEADS.format(table="begun")}
        UNION SELECT before FROM needed JOIN links USING (digest)
    ) SELECT digest FROM needed)
"""  # noqa: S608 - constants
_FORGET_BLOBS = """
    DELETE FROM blobs WHERE digest NOT IN (SELECT * FROM (
    SELECT source FROM runs
    UNION SELECT setup FROM runs UNION SELECT result FROM runs
    UNION SELECT args FROM effects UNION SELECT outcome FROM effects
    UNION SELECT args FROM begun UNION SELECT args FROM calls UNION SELECT item FROM links
    ) WHERE typeof(source) = 'blob')
"""


def prune(path: Path, *, before: float | None = None, keep: int | None = None) -> int:
    """Delete runs that ended `before` a time, and all but the newest `keep`; return their number.

    A run that is suspended until a time is not older than that. Runs that a process is executing are
    kept. Raises JournalError, also if a remaining run is so damaged that the values it refers to
    cannot be determined.
    """
    if not path.exists() or (before is None and keep is None):
        return 0
    try:
        with closing(open_to_write(path, "NORMAL")) as db:
            db.create_function("unhex_text", 1, bytes.fromhex, deterministic=True)
            with transaction(db, "IMMEDIATE"):
                gone = [
                    number
                    for number, id_ in _candidates(db, before, keep)
                    if not (is_id(id_) and is_running(path, id_))
                ]
                for number in gone:
                    db.execute("DELETE FROM runs WHERE number = ?", (number,))
                    for table in OF_A_RUN:
                        db.execute(f"DELETE FROM {table} WHERE run = ?", (number,))  # noqa: S608 - constants
                if gone:
                    _check_lists(db, path)
                    db.execute(_FORGET_LINKS)
                    db.execute(_FORGET_BLOBS)
            if gone:
                db.execute("VACUUM")
            return len(gone)
    except sqlite3.Error as error:
        raise schema().failure(error, str(path)) from error


def _check_lists(db: sqlite3.Connection, path: Path) -> None:
    """Raise JournalError if the chains of a remaining run cannot be read."""
    for table in ("effects", "begun"):
        sql = f"SELECT lists, min(run) FROM {table} WHERE lists IS NOT NULL GROUP BY lists"  # noqa: S608 - constants
        for lists, run in db.execute(sql):
            try:
                _ = dict(heads_of(lists))
            except InvalidRecord:
                ids = db.execute("SELECT id FROM runs WHERE number = ?", (run,)).fetchone()
                id_ = ids[0] if ids and is_id(ids[0]) else f"number {run}"
                raise damaged(str(path), f"{table}.lists cannot be read", id_) from None


def _candidates(
    db: sqlite3.Connection, before: float | None, keep: int | None
) -> list[tuple[int, str]]:
    rows = db.execute(
        """
        SELECT number, id FROM runs WHERE
            max(coalesce(ended, started), coalesce(due, 0)) < coalesce(?, -1)
            OR (? IS NOT NULL AND number NOT IN (
                SELECT number FROM runs ORDER BY number DESC LIMIT ?))
        """,
        (before, keep, keep),
    )
    return list(rows)

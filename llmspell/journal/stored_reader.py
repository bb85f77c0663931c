"""Low-level access to the rows and stored values of a journal, each checked before it is returned."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from llmspell.errors import JournalError
from llmspell.journal.database import schema
from llmspell.journal.stored_values import Stored, bytes_of, content_of, digest, digest_of, text_in
from llmspell.journal.validation import (
    InvalidRecord,
    heads_of,
    invalid_column,
    table_of,
    value_of,
)
from llmspell.values import Value, text_or_bytes

T = TypeVar("T")

_REMEMBERED = 64 << 20  # characters

# UNION, not UNION ALL: it also ends if damage has made the chain a cycle.
_CHAIN = """
    WITH RECURSIVE chain (digest, before, item) AS (
        SELECT digest, before, item FROM links WHERE digest = ?
        UNION SELECT links.digest, links.before, links.item
        FROM chain JOIN links ON links.digest = chain.before
    ) SELECT digest, before, item FROM chain
"""


class StoredReader:
    """Rows and values of an open journal. Every method raises JournalError if the file is damaged.

    `run` is the id of the run that an error names.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path
        self._texts: dict[bytes, str] = {}
        self._remembered = 0  # characters in `_texts`

    def text(self, stored: Stored, run: str) -> str:
        """Return a text that is stored in place, or by its digest as a blob."""
        if isinstance(stored, str):
            return stored
        found = self._texts.get(stored)
        if found is None:
            try:
                found = text_in(self.blob(stored, run))
            except UnicodeDecodeError:
                raise self._damaged(f"the value {stored.hex()} is not text", run) from None
            if self._remembered + len(found) < _REMEMBERED:
                self._remembered += len(found)
                self._texts[stored] = found
        return found

    def blob(self, name: bytes, run: str) -> bytes:
        """Return the content with a digest, after checking it against that."""
        row = self._rows("SELECT packed, data FROM blobs WHERE digest = ?", (name,))
        if not row:
            raise self._damaged(f"the value {name.hex()} is missing", run)
        content = content_of(name, *row[0])
        if content is None:
            raise self._damaged(f"the value {name.hex()} does not match its digest", run)
        return content

    def read(self, made: Callable[[str], T], what: str, run: str, stored: Stored) -> T:
        """Return `made` of a stored text; `what` describes it in errors."""
        try:
            return made(self.text(stored, run))
        except InvalidRecord:
            raise self._damaged(f"{what} cannot be read", run) from None

    def arguments(
        self, name: str, args: Stored, lists: str | None, known: bytes, run: str
    ) -> dict[str, Value]:
        """Return an effect's arguments, after checking them against their digest."""
        text = self.text(args, run)
        if digest_of(name, text, lists) != known:
            raise self._damaged(f"the arguments of {name} do not match their digest", run)
        found = self.read(table_of, f"a table of arguments of {name}", run, text)
        heads = self.read(lambda _: dict(heads_of(lists)), f"a list for {name}", run, lists or "")
        return found | {key: self._chain(head, run) for key, head in heads.items()}

    def _chain(self, head: bytes, run: str) -> list[Value]:
        items, wanted = [], head
        for link, before, item in self._rows(_CHAIN, (head,)):
            if type(before) is not bytes or not isinstance(item, (str, bytes)) or link != wanted:
                break
            text = self.text(item, run)
            if digest(before, bytes_of(text)) != link:
                raise self._damaged(f"the link {link.hex()} does not match its digest", run)
            items.append(self.read(value_of, f"the link {link.hex()}", run, text))
            wanted = before
        if wanted:
            raise self._damaged(f"the link {wanted.hex()} is missing", run)
        return items[::-1]

    def _checked(
        self, table: str, columns: tuple[str, ...], row: tuple[Any, ...], run: str
    ) -> dict[str, Any]:
        """Return a row as a dict by column. Raises JournalError if a column has an invalid value."""
        values = dict(zip(columns, row, strict=True))
        if column := invalid_column(table, values):
            raise self._damaged(f"{table}.{column} cannot be read", run)
        return values

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            return self._fetched(sql, values)
        except sqlite3.Error as error:
            raise schema().failure(error, str(self._path)) from error

    def _fetched(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
        # Invalid UTF-8 is read as bytes, so that the check of the columns names the damaged one.
        self._db.text_factory = text_or_bytes
        return self._db.execute(sql, values).fetchall()

    def _damaged(self, what: str, run: str) -> JournalError:
        return damaged(str(self._path), what, run)


def damaged(path: str, what: str, run: str) -> JournalError:
    """Return the error that reports damage in a journal."""
    return JournalError(
        f"the journal in {path} is damaged: {what}, in the run {run}",
        hint="restore it from a backup, or move it away",
        details={"path": path, "run": run},
    )

"""Exports a run to a file of its own, and imports such files.

The file is a journal that contains only that run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from llmspell import sqlite_file
from llmspell.errors import JournalError
from llmspell.journal.database import OF_A_RUN, open_to_read, open_to_write, schema
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedRun
from llmspell.journal.stored_values import Row, Stored, content_of, digest, stored, text_of
from llmspell.journal.validation import heads_of
from llmspell.values import plain


def export_run(journal: Path, run: RecordedRun, file: Path) -> None:
    """Export a run to a new file.

    Raises:
        JournalError: The file exists already, or one of the two files cannot be used.
    """
    if file.exists():
        raise JournalError(f"{file} already exists", hint="name another file, or remove it")
    with Reader.open(journal) as reader:
        reader.check(run)
    try:
        with closing(open_to_read(journal)) as source, closing(_opened(file)) as target:
            _copy(source, run.number, target)
            target.execute("PRAGMA journal_mode = DELETE")  # leaves a single file
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def import_runs(file: Path, journal: Path) -> list[str]:
    """Import the runs of a file into a journal, all or none; return their ids.

    Whoever made the file chose its contents. So the runs are untrusted, and the grants they had
    there do not apply here; they are kept for replays.

    Raises:
        JournalError: The file is not a journal or an empty one, one of its runs exists already, or
            one of the two files cannot be used.
    """
    exported = schema(without="import a file that llmspell export has written")
    with Reader(open_to_read(file, exported), file) as reader:
        runs = reader.runs()
        if not runs:
            raise exported.refusal(f"{file} contains no runs", exported.without, str(file))
        for run in runs:
            reader.check(run)
    with closing(open_to_read(file)) as source, closing(_opened(journal)) as target:
        for run in runs:
            if target.execute("SELECT 1 FROM runs WHERE id = ?", (run.id,)).fetchone():
                hint = f"see it with: llmspell show {run.id}"
                raise JournalError(f"the run {run.id} is already in {journal}", hint=hint)
        with sqlite_file.transaction(target, "IMMEDIATE"):
            for run in reversed(runs):
                _make_strange(target, _copy(source, run.number, target), run)
    return [run.id for run in runs]


def _make_strange(target: sqlite3.Connection, number: int, run: RecordedRun) -> None:
    """Mark a run as untrusted, and its grants and approvals as given elsewhere."""
    rows: list[Row] = []
    sql = "SELECT coalesce(max(number), 0) FROM effects WHERE run = ?"
    (last,) = target.execute(sql, (number,)).fetchone()
    strange = {"ungranted": True, "elsewhere": {"last": last, "approved": []}}
    setup = stored(text_of(plain(run.setup | strange)), rows)
    sql = "UPDATE runs SET trusted = 0, path = NULL, setup = ? WHERE number = ?"
    rows.append((sql, (setup, number)))
    rows.append(("UPDATE begun SET answer = NULL WHERE run = ?", (number,)))
    for statement, values in rows:
        target.execute(statement, values)


def _opened(file: Path) -> sqlite3.Connection:
    return open_to_write(file.absolute(), "FULL")


def _copy(source: sqlite3.Connection, run: int, target: sqlite3.Connection) -> int:
    """Copy a checked run and the values it refers to; return its number in the target."""
    try:
        number = _copy_row(source, run, target)
        for table in OF_A_RUN:
            for row in source.execute(f"SELECT * FROM {table} WHERE run = ?", (run,)):  # noqa: S608 - constants
                _insert(target, table, (number, *row[1:]))
        heads = {head for lists in _lists(source, run) for _, head in heads_of(lists)}
        blobs = set(_blobs(source, run)) | set(_copy_chains(source, heads, target))
        for name in blobs:
            rows = source.execute("SELECT * FROM blobs WHERE digest = ?", (name,)).fetchall()
            if not rows:
                raise JournalError(f"the journal is damaged: the value {name.hex()} is missing")
            if content_of(*rows[0]) is None:
                raise _other(name)
            _insert(target, "blobs", rows[0])
    except sqlite3.Error as error:
        raise schema().failure(error, "the file") from error
    return number


def _copy_row(source: sqlite3.Connection, run: int, target: sqlite3.Connection) -> int:
    columns = [row[1] for row in source.execute("PRAGMA table_info(runs)") if row[1] != "number"]
    names = ", ".join(columns)
    row = source.execute(f"SELECT {names} FROM runs WHERE number = ?", (run,)).fetchone()  # noqa: S608 - constants
    marks = ", ".join("?" * len(columns))
    number = target.execute(f"INSERT INTO runs ({names}) VALUES ({marks})", row).lastrowid  # noqa: S608 - constants
    return number or 0


def _insert(target: sqlite3.Connection, table: str, row: tuple[object, ...]) -> None:
    marks = ", ".join("?" * len(row))
    target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608 - constants


def _lists(source: sqlite3.Connection, run: int) -> Iterator[str]:
    for table in ("effects", "begun"):
        sql = f"SELECT lists FROM {table} WHERE run = ? AND lists IS NOT NULL"  # noqa: S608 - constants
        yield from (lists for (lists,) in source.execute(sql, (run,)))


def _blobs(source: sqlite3.Connection, run: int) -> Iterator[bytes]:
    """Yield the digests of the large values that a run refers to directly."""
    holders = (
        *((column, "runs", "number") for column in ("source", "setup", "result")),
        *(("args", "effects", "run"), ("outcome", "effects", "run")),
        *(("args", "begun", "run"), ("args", "calls", "run")),
    )
    for column, table, key in holders:
        sql = f"SELECT {column} FROM {table} WHERE {key} = ? AND typeof({column}) = 'blob'"  # noqa: S608 - constants
        yield from (name for (name,) in source.execute(sql, (run,)))


def _copy_chains(
    source: sqlite3.Connection, heads: Iterable[bytes], target: sqlite3.Connection
) -> Iterator[bytes]:
    """Copy chains, from their last links backwards; yield the digests of large items."""
    copied: set[bytes] = set()
    for head in heads:
        link = head
        while link and link not in copied:
            copied.add(link)
            row = source.execute("SELECT * FROM links WHERE digest = ?", (link,)).fetchone()
            if row is None:
                raise JournalError(f"the journal is damaged: the link {link.hex()} is missing")
            _, before, item = row
            if digest(before, _content(source, item)) != link:
                raise _other(link)
            _insert(target, "links", row)
            link = before
            if isinstance(item, bytes):
                yield item


def _content(source: sqlite3.Connection, item: Stored) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    row = source.execute("SELECT * FROM blobs WHERE digest = ?", (item,)).fetchone()
    return (row and content_of(*row)) or b""


def _other(name: bytes) -> JournalError:
    """Return the error for a value that does not match its digest."""
    return JournalError(f"the journal is damaged: the value {name.hex()} does not match its digest")

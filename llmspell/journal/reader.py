"""Looks at what is recorded, and changes nothing.

    with Reader.open(project.journal_file) as reader:
        for run in reader.runs(limit=20):
            print(run.id, run.status, run.spell)
        run = reader.run("20261129-10")              # ids may be cut short
        for effect in reader.effects(run):           # leaves, in the order in which they ended
            print(effect.path, effect.name, effect.kind, effect.seconds)
            effect.args, effect.outcome              # read from the file when they are looked at

Of composite effects there are notes only. A leaf's path says which it belongs to: `0.2/5/1` is the
second effect on behalf of `0.2/5`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from llmspell.errors import JournalError, RunNotFound
from llmspell.journal.database import open_to_read, schema
from llmspell.journal.locks import is_running
from llmspell.journal.texts import Stored, content_of, heads_of, value_of
from llmspell.values import Value

Status = Literal["running", "suspended", "completed", "failed", "killed"]
Kind = Literal["ok", "error", "cancelled"]


@dataclass(frozen=True)
class RecordedRun:
    """A run.

    Attributes:
        number: Its number in this file.
        id: What people call it.
        spell: The spell's name; `file` is its file as it was shown, `path` where it is, or None.
        trusted: Whether the spell is the user's own.
        params: Its parameters; `arguments` is what `arg` held.
        seed: What chance in it came from.
        setup: What it ran with: {limits, budget, grants, denied, approvals, tools, versions}.
        started: When it began; `ended` when it ended or stopped, or None. Seconds since 1970.
        status: `killed` when it runs no more though it neither ended nor stopped.
        reason: Why it stopped, in a word: "interrupted", "limit", "sleep", …
        due: When it is to go on by itself, or None.
        error: {code, message, where, hint, details} of what ended or stopped it, or None.
        origin: The run it was forked from, at `origin_path`; or None.
    """

    number: int
    id: str
    spell: str
    file: str
    path: str | None
    trusted: bool
    params: dict[str, Value]
    arguments: list[str]
    seed: int
    setup: dict[str, Any]
    started: float
    ended: float | None
    status: Status
    reason: str | None
    due: float | None
    error: dict[str, Value] | None
    origin: str | None
    origin_path: str | None
    _source: bytes = field(repr=False)
    _result: Stored | None = field(repr=False)
    _reader: Reader = field(repr=False, compare=False)

    @cached_property
    def tools(self) -> set[str]:
        """The names of the tools that it has called."""
        calls = [e for e in self._reader.effects(self) if e.name == "tool.call"]
        return {str(effect.args.get("name")) for effect in calls}

    @cached_property
    def source(self) -> bytes:
        """The text of the spell."""
        return self._reader.blob(self._source)

    @cached_property
    def result(self) -> Value:
        """What it returned."""
        return None if self._result is None else value_of(self._reader.text(self._result))


@dataclass(frozen=True)
class RecordedEffect:
    """A leaf that has ended.

    Attributes:
        number: Its place in the order in which leaves ended, from 1.
        path: Its place in the tree of tasks and effects.
        name: Such as `model.request`.
        digest: Of its name and arguments.
        kind: What it came to. `cancelled` means that nobody waited for it any more.
        asked: The number of the last leaf that had ended when this one was asked for.
        turn: How many turns Lua had had when it ended.
        started: Seconds since 1970; `seconds` is how long it took.
        usage: What a model says it used: {input_tokens, output_tokens, …}; or None.
    """

    number: int
    path: str
    name: str
    digest: bytes
    kind: Kind
    asked: int
    turn: int
    started: float
    seconds: float
    usage: dict[str, Value] | None
    _args: Stored = field(repr=False)
    _lists: str | None = field(repr=False)
    _outcome: Stored = field(repr=False)
    _reader: Reader = field(repr=False, compare=False)

    @property
    def args(self) -> dict[str, Value]:
        return self._reader.arguments(self._args, self._lists)

    @cached_property
    def outcome(self) -> Value:
        """The result; of an error, {code, message, details, hint, retryable}."""
        return value_of(self._reader.text(self._outcome))


@dataclass(frozen=True)
class BegunEffect:
    """A leaf that had begun, of which nobody knows whether it was done; or a wait.

    Attributes:
        due: When a sleep is to end, or it is no use any more to wait for a person.
        answer: What a person said meanwhile; None for nothing yet.
    """

    path: str
    name: str
    digest: bytes
    args: dict[str, Value]
    started: float
    due: float | None
    answer: Value = None


@dataclass(frozen=True)
class CompositeEffect:
    """An effect that is made of others, such as `agent.run`.

    Attributes:
        label: What it was about.
        kind: As that of a leaf; `unfinished` when the run stopped meanwhile.
        started: Seconds since 1970; `seconds` is how long it took.
    """

    path: str
    name: str
    label: str
    kind: Literal["ok", "error", "cancelled", "unfinished"]
    started: float
    seconds: float


class Turn:
    """What Lua was told at one turn, where it could have been told something else.

    Attributes:
        number: Of the turn.
        under: The path of the effect that runs the child; empty for the run itself.
        batch: The messages, in order.
    """

    __slots__ = ("batch", "number", "under")

    def __init__(self, number: int, under: str, batch: str) -> None:
        self.number, self.under, self.batch = number, under, batch


class Reader(AbstractContextManager["Reader"]):
    """An open journal. Every method raises JournalError when the file is damaged."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path
        self._texts: dict[bytes, str] = {}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open one that is there.

        Raises:
            JournalError: There is none, or it is damaged, another program's, or of a later version.
        """
        return cls(open_to_read(path), path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def runs(self, *, limit: int = -1, spell: str | None = None) -> list[RecordedRun]:
        """The runs, the newest first; of one spell if named."""
        rows = self._rows(
            f"SELECT {_RUN} FROM runs WHERE spell = ?1 OR ?1 IS NULL ORDER BY number DESC LIMIT ?2",  # noqa: S608 - constants
            (spell, limit),
        )
        return [self._run(row) for row in rows]

    def run(self, id_: str) -> RecordedRun:
        """The run of an id, or of the beginning of one; `last` is the newest.

        Raises:
            RunNotFound: There is none, or there are several.
        """
        if id_ == "last" and (newest := self.runs(limit=1)):
            return newest[0]
        found = self._rows(
            f"SELECT {_RUN} FROM runs WHERE id = ?1 OR substr(id, 1, length(?1)) = ?1"  # noqa: S608 - constants
            " ORDER BY id <> ?1, number DESC LIMIT 9",
            (id_,),
        )
        if not found or not id_:
            hint = "list them with: llmspell runs"
            raise RunNotFound(f"no run {id_} in {self._path}", hint=hint)
        ids = [row[1] for row in found]
        if len(found) > 1 and ids[0] != id_:
            hint = f"write more of it: {', '.join(ids)}"
            raise RunNotFound(f"several runs begin with {id_}", hint=hint)
        return self._run(found[0])

    def effects(self, run: RecordedRun, *, beside: bool = False) -> list[RecordedEffect]:
        """Its leaves, in the order in which they ended.

        Those `beside` effects are what host code decided or learned in the midst of one, such as
        what a hook in Python said; a mark in their path tells them: `0/5!0`.
        """
        columns = ", ".join(column.removeprefix("_") for column in _EFFECT)
        sql = f"SELECT {columns} FROM effects WHERE run = ? ORDER BY number"  # noqa: S608 - constants
        rows = self._rows(sql, (run.number,))
        return [self._effect(row) for row in rows if beside or not is_beside(row[1])]

    def begun(self, run: RecordedRun) -> list[BegunEffect]:
        """Leaves that have begun and not ended, of which that matters."""
        rows = self._rows(
            "SELECT path, name, digest, args, lists, started, due, answer FROM begun WHERE run = ?",
            (run.number,),
        )
        return [
            BegunEffect(
                path,
                name,
                digest,
                self.arguments(args, lists),
                started,
                due,
                answer and value_of(answer),
            )
            for path, name, digest, args, lists, started, due, answer in rows
        ]

    def composites(self, run: RecordedRun) -> list[CompositeEffect]:
        """Its effects that are made of others, in order of their beginning."""
        rows = self._rows(
            "SELECT path, name, label, kind, started, seconds FROM composites WHERE run = ?"
            " ORDER BY started",
            (run.number,),
        )
        return [CompositeEffect(*row) for row in rows]

    def turns(self, run: RecordedRun) -> list[Turn]:
        """What Lua was told at turns where that was not the only possibility."""
        sql = "SELECT turn, under, batch FROM turns WHERE run = ? ORDER BY turn"
        return [Turn(*row) for row in self._rows(sql, (run.number,))]

    def _effect(self, row: tuple[Any, ...]) -> RecordedEffect:
        values = dict(zip(_EFFECT, row, strict=True))
        usage = values.pop("usage")
        return RecordedEffect(**values, usage=json.loads(usage) if usage else None, _reader=self)

    def text(self, stored: Stored) -> str:
        if isinstance(stored, str):
            return stored
        found = self._texts.get(stored)
        if found is None:
            found = self.blob(stored).decode("utf-8", "surrogatepass")
            if len(self._texts) < _REMEMBERED:
                self._texts[stored] = found
        return found

    def blob(self, digest: bytes) -> bytes:
        row = self._rows("SELECT packed, data FROM blobs WHERE digest = ?", (digest,))
        if not row:
            raise self._damaged(f"the value {digest.hex()} is missing")
        content = content_of(digest, *row[0])
        if content is None:
            raise self._damaged(f"the value {digest.hex()} is another one")
        return content

    def arguments(self, args: Stored, lists: str | None) -> dict[str, Value]:
        found: dict[str, Value] = value_of(self.text(args)) or {}
        return found | {name: self._chain(head) for name, head in heads_of(lists)}

    def _chain(self, head: bytes) -> list[Value]:
        rows = self._rows(_CHAIN, (head,))
        return [value_of(self.text(item)) for (item,) in reversed(rows)]

    def _run(self, row: tuple[Any, ...]) -> RecordedRun:
        values = dict(zip(_COLUMNS, row, strict=True))
        values["setup"] = self.text(values["setup"])
        for name in ("params", "arguments", "setup"):
            values[name] = value_of(values[name])
        values["params"] = values["params"] or {}
        values["error"] = value_of(values["error"]) if values["error"] else None
        values["trusted"] = bool(values["trusted"])
        if values["status"] == "running" and not is_running(self._path, values["id"]):
            values["status"] = "killed"
        source, result = values.pop("source"), values.pop("result")
        return RecordedRun(**values, _source=source, _result=result, _reader=self)

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise schema().failure(error, str(self._path)) from error

    def _damaged(self, what: str) -> JournalError:
        return JournalError(f"the journal in {self._path} is damaged: {what}")


def due_runs(reader: Reader) -> list[RecordedRun]:
    """The runs that are suspended until a time which has come, the longest due first."""
    now = time.time()
    due = [(run.due, run) for run in reader.runs() if run.status == "suspended" and run.due]
    return [run for when, run in sorted(due, key=lambda pair: pair[0]) if when <= now]


MARK = "!"


def is_beside(path: str) -> bool:
    """Whether what has that path is beside an effect, and not on behalf of what is."""
    return path.rfind(MARK) > max(path.rfind("/"), path.rfind("."))


_REMEMBERED = 10_000  # texts

_COLUMNS = (
    *("number", "id", "spell", "file", "path", "trusted", "params", "arguments", "seed", "setup"),
    *("started", "ended", "status", "reason", "due", "error", "origin", "origin_path"),
    *("source", "result"),
)
_RUN = ", ".join(_COLUMNS)
_EFFECT = (
    *("number", "path", "name", "digest", "kind", "asked", "turn", "started", "seconds", "usage"),
    *("_args", "_lists", "_outcome"),
)

_CHAIN = """
    WITH RECURSIVE chain (before, item) AS (
        SELECT before, item FROM links WHERE digest = ?
        UNION ALL SELECT links.before, links.item FROM chain JOIN links ON digest = chain.before
    ) SELECT item FROM chain
"""

"""Read-only access to recorded runs.

    with Reader.open(project.journal_file) as reader:
        for run in reader.runs(limit=20):
            print(run.id, run.status, run.spell)
        run = reader.run("20261129-10")              # an id may be abbreviated
        for effect in reader.effects(run):           # leaves, in the order in which they ended
            print(effect.path, effect.name, effect.kind, effect.seconds)
            effect.args, effect.outcome              # read from the file on access

Composite effects have notes only. The path of a leaf shows which composite it belongs to: `0.2/5/1`
is the second effect performed on behalf of `0.2/5`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from llmspell.effect_paths import is_beside
from llmspell.errors import JournalError, LlmspellError, RunNotFound
from llmspell.journal.database import open_to_read, schema
from llmspell.journal.locks import is_running
from llmspell.journal.payments import Payment
from llmspell.journal.recorded_calls import RecordedCall
from llmspell.journal.recording import is_id
from llmspell.journal.stored_values import Stored, bytes_of, content_of, digest, digest_of, text_in
from llmspell.journal.validation import (
    InvalidRecord,
    answer_of,
    arguments_of,
    error_of,
    heads_of,
    invalid_column,
    setup_of,
    table_of,
    usage_of,
    value_of,
)
from llmspell.providers.deserialization import usage_from_plain
from llmspell.providers.messages import Usage
from llmspell.values import Value, text_or_bytes

T = TypeVar("T")

Status = Literal["running", "suspended", "completed", "failed", "killed"]
Kind = Literal["ok", "error", "cancelled"]


@dataclass(frozen=True)
class RecordedRun:
    """A recorded run.

    Attributes:
        number: Its number in this file.
        id: Its public id.
        spell: The spell's name; `file` is its file as displayed, `path` its location or None.
        trusted: Whether the spell is the user's own.
        params: Its parameters; `arguments` is what `arg` held.
        seed: The seed of its random numbers.
        setup: What it ran with: {limits, budget, grants, denied, approvals, tools, versions}.
        started: When it began; `ended` is when it ended or was suspended, or None. Seconds since
            1970.
        status: `killed` if its process is gone and it neither ended nor was suspended.
        reason: Why it was suspended, in a word: "interrupted", "limit", "sleep", …
        due: When it is to be resumed automatically, or None.
        error: {code, message, where, hint, details} of what ended or suspended it, or None.
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
        """The names of the tools it has called."""
        calls = [e for e in self._reader.effects(self) if e.name == "tool.call"]
        return {str(effect.args.get("name")) for effect in calls}

    @cached_property
    def source(self) -> bytes:
        """The source of the spell."""
        return self._reader.blob(self._source, self.id)

    @cached_property
    def result(self) -> Value:
        """What the spell returned."""
        if self._result is None:
            return None
        return self._reader.read(value_of, "runs.result", self.id, self._result)


@dataclass(frozen=True)
class RecordedEffect:
    """A leaf that has ended.

    Attributes:
        number: Its place in the order in which leaves ended, from 1.
        path: Its place in the tree of tasks and effects.
        name: The effect's name, such as `model.request`.
        digest: Covers its name and arguments.
        kind: How it ended. `cancelled` means that nobody waited for it any more.
        asked: The number of the last leaf that had ended when this one was requested.
        turn: The number of turns Lua had had when it ended.
        started: Seconds since 1970; `seconds` is how long it took.
        usage: What the requested `model` used: {model, input_tokens, output_tokens, …}, or the most
            it may have used if `unanswered`; None if the leaf is not a model request.
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
    _run: str = field(repr=False)
    _reader: Reader = field(repr=False, compare=False)

    @cached_property
    def payment(self) -> Payment | None:
        """What was paid for it; None if it was free of charge."""
        if self.usage is None:
            return None
        model = self.usage.get("model") or self.args.get("model")
        return self._reader.payment(0, self.path, model, self.usage, self._run)

    @property
    def args(self) -> dict[str, Value]:
        return self._reader.arguments(self.name, self._args, self._lists, self.digest, self._run)

    @cached_property
    def outcome(self) -> Value:
        """The result; for an error, {code, message, details, hint, retryable}."""
        made = error_of if self.kind == "error" else value_of
        return self._reader.read(made, f"the outcome at {self.path}", self._run, self._outcome)


@dataclass(frozen=True)
class BegunEffect:
    """A leaf that had begun when the run stopped: a wait, or one that may or may not have been
    done.

    Attributes:
        due: When a sleep ends, or when waiting for a person becomes pointless.
        answer: A person's reply; None if there is none yet.
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
    """The note on a composite effect, such as `agent.run`.

    Attributes:
        label: What it was about.
        kind: As for a leaf, or `unfinished` if the run stopped in the middle of it.
        started: Seconds since 1970; `seconds` is how long it took.
    """

    path: str
    name: str
    label: str
    kind: Literal["ok", "error", "cancelled", "unfinished"]
    started: float
    seconds: float


class Turn:
    """What Lua was told at a turn where something else would have been possible.

    Attributes:
        number: The number of the turn.
        under: The path of the effect that runs the child, with a slash; empty for the run itself.
        batch: The names of the messages, in order.
    """

    __slots__ = ("batch", "number", "under")

    def __init__(self, number: int, under: str, batch: str) -> None:
        self.number, self.under, self.batch = number, under, batch


class Reader(AbstractContextManager["Reader"]):
    """An open journal. Every method raises JournalError if the file is damaged."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path
        self._texts: dict[bytes, str] = {}
        self._remembered = 0  # characters in `_texts`

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing journal.

        Raises:
            JournalError: It is missing, damaged, another program's, or of a later version.
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

    def runs(
        self,
        *,
        limit: int = -1,
        spell: str | None = None,
        damaged: Callable[[JournalError], None] | None = None,
    ) -> list[RecordedRun]:
        """Return the runs, newest first, optionally those of one spell only.

        `damaged` is called with the error of each run that cannot be read and is left out; without
        it, the error is raised.
        """
        rows = self._rows(
            f"SELECT {_RUN} FROM runs WHERE spell = ?1 OR ?1 IS NULL ORDER BY number DESC LIMIT ?2",  # noqa: S608 - constants
            (spell, limit),
        )
        runs = []
        for row in rows:
            try:
                runs.append(self._run(row))
            except JournalError as error:
                if damaged is None:
                    raise
                damaged(error)
        return runs

    def run(self, id_: str) -> RecordedRun:
        """Return the run with an id or a unique beginning of one; `last` is the newest.

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
        ids = [str(row[1]) for row in found]
        if len(found) > 1 and ids[0] != id_:
            hint = f"write more of it: {', '.join(ids)}"
            raise RunNotFound(f"several runs begin with {id_}", hint=hint)
        return self._run(found[0])

    def effects(self, run: RecordedRun, *, beside: bool = False) -> list[RecordedEffect]:
        """Return the leaves of a run, in the order in which they ended.

        With `beside`, the result includes what host code decided or learned in the middle of an
        effect, such as the decision of a Python hook. A mark in the path tells them apart: `0/5!0`.
        """
        sql = f"SELECT {', '.join(_EFFECT)} FROM effects WHERE run = ? ORDER BY number"  # noqa: S608 - constants
        rows = self._rows(sql, (run.number,))
        effects = [self._effect(row, run.id) for row in rows]
        return [effect for effect in effects if beside or not is_beside(effect.path)]

    def begun(self, run: RecordedRun) -> list[BegunEffect]:
        """Return the leaves that have begun and not ended, where that was recorded."""
        sql = f"SELECT {', '.join(_BEGUN)} FROM begun WHERE run = ?"  # noqa: S608 - constants
        return [self._begun(row, run.id) for row in self._rows(sql, (run.number,))]

    def payments(self, run: RecordedRun) -> list[Payment]:
        """Return the payments for requests that belong to no recorded leaf."""
        sql = f"SELECT {', '.join(_PAYMENT)} FROM payments WHERE run = ? ORDER BY number"  # noqa: S608 - constants
        found = []
        for row in self._rows(sql, (run.number,)):
            values = self._checked("payments", _PAYMENT, row, run.id)
            number, path = values["number"], values["path"]
            usage = self.read(usage_of, f"the usage at {path}", run.id, values["usage"]) or {}
            if not values["answered"]:
                usage = usage | {"unanswered": True}
            found.append(self.payment(number, path, values["model"], usage, run.id))
        return found

    def payment(
        self, number: int, path: str, model: Value, usage: dict[str, Value], run: str
    ) -> Payment:
        """Return the payment that a stored usage represents."""
        counted = {name: usage[name] for name in _COUNTED if name in usage}
        try:
            used = usage_from_plain(counted)
        except LlmspellError:
            raise self._damaged(f"the usage at {path} cannot be read", run) from None
        return Payment(number, path, str(model), used, answered="unanswered" not in usage)

    def composites(self, run: RecordedRun) -> list[CompositeEffect]:
        """Return the notes on composite effects, in the order in which they began."""
        sql = f"SELECT {', '.join(_COMPOSITE)} FROM composites WHERE run = ? ORDER BY started"  # noqa: S608 - constants
        rows = self._rows(sql, (run.number,))
        checked = [self._checked("composites", _COMPOSITE, row, run.id) for row in rows]
        return [CompositeEffect(**values) for values in checked]

    def turns(self, run: RecordedRun) -> list[Turn]:
        """Return what Lua was told at turns where something else would have been possible."""
        sql = f"SELECT {', '.join(_TURN)} FROM turns WHERE run = ? ORDER BY turn"  # noqa: S608 - constants
        rows = [
            self._checked("turns", _TURN, row, run.id) for row in self._rows(sql, (run.number,))
        ]
        return [Turn(row["turn"], row["under"], row["batch"]) for row in rows]

    def calls(self, run: RecordedRun) -> list[RecordedCall]:
        """Return the calls to functions of the spell that leaves made."""
        sql = f"SELECT {', '.join(_CALL)} FROM calls WHERE run = ? ORDER BY turn"  # noqa: S608 - constants
        rows = [
            self._checked("calls", _CALL, row, run.id) for row in self._rows(sql, (run.number,))
        ]
        return [
            RecordedCall(row["turn"], row["path"], row["function"], row["args"], run.id, self)
            for row in rows
        ]

    def check(self, run: RecordedRun) -> None:
        """Read everything that is recorded of a run. Raises JournalError."""
        _ = run.source, run.result, self.begun(run), self.composites(run), self.turns(run)
        self.payments(run)
        _ = [call.args for call in self.calls(run)]
        for effect in self.effects(run, beside=True):
            _ = effect.args, effect.outcome

    def _effect(self, row: tuple[Any, ...], run: str) -> RecordedEffect:
        values = self._checked("effects", _EFFECT, row, run)
        usage = values.pop("usage")
        if usage is not None:
            usage = self.read(usage_of, f"the usage at {values['path']}", run, usage)
        for name in ("args", "lists", "outcome"):
            values[f"_{name}"] = values.pop(name)
        return RecordedEffect(**values, usage=usage, _run=run, _reader=self)

    def _begun(self, row: tuple[Any, ...], run: str) -> BegunEffect:
        values = self._checked("begun", _BEGUN, row, run)
        name, path, answer = values["name"], values["path"], values["answer"]
        stored = values["args"], values.pop("lists"), values["digest"]
        values["args"] = self.arguments(name, *stored, run)
        if answer is not None:
            said = partial(answer_of, name)
            values["answer"] = self.read(said, f"the answer at {path}", run, answer)
        return BegunEffect(**values)

    def text(self, stored: Stored, run: str) -> str:
        if isinstance(stored, str):
            return stored
        found = self._texts.get(stored)
        if found is None:
            try:
                found = text_in(self.blob(stored, run))
            except UnicodeDecodeError:
                raise self._damaged(f"the value {stored.hex()} is no text", run) from None
            if self._remembered + len(found) < _REMEMBERED:
                self._remembered += len(found)
                self._texts[stored] = found
        return found

    def blob(self, name: bytes, run: str) -> bytes:
        row = self._rows("SELECT packed, data FROM blobs WHERE digest = ?", (name,))
        if not row:
            raise self._damaged(f"the value {name.hex()} is missing", run)
        content = content_of(name, *row[0])
        if content is None:
            raise self._damaged(f"the value {name.hex()} is another one", run)
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
            raise self._damaged(f"the arguments of {name} are not those of its digest", run)
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
                raise self._damaged(f"the link {link.hex()} is another one", run)
            items.append(self.read(value_of, f"the link {link.hex()}", run, text))
            wanted = before
        if wanted:
            raise self._damaged(f"the link {wanted.hex()} is missing", run)
        return items[::-1]

    def _run(self, row: tuple[Any, ...]) -> RecordedRun:
        number, id_ = row[:2]
        run = id_ if is_id(id_) else f"number {number}"
        values = self._checked("runs", _COLUMNS, row, run)
        for name, made in _MADE.items():
            if values[name] is not None:
                values[name] = self.read(made, f"runs.{name}", run, values[name])
        values["trusted"] = bool(values["trusted"])
        if values["status"] == "running" and not is_running(self._path, run):
            values["status"] = "killed"
        source, result = values.pop("source"), values.pop("result")
        return RecordedRun(**values, _source=source, _result=result, _reader=self)

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
        self._db.text_factory = (
            text_or_bytes  # so that the check of the columns names the damaged one
        )
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


def due_runs(
    reader: Reader, damaged: Callable[[JournalError], None] | None = None
) -> list[RecordedRun]:
    """Return the suspended runs whose time to be resumed has come, the longest overdue first.

    `damaged` is called with the error of each run that cannot be read; without it, the error is
    raised.
    """
    due = filter(is_due, reader.runs(damaged=damaged))
    return sorted(due, key=lambda run: run.due or 0.0)


def is_due(run: RecordedRun) -> bool:
    """Return whether a run is suspended until a time that has come."""
    return run.status == "suspended" and bool(run.due) and (run.due or 0.0) <= time.time()


_REMEMBERED = 64 << 20  # characters

_COLUMNS = (
    *("number", "id", "spell", "file", "path", "trusted", "params", "arguments", "seed", "setup"),
    *("started", "ended", "status", "reason", "due", "error", "origin", "origin_path"),
    *("source", "result"),
)
_RUN = ", ".join(_COLUMNS)
_MADE: dict[str, Callable[[str], Any]] = {
    "params": table_of,
    "arguments": arguments_of,
    "setup": setup_of,
    "error": error_of,
}
_EFFECT = (
    *("number", "path", "name", "digest", "kind", "asked", "turn", "started", "seconds", "usage"),
    *("args", "lists", "outcome"),
)
_BEGUN = ("path", "name", "digest", "args", "lists", "started", "due", "answer")
_PAYMENT = ("number", "path", "model", "usage", "answered")
_COUNTED = [field.name for field in fields(Usage)]
_COMPOSITE = ("path", "name", "label", "kind", "started", "seconds")
_TURN = ("turn", "under", "batch")
_CALL = ("turn", "path", "function", "args")

# UNION, not UNION ALL: it also ends if damage has made the chain a cycle.
_CHAIN = """
    WITH RECURSIVE chain (digest, before, item) AS (
        SELECT digest, before, item FROM links WHERE digest = ?
        UNION SELECT links.digest, links.before, links.item
        FROM chain JOIN links ON links.digest = chain.before
    ) SELECT digest, before, item FROM chain
"""

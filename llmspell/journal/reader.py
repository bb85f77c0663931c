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

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Self

from llmspell.effect_paths import is_beside
from llmspell.errors import JournalError, LlmspellError, RunNotFound
from llmspell.journal.database import open_to_read
from llmspell.journal.locks import is_running
from llmspell.journal.payments import Payment
from llmspell.journal.recorded_calls import RecordedCall
from llmspell.journal.records import (
    BegunEffect,
    CompositeEffect,
    Delivered,
    RecordedEffect,
    RecordedRun,
    Turn,
    is_due,
)
from llmspell.journal.run_ids import is_id
from llmspell.journal.stored_reader import StoredReader
from llmspell.journal.validation import (
    answer_of,
    arguments_of,
    error_of,
    part_of,
    setup_of,
    table_of,
    usage_of,
)
from llmspell.providers.deserialization import usage_from_plain
from llmspell.providers.messages import Usage
from llmspell.values import Value, encodable

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
_DELIVERED = ("path", "number", "asked", "turn", "part")
_COMPOSITE = ("path", "name", "label", "kind", "started", "seconds", "begun")
_TURN = ("turn", "under", "batch")
_CALL = ("turn", "path", "function", "args")


class Reader(StoredReader, AbstractContextManager["Reader"]):
    """An open journal. Every method raises JournalError if the file is damaged."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing journal.

        Raises:
            JournalError: It is missing, damaged, another program's, or of a later version.
        """
        return cls(open_to_read(path), path)

    def __exit__(self, *_: object) -> None:
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
        name = spell and encodable(spell)
        rows = self._rows(
            f"SELECT {_RUN} FROM runs WHERE spell = ? OR ? IS NULL ORDER BY number DESC LIMIT ?",  # noqa: S608 - constants
            (name, name, limit),
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
            f"SELECT {_RUN} FROM runs WHERE id = ? OR substr(id, 1, length(?)) = ?"  # noqa: S608 - constants
            " ORDER BY id <> ?, number DESC LIMIT 9",
            (encodable(id_),) * 4,
        )
        if not found or not id_:
            hint = "list them with: llmspell runs"
            raise RunNotFound(f"no run {id_} in {self._path}", hint=hint)
        ids = [str(row[1]) for row in found]
        if len(found) > 1 and ids[0] != id_:
            hint = f"give more of it: {', '.join(ids)}"
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

    def delivered(self, run: RecordedRun) -> dict[str, Delivered]:
        """Return what the spell had got of unfinished answers, by path of the leaf."""
        sql = f"SELECT {', '.join(_DELIVERED)} FROM delivered WHERE run = ? ORDER BY path, number"  # noqa: S608 - constants
        found: dict[str, Delivered] = {}
        for row in self._rows(sql, (run.number,)):
            values = self._checked("delivered", _DELIVERED, row, run.id)
            what = f"a part of the answer at {values['path']}"
            part = self.read(part_of, what, run.id, values["part"])
            answer = found.setdefault(values["path"], Delivered(values["asked"], [], []))
            answer.parts.append(part)
            if values["turn"] is not None:
                answer.last_turns.append(values["turn"])
        return found

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
        _ = self.payments(run), self.delivered(run)
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


def due_runs(
    reader: Reader, damaged: Callable[[JournalError], None] | None = None
) -> list[RecordedRun]:
    """Return the suspended runs whose time to be resumed has come, the longest overdue first.

    `damaged` is called with the error of each run that cannot be read; without it, the error is
    raised.
    """
    due = filter(is_due, reader.runs(damaged=damaged))
    return sorted(due, key=lambda run: run.due or 0.0)

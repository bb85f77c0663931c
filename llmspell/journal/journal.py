"""The journal of a project: begins records of runs, and takes them up again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmspell.errors import ReplayError
from llmspell.frozen import Frozen
from llmspell.journal.ledger import Ledger
from llmspell.journal.locks import RunLock
from llmspell.journal.recording import Judge, Recording, Unfinished, new_id
from llmspell.journal.secrets import Redaction
from llmspell.journal.texts import Row, stored, stored_bytes, text_of
from llmspell.journal.writer import Writer
from llmspell.spell import Spell
from llmspell.values import Value, plain

if TYPE_CHECKING:
    from llmspell.journal.reader import RecordedEffect, RecordedRun

_RUN = """
    INSERT INTO runs (id, spell, file, path, source, trusted, params, arguments, seed, setup,
        started, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running')
"""
_GOES_ON = """
    UPDATE runs SET status = 'running', reason = NULL, due = NULL, source = ?, setup = ?
    WHERE number = ?
"""


class Beginning(Frozen):
    """What a run begins with.

    Attributes:
        setup: What else matters to who resumes it, as plain values: grants, limits, versions.
    """

    spell: str
    file: str
    path: Path | None
    source: bytes
    trusted: bool
    params: dict[str, Value]
    arguments: list[str]
    setup: dict[str, Any]


class Changed(Frozen):
    """What a fork is to have otherwise than its origin.

    Attributes:
        params: All its parameters, by name.
        models: The model to be asked in place of another one, by the name of that.
        spell: The spell as it is to go on.
    """

    params: Mapping[str, Value]
    models: Mapping[str, str] = field(default_factory=dict)
    spell: Spell | None = None


class Journal:
    """Records runs in one file."""

    def __init__(self, path: Path, *, synchronous: str = "NORMAL", redaction: Redaction) -> None:
        self.path = path.absolute()
        self._writer = Writer(path, synchronous)
        self._redaction = redaction

    @property
    def writable(self) -> bool:
        """Whether there is a file that can be written, or one can be made."""
        if self.path.exists():
            return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
        folder = next(parent for parent in self.path.parents if parent.exists())
        return folder.is_dir() and os.access(folder, os.W_OK)

    def begin(self, beginning: Beginning) -> Recording:
        """Begin the record of a run. Raises JournalError."""
        id_ = new_id()
        seed = int.from_bytes(os.urandom(4)) >> 1
        text = self._redaction.text_of
        rows: list[Row] = []
        source = stored_bytes(self._redaction.data(beginning.source), rows)
        spell = (beginning.spell, beginning.file, beginning.path and str(beginning.path))
        given = (
            text(beginning.params),
            text(beginning.arguments),
            seed,
            stored(text_of(plain(beginning.setup)), rows),
        )
        what = (id_, *spell, source, beginning.trusted, *given, time.time())
        db = self._writer.db
        lock = RunLock(self.path, id_)
        try:
            self._writer.commit([*rows, (_RUN, what)])
        except BaseException:
            lock.release()
            raise
        number = db.execute("SELECT number FROM runs WHERE id = ?", (id_,)).fetchone()[0]
        ledger = Ledger(self._writer, lock, number)
        return Recording(id_, seed, text_of=text, ledger=ledger)

    def find(self, id_: str) -> RecordedRun:
        """The run of an id, or of the beginning of one. Raises RunNotFound and JournalError."""
        from llmspell.journal.reader import Reader

        with Reader.open(self.path) as reader:
            run = reader.run(id_)
            _ = run.source, run.result  # read while the file is open
            if run.setup["tools"]:
                _ = run.tools
            return run

    def resume(self, run: RecordedRun, beginning: Beginning, judge: Judge) -> Recording:
        """Take a run up again; what was recorded is answered, then it goes on.

        `beginning` is what it goes on with: the spell may have been edited, limits raised. `judge`
        decides about what had begun when the run stopped.

        The leaf whose error ended a run that failed is done again.

        Raises:
            RunBusy: Another process has it.
            ReplayError: It has ended.
            JournalError: The file is damaged, or cannot be written.
        """
        from llmspell.journal.past import Past
        from llmspell.journal.reader import Reader

        lock = RunLock(self.path, run.id)
        reader = Reader.open(self.path)
        try:
            run = reader.run(run.id)  # another process may have gone on with it meanwhile
            _check_unended(run)
            effects = reader.effects(run, beside=True)
            retried = _failed_last(effects) if run.status == "failed" else []
            begun = {begun.path: begun for begun in reader.begun(run)}
            self._go_on(run, beginning, retried)
        except BaseException:
            reader.close()
            lock.release()
            raise
        ended = effects[-1].number if effects else 0
        past = Past(run, effects[: len(effects) - len(retried)], reader)
        return Recording(
            run.id,
            run.seed,
            text_of=self._redaction.text_of,
            ledger=Ledger(self._writer, lock, run.number, ended=ended),
            past=past,
            unfinished=Unfinished(begun, judge),
        )

    def fork(self, run: RecordedRun, at: str, change: Changed) -> str:
        """A new run which begins with what another one did before a step; its id.

        It is suspended there, to be resumed.

        Raises:
            ReplayError: Nothing was recorded at that path.
            JournalError: The file is damaged, or cannot be written.
        """
        from llmspell.journal.forking import Change, copy_before, step_of
        from llmspell.journal.reader import Reader

        with Reader.open(self.path) as reader:
            step = step_of(reader.effects(run, beside=True), at, run.id)
        rows: list[Row] = []
        spell: dict[str, Any] = {}
        if change.spell is not None:
            source = stored_bytes(self._redaction.data(change.spell.source), rows)
            path = change.spell.path and str(change.spell.path)
            spell = {"source": source, "path": path, "file": change.spell.file}
        text = self._redaction.text_of
        params = text(dict(change.params))
        setup = text_of(run.setup | {"models": run.setup.get("models", {}) | change.models})
        id_ = new_id()
        copied = Change(params, setup, spell, tuple(rows))
        copy_before(self._writer.db, self.path, run, step, id_, copied)
        return id_

    def replay(self, run: RecordedRun, until: str | None = None) -> Recording:
        """Do a run again from its record alone, to its end or until a leaf. Raises JournalError."""
        from llmspell.journal.past import Past
        from llmspell.journal.reader import Reader

        reader = Reader.open(self.path)
        try:
            past = Past(run, reader.effects(run, beside=True), reader, until=until)
        except BaseException:
            reader.close()
            raise
        return Recording(run.id, run.seed, text_of=self._redaction.text_of, ledger=None, past=past)

    def _go_on(
        self, run: RecordedRun, beginning: Beginning, retried: Sequence[RecordedEffect]
    ) -> None:
        """Write down that it runs, and with what, and forget leaves that are done again."""
        rows: list[Row] = []
        text = stored_bytes(self._redaction.data(beginning.source), rows)
        setup = stored(text_of(plain(run.setup | beginning.setup)), rows)
        rows.append((_GOES_ON, (text, setup, run.number)))
        forget = "DELETE FROM effects WHERE run = ? AND number = ?"
        rows += [(forget, (run.number, effect.number)) for effect in retried]
        self._writer.commit(rows)

    def tell(self, run: RecordedRun, path: str, answer: Value) -> bool:
        """Keep what a person says of a leaf that waits; whether it still does.

        Raises:
            RunBusy: A process is at the run.
            JournalError: The file is damaged, or cannot be written.
        """
        from llmspell.journal.reader import Reader

        lock = RunLock(self.path, run.id)
        try:
            with Reader.open(self.path) as reader:
                waits = any(begun.path == path for begun in reader.begun(run))
            said = "UPDATE begun SET answer = ? WHERE run = ? AND path = ?"
            self._writer.commit([(said, (self._redaction.text_of(answer), run.number, path))])
        finally:
            lock.release()
        return waits

    def close(self) -> None:
        self._writer.close()


def _check_unended(run: RecordedRun) -> None:
    if run.status == "completed":
        hint = f"see it again with: llmspell replay {run.id}"
        raise ReplayError(f"the run {run.id} has ended", hint=hint)


def _failed_last(effects: Sequence[RecordedEffect]) -> list[RecordedEffect]:
    """The leaves that ended last, all with an error."""
    failed: list[RecordedEffect] = []
    for effect in reversed(effects):
        if effect.kind != "error":
            break
        failed.append(effect)
    return failed

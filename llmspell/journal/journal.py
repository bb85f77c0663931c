"""A project's journal, which starts the records of runs."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmspell.errors import RunBusy
from llmspell.frozen import Frozen
from llmspell.journal.ledger import Ledger
from llmspell.journal.locks import RunLock
from llmspell.journal.recording import Recording
from llmspell.journal.run_ids import new_id, new_seed
from llmspell.journal.secrets import Redaction
from llmspell.journal.stored_values import Row, stored, stored_bytes, text_of
from llmspell.journal.writer import Writer
from llmspell.values import Value, plain

_RUN = """
    INSERT INTO runs (id, spell, file, path, source, trusted, params, arguments, seed, setup,
        started, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running')
"""


class Beginning(Frozen):
    """What a run starts with.

    Attributes:
        setup: What else is needed to resume it, as plain values: grants, limits, versions.
    """

    spell: str
    file: str
    path: Path | None
    source: bytes
    trusted: bool
    params: dict[str, Value]
    arguments: list[str]
    setup: dict[str, Any]


class Journal:
    """Records runs in one file; rerun.py resumes and replays them, forking.py forks them.

    Attributes:
        path: The file.
        writer: Writes to it.
        redaction: Keeps secrets out of it.
    """

    def __init__(self, path: Path, *, synchronous: str = "NORMAL", redaction: Redaction) -> None:
        self.path = path.absolute()
        self.writer = Writer(path, synchronous)
        self.redaction = redaction

    @property
    def writable(self) -> bool:
        """Whether the file can be written, or created if it does not exist."""
        if self.path.exists():
            return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
        folder = next(parent for parent in self.path.parents if parent.exists())
        return folder.is_dir() and os.access(folder, os.W_OK)

    def begin(self, beginning: Beginning) -> Recording:
        """Start the record of a run. Raises JournalError."""
        id_, lock = self._take_id()
        try:
            return self._begin(beginning, id_, lock)
        except BaseException:
            lock.release()
            raise

    def _take_id(self) -> tuple[str, RunLock]:
        """Return an id that no run has, and its lock. Raises JournalError."""
        while True:
            id_ = new_id()
            with suppress(RunBusy):
                lock = RunLock(self.path, id_)
                try:
                    is_new = not self.writer.finds("SELECT 1 FROM runs WHERE id = ?", (id_,))
                except BaseException:
                    lock.release()
                    raise
                if is_new:
                    return id_, lock
                lock.release()

    def _begin(self, beginning: Beginning, id_: str, lock: RunLock) -> Recording:
        seed = new_seed()
        text = self.redaction.text_of
        rows: list[Row] = []
        source = stored_bytes(self.redaction.data(beginning.source), rows)
        spell = (beginning.spell, beginning.file, beginning.path and str(beginning.path))
        given = (
            text(beginning.params),
            text(beginning.arguments),
            seed,
            stored(text_of(plain(beginning.setup)), rows),
        )
        what = (id_, *spell, source, beginning.trusted, *given, time.time())
        db = self.writer.db
        self.writer.commit([*rows, (_RUN, what)])
        number = db.execute("SELECT number FROM runs WHERE id = ?", (id_,)).fetchone()[0]
        ledger = Ledger(self.writer, lock, number)
        return Recording(id_, seed, text_of=text, ledger=ledger)

    def close(self) -> None:
        self.writer.close()

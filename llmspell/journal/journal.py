"""The journal of a project: begins records of runs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmspell.journal.locks import RunLock
from llmspell.journal.recording import Recording, new_id
from llmspell.journal.secrets import Redaction
from llmspell.journal.texts import Row, stored_bytes, text_of
from llmspell.journal.writer import Writer
from llmspell.values import Value

_RUN = """
    INSERT INTO runs (id, spell, file, path, source, trusted, params, arguments, seed, setup,
        started, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running')
"""


@dataclass(frozen=True)
class Beginning:
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
        rows: list[Row] = []
        source = stored_bytes(self._redaction.data(beginning.source), rows)
        spell = (beginning.spell, beginning.file, beginning.path and str(beginning.path))
        given = (
            self._redaction.text_of(beginning.params),
            self._redaction.text_of(beginning.arguments),
        )
        setup = text_of(beginning.setup)
        what = (id_, *spell, source, beginning.trusted, *given, seed, setup, time.time())
        db = self._writer.db
        lock = RunLock(self.path, id_)
        try:
            self._writer.commit([*rows, (_RUN, what)])
        except BaseException:
            lock.release()
            raise
        number = db.execute("SELECT number FROM runs WHERE id = ?", (id_,)).fetchone()[0]
        return Recording(self._writer, lock, self._redaction, number=number, id=id_, seed=seed)

    def close(self) -> None:
        self._writer.close()

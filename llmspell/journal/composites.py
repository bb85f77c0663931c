"""Notes on composite effects, for people who inspect a run. Replays do not need them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

from llmspell.concurrency import Answer, Followed
from llmspell.effects import Effect, Perform
from llmspell.journal.labels import label_of
from llmspell.journal.writer import Writer
from llmspell.values import Value

_BEGUN = """
    INSERT INTO composites (run, path, name, label, kind, started, seconds)
    VALUES (?, ?, ?, ?, 'unfinished', ?, 0)
    ON CONFLICT (run, path) DO UPDATE SET begun = begun + 1 WHERE kind = 'unfinished'
"""
_ENDED = """
    UPDATE composites SET kind = ?, seconds = MAX(?, ? - started)
    WHERE run = ? AND path = ? AND kind = 'unfinished'
"""


Unless = Callable[[Callable[[], None], BaseException], None]


class Composites:
    """Notes when a composite began and how it ended; a note is written with the next commit."""

    def __init__(self, writer: Writer, run: int, unless_it_stops: Unless) -> None:
        """Create the notes of a run.

        Args:
            writer: Writes them.
            run: The run's number in the journal.
            unless_it_stops: Calls a function unless the run stops, perhaps with that error, in order
                to be resumed.
        """
        self._writer, self._run, self._unless_it_stops = writer, run, unless_it_stops

    def perform(self, effect: Effect, call: Perform) -> Answer[Value]:
        note = (self._run, effect.path, effect.name, label_of(effect.name, effect.args))
        self._writer.add([(_BEGUN, (*note, time.time()))])
        begin = time.perf_counter()
        try:
            result = call(effect)
        except Exception as error:
            self._failed(effect.path, begin, error)
            raise
        if hasattr(result, "__await__"):
            return Followed(result, partial(self._awaited, effect.path, begin))
        self._ended(effect.path, "ok", begin)
        return result

    async def _awaited(self, path: str, begin: float, answer: Awaitable[Value]) -> Value:
        try:
            result = await answer
        except BaseException as error:
            self._failed(path, begin, error)
            raise
        self._ended(path, "ok", begin)
        return result

    def _failed(self, path: str, begin: float, error: BaseException) -> None:
        kind = "error" if isinstance(error, Exception) else "cancelled"
        self._unless_it_stops(partial(self._ended, path, kind, begin), error)

    def _ended(self, path: str, kind: str, begin: float) -> None:
        # Of one that was begun before the run stopped, the time since then counts.
        seconds = time.perf_counter() - begin
        self._writer.add([(_ENDED, (kind, seconds, time.time(), self._run, path))])

"""A run that is recorded."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

from llmspell.concurrency import Answer
from llmspell.effects import Effect, Perform
from llmspell.errors import EffectError, InvalidResult, LimitExceeded, LlmspellError, ReplayError
from llmspell.journal.composites import Composites
from llmspell.journal.locks import RunLock
from llmspell.journal.secrets import Redaction
from llmspell.journal.texts import BLOB, LINK, Arguments, Row, stored
from llmspell.journal.writer import Writer
from llmspell.values import NotPlain, Value

log = logging.getLogger("llmspell.journal")

_EFFECT = "INSERT INTO effects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BEGUN = "INSERT OR REPLACE INTO begun VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_ENDED = "DELETE FROM begun WHERE run = ? AND path = ?"
_TURN = "INSERT INTO turns VALUES (?, ?, ?, ?)"


def new_id() -> str:
    """An id for a run: when it began, and some chance."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"


class End:
    """What a run came to: what it returned."""

    result: Value = None


# What stops a run so that it can be resumed; other errors end it.
_STOPS = (LimitExceeded, ReplayError)


class Asked:
    """A leaf that somebody asked for: what is known of it before it has ended."""

    __slots__ = ("after", "arguments", "begin", "begun", "name", "path", "started")

    def __init__(self, path: str, name: str, arguments: Arguments, after: int) -> None:
        self.path, self.name, self.arguments, self.after = path, name, arguments, after
        self.begun = False
        self.started, self.begin = time.time(), time.perf_counter()


class Recording:
    """What is recorded of one run, and of the runs on its behalf.

    Attributes:
        id: The run's.
        composites: Performs, and notes, effects that are made of others.
        seed: What chance in it comes from.
        turn: How many turns Lua has had.
        leaving: Whether the run stops to be resumed, so that leaves which are cancelled have not
            ended; set by whoever drives it.
    """

    def __init__(
        self,
        writer: Writer,
        lock: RunLock,
        redaction: Redaction,
        *,
        number: int,
        id: str,  # noqa: A002 - it is the id
        seed: int,
    ) -> None:
        self.id, self.seed, self.turn = id, seed, 0
        self.leaving: Callable[[], bool] = lambda: False
        self._writer, self._lock, self._number = writer, lock, number
        self.composites = Composites(writer, number, lambda: self.leaving())  # noqa: PLW0108 - it is set later
        self._text_of = redaction.text_of
        self._ended = 0
        self._known: set[bytes] = set()

    def seed_of(self, path: str) -> int:
        """The seed of a run on behalf of the effect of that path."""
        made = blake2b(f"{self.seed}:{path}".encode(), digest_size=4).digest()
        return int.from_bytes(made) >> 1

    def leaf(self, effect: Effect, call: Perform, *, again: bool) -> Answer[Value]:
        """Perform a leaf and record what comes of it, before anyone sees that.

        Args:
            effect: The leaf.
            call: Performs it.
            again: Whether it may be performed again should nobody know whether it was.

        Raises:
            JournalError: It cannot be recorded.
        """
        asked = self._asked(effect)
        if not again:
            self._begin(asked)
        try:
            result = call(effect)
        except Exception as error:
            self._failed(asked, error)
            raise
        if hasattr(result, "__await__"):
            return _Awaited(self, asked, result)
        self._succeeded(asked, result)
        return result

    async def finished(self, asked: Asked, answer: Awaitable[Value]) -> Value:
        """Await a leaf, and record what comes of it."""
        try:
            result = await answer
        except asyncio.CancelledError:
            self.cancelled(asked)
            raise
        except Exception as error:
            self._failed(asked, error)
            raise
        self._succeeded(asked, result)
        return result

    def cancelled(self, asked: Asked) -> None:
        """Nobody waits for a leaf any more, unless that is because the run stops."""
        if not self.leaving():
            self._end(asked, "cancelled", "null")

    def turned(self, under: str, batch: str | None) -> None:
        """Lua has a turn; `batch` says what it is told, if it could have been told something else."""
        self.turn += 1
        if batch is not None:
            self._writer.add([(_TURN, (self._number, self.turn, under, batch))])

    @contextmanager
    def to_its_end(self) -> Iterator[End]:
        """Record how the run ends that is executed meanwhile."""
        end = End()
        try:
            yield end
        except BaseException as error:
            stops = not isinstance(error, LlmspellError) or isinstance(error, _STOPS)
            self.finish("suspended" if stops else "failed", error=error)
            raise
        self.finish("completed", result=end.result)

    def finish(
        self, status: str, *, result: Value = None, error: BaseException | None = None
    ) -> None:
        """The run has ended, or stops to be resumed. Raises JournalError."""
        rows: list[Row] = []
        stored_result = stored(self._text_of(result), rows) if status == "completed" else None
        told = None if error is None else self._text_of(_told(error))
        ended = "UPDATE runs SET status = ?, ended = ?, result = ?, error = ? WHERE number = ?"
        rows.append((ended, (status, time.time(), stored_result, told, self._number)))
        try:
            self._writer.commit(rows)
        finally:
            self._lock.release()

    def _asked(self, effect: Effect) -> Asked:
        arguments = Arguments(effect.name, effect.args, self._text_of)
        return Asked(effect.path, effect.name, arguments, self._ended)

    def _begin(self, asked: Asked, due: float | None = None) -> None:
        arguments = asked.arguments
        rows = self._new(arguments.rows)
        what = (asked.name, arguments.digest, arguments.args, arguments.lists, asked.started, due)
        rows.append((_BEGUN, (self._number, asked.path, *what)))
        self._writer.commit(rows)
        asked.begun = True

    def _succeeded(self, asked: Asked, result: Value) -> None:
        try:
            text = self._text_of(result)
        except EffectError as error:
            raise self._failed(asked, _unplain(asked.name, result, error)) from error
        usage = result.get("usage") if type(result) is dict else None
        self._end(asked, "ok", text, json.dumps(usage) if type(usage) is dict else None)
        self._writer.commit()

    def _failed(self, asked: Asked, error: Exception) -> Exception:
        if isinstance(error, (LimitExceeded, ReplayError)):
            return error
        seen = error if isinstance(error, EffectError) else internal(asked.name, error)
        self._end(asked, "error", self._text_of(seen.as_table()))
        self._writer.commit()
        return error

    def _end(self, asked: Asked, kind: str, text: str, usage: str | None = None) -> None:
        self._ended += 1
        arguments = asked.arguments
        rows = list(arguments.rows)
        outcome = stored(text, rows)
        rows = self._new(rows)
        if asked.begun:
            rows.append((_ENDED, (self._number, asked.path)))
        what = (asked.path, asked.name, arguments.digest, arguments.args, arguments.lists)
        when = (asked.after, self.turn, asked.started, time.perf_counter() - asked.begin)
        values = (self._number, self._ended, *what, kind, outcome, *when, usage)
        rows.append((_EFFECT, values))
        self._writer.add(rows)

    def _new(self, rows: list[Row]) -> list[Row]:
        """Rows without what this run has stored already by content."""
        new = []
        for row in rows:
            name = row[1][0]
            if row[0] in (BLOB, LINK):
                if name in self._known:
                    continue
                self._known.add(name)
            new.append(row)
        return new


class _Awaited:
    """The answer of a leaf that takes time. Who does not await it closes it."""

    __slots__ = ("_answer", "_asked", "_begun", "_recording")

    def __init__(self, recording: Recording, asked: Asked, answer: Awaitable[Value]) -> None:
        self._recording, self._asked, self._answer = recording, asked, answer
        self._begun = False

    def __await__(self) -> Generator[Any, Any, Value]:
        self._begun = True
        return self._recording.finished(self._asked, self._answer).__await__()

    def close(self) -> None:
        if not self._begun:
            self._begun = True
            self._recording.cancelled(self._asked)
            if close := getattr(self._answer, "close", None):
                close()


def internal(name: str, error: Exception) -> EffectError:
    """What a spell sees of an exception that is none of ours."""
    return EffectError(f"{name} failed: internal error ({type(error).__name__})")


def _unplain(name: str, result: Value, error: EffectError) -> InvalidResult:
    from llmspell.lua.codec import encode

    try:
        encode(result)
    except NotPlain as why:
        return InvalidResult(f"{name}: {why}")
    return InvalidResult(f"{name}: {error}")


def _told(error: BaseException) -> dict[str, Value]:
    """What is kept of the error that ended a run."""
    if not isinstance(error, LlmspellError):
        return {"code": "interrupted", "message": str(error) or "interrupted"}
    told: dict[str, Value] = {"code": error.code, "message": error.message}
    for key in ("where", "hint", "details"):
        if value := getattr(error, key):
            told[key] = value
    return told

"""The records of a journal: runs, leaf effects, notes on composite effects, and turns.

`llmspell.journal.reader` reads them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from llmspell.journal.stored_values import Stored
from llmspell.journal.validation import error_of, value_of
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.payments import Payment
    from llmspell.journal.reader import Reader

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
        setup: What it ran with: {limits, budget, grants, denied, approvals, tools, chain, versions}.
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


class Delivered(NamedTuple):
    """What the spell had got of an answer when the run stopped.

    Attributes:
        asked: The number of the last leaf that had ended when it was requested.
        parts: The parts: lists of pieces.
        last_turns: The turns at which the spell was told the last of them, those after which no
            leaf was recorded.
    """

    asked: int
    parts: list[Value]
    last_turns: list[int]

    def settled(self) -> Delivered | None:
        """Return the parts before those; None if there are none."""
        parts = self.parts[: len(self.parts) - len(self.last_turns)]
        return Delivered(self.asked, parts, []) if parts else None


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
        begun: How often it was begun: again each time the run stopped in the middle of it and was
            resumed.
    """

    path: str
    name: str
    label: str
    kind: Literal["ok", "error", "cancelled", "unfinished"]
    started: float
    seconds: float
    begun: int


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


def is_due(run: RecordedRun) -> bool:
    """Return whether a run is suspended until a time that has come."""
    return run.status == "suspended" and bool(run.due) and (run.due or 0.0) <= time.time()

"""Middleware for tests that records effects, and makes some fail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from llmspell.approvals import matches, what_is
from llmspell.concurrency import Answer, Followed
from llmspell.effects import Effect, Handler, Perform, Run
from llmspell.errors import EffectError, ToolError
from llmspell.values import LuaFunction, Value


@dataclass
class EffectRecord:
    """An effect of a run.

    Attributes:
        what: Its name and target, as in approval rules: `tool.call:search`.
        args: The arguments as they were when it began.
        result: Its result, once it has one.
        error: The error it failed with, if it did.
    """

    path: str
    name: str
    what: str
    args: dict[str, Value]
    result: Value = None
    error: BaseException | None = None


class EffectRecorder:
    """Outermost middleware that records every effect in `done`, in the order they began."""

    name = "watching"
    before = "trace"

    def __init__(self) -> None:
        self.done: list[EffectRecord] = []

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        def watched(effect: Effect) -> Answer[Value]:
            done = EffectRecord(effect.path, effect.name, what_is(effect), _copied(effect.args))
            self.done.append(done)
            try:
                answer = call(effect)
            except BaseException as error:
                done.error = error
                raise
            if hasattr(answer, "__await__"):
                return Followed(answer, partial(_awaited, done))
            done.result = answer
            return answer

        return watched

    def of(self, rule: str) -> list[EffectRecord]:
        """Return those that match a rule: `tool.call`, `tool.call:search`, `state.*`."""
        return [done for done in self.done if matches(done.what, rule)]


async def _awaited(done: EffectRecord, answer: Any) -> Value:
    try:
        done.result = await answer
    except BaseException as error:
        done.error = error
        raise
    return done.result


def _copied(args: dict[str, Value]) -> dict[str, Value]:
    """Copy the arguments as they are now, except for functions of the spell."""
    return deepcopy(args, {id(f): f for f in args.values() if isinstance(f, LuaFunction)})


@dataclass(frozen=True)
class Fault:
    """An error to raise in place of performing an effect.

    Attributes:
        what: A rule for the effects: `tool.call:search`, `model.request`.
        error: The error they fail with.
        at: Which of the matching effects fail, counted from 1; all if empty.
    """

    what: str
    error: EffectError = field(default_factory=lambda: ToolError("the test makes this fail"))
    at: Sequence[int] = ()


class FaultInjection:
    """Innermost middleware that makes effects fail in place of calling their handler."""

    name = "failing"
    after = "deadline"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = [(fault, _Count()) for fault in faults]

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        if not self._faults:
            return call

        def failing(effect: Effect) -> Answer[Value]:
            what = what_is(effect)
            for fault, count in self._faults:
                if matches(what, fault.what):
                    count.number += 1
                    if not fault.at or count.number in fault.at:
                        raise fault.error
            return call(effect)

        return failing


class _Count:
    number = 0

"""What a test knows of a run: every effect of it, and what came of it."""

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
    """An effect that was asked for.

    Attributes:
        what: Its name and whom it is about, as rules of approval have it: `tool.call:search`.
        args: As they were when it began.
        result: What it gave, once it has.
        error: What it failed with, if it did.
    """

    path: str
    name: str
    what: str
    args: dict[str, Value]
    result: Value = None
    error: BaseException | None = None


class EffectRecorder:
    """Outermost middleware that keeps every effect in `done`, in the order in which they began."""

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
        """Those that a rule fits: `tool.call`, `tool.call:search`, `state.*`."""
        return [done for done in self.done if matches(done.what, rule)]


async def _awaited(done: EffectRecord, answer: Any) -> Value:
    try:
        done.result = await answer
    except BaseException as error:
        done.error = error
        raise
    return done.result


def _copied(args: dict[str, Value]) -> dict[str, Value]:
    """The arguments as they are now; functions of a spell stay what they are."""
    return deepcopy(args, {id(f): f for f in args.values() if isinstance(f, LuaFunction)})


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong in place of an effect.

    Attributes:
        what: A rule that names the effects: `tool.call:search`, `model.request`.
        error: What they fail with.
        at: Which of them, counted from 1; all when it is empty.
    """

    what: str
    error: EffectError = field(default_factory=lambda: ToolError("the test has this fail"))
    at: Sequence[int] = ()


class FaultInjection:
    """Innermost middleware that has effects fail before their handler is called."""

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

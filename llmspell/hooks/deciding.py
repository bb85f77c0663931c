"""What is recorded of hooks, as leaves.

Hooks of the host are not asked again: their decisions are recorded. Those of a spell run again, so
what is recorded of them is what depended on the time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from typing import Any

from llmspell.concurrency import Answer
from llmspell.effects import Effect
from llmspell.hooks import results
from llmspell.hooks.results import RESULTS, Fork, HookResult
from llmspell.journal.leaves import Leaves, beside
from llmspell.journal.recording import Recording
from llmspell.values import Value

NAME = "hook.decide"


def decided(
    recording: Recording,
    place: Effect,
    ask: Callable[[], Answer[HookResult]],
) -> Answer[HookResult]:
    """What a hook says, or what it said when that was recorded.

    Args:
        recording: Of the run.
        place: Stands for the decision among the effects.
        ask: Asks the hook.
    """

    async def plain_later(answer: Awaitable[HookResult]) -> Value:
        return as_plain(await answer)

    def call(_: Effect) -> Answer[Value]:
        answer: Any = ask()
        return plain_later(answer) if hasattr(answer, "__await__") else as_plain(answer)

    answer = Leaves(recording, call, lazily=True).perform(place)
    return _later(answer) if hasattr(answer, "__await__") else from_plain(answer)


async def _later(answer: Awaitable[Value]) -> HookResult:
    return from_plain(await answer)


async def learned(effect: Effect, what: str, tell: Callable[[], Value]) -> Value:
    """What a function tells now, or told when that was recorded."""

    async def told() -> Value:
        return tell()

    return await beside(effect, what, told())


def as_plain(said: HookResult) -> Value:
    """A decision as it is recorded: {type, …}."""
    if type(said) not in RESULTS:
        return None
    if isinstance(said, Fork):
        return {"type": "Fork", "effects": [[name, dict(args)] for name, args in said.effects]}
    given = {field.name: getattr(said, field.name) for field in fields(said)}  # type: ignore[arg-type]
    return {"type": type(said).__name__} | {k: v for k, v in given.items() if v is not None}


def from_plain(table: Value) -> HookResult:
    """The decision that was recorded so."""
    if not isinstance(table, Mapping):
        return None
    given: dict[str, Any] = {name: value for name, value in table.items() if name != "type"}
    if table["type"] == "Fork":
        return Fork(*((name, args or {}) for name, args in given["effects"]))
    if table["type"] in ("Modify", "Replace"):
        given = {
            "value" if table["type"] == "Modify" else "result": next(iter(given.values()), None)
        }
    made: HookResult = getattr(results, table["type"])(**given)
    return made

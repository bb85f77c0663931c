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
from llmspell.hooks.results import RESULTS, Fork, HookResult, Modify
from llmspell.journal.leaves import Leaves, beside
from llmspell.journal.recording import Recording
from llmspell.values import LuaFunction, Value

NAME = "hook.decide"


def decided(
    recording: Recording,
    place: Effect,
    args: Mapping[str, Value],
    ask: Callable[[], Answer[HookResult]],
) -> Answer[HookResult]:
    """What a hook says, or what it said when that was recorded.

    Args:
        recording: Of the run.
        place: Stands for the decision among the effects.
        args: Those of the effect. Functions among them are the spell's, and are not recorded.
        ask: Asks the hook.
    """

    async def plain_later(answer: Awaitable[HookResult]) -> Value:
        return as_plain(await answer, args)

    def call(_: Effect) -> Answer[Value]:
        answer: Any = ask()
        return plain_later(answer) if hasattr(answer, "__await__") else as_plain(answer, args)

    answer = Leaves(recording, call, lazily=True).perform(place)
    return _later(answer, args) if hasattr(answer, "__await__") else from_plain(answer, args)


async def _later(answer: Awaitable[Value], args: Mapping[str, Value]) -> HookResult:
    return from_plain(await answer, args)


async def learned(effect: Effect, what: str, tell: Callable[[], Value]) -> Value:
    """What a function tells now, or told when that was recorded."""

    async def told() -> Value:
        return tell()

    return await beside(effect, what, told())


def as_plain(said: HookResult, args: Mapping[str, Value]) -> Value:
    """A decision as it is recorded: {type, …}."""
    if type(said) not in RESULTS:
        return None
    if isinstance(said, Modify) and isinstance(said.value, Mapping):
        kept = [name for name, value in said.value.items() if _is_same(value, args.get(name))]
        rest = {name: value for name, value in said.value.items() if name not in kept}
        return {"type": "Modify", "value": rest} | ({"functions": kept} if kept else {})
    if isinstance(said, Fork):
        return {"type": "Fork", "effects": [[name, dict(args)] for name, args in said.effects]}
    given = {field.name: getattr(said, field.name) for field in fields(said)}  # type: ignore[arg-type]
    return {"type": type(said).__name__} | {k: v for k, v in given.items() if v is not None}


def _is_same(value: Value, given: Value) -> bool:
    return isinstance(value, LuaFunction) and value is given


def from_plain(table: Value, args: Mapping[str, Value]) -> HookResult:
    """The decision that was recorded so."""
    if not isinstance(table, Mapping):
        return None
    given: dict[str, Any] = {name: value for name, value in table.items() if name != "type"}
    if kept := given.pop("functions", None):
        return Modify({**(given["value"] or {}), **{name: args[name] for name in kept}})
    if table["type"] == "Fork":
        return Fork(*((name, args or {}) for name, args in given["effects"]))
    if table["type"] in ("Modify", "Replace"):
        given = {
            "value" if table["type"] == "Modify" else "result": next(iter(given.values()), None)
        }
    made: HookResult = getattr(results, table["type"])(**given)
    return made

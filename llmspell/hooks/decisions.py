"""Records the decisions of hooks as leaves.

On replay, hooks of the host are not called again, so their decisions are recorded. Hooks of a spell
run again, so only what depended on the time is recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from llmspell.concurrency import Answer, Followed
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
    """Return a hook's decision, or the recorded one.

    Args:
        recording: The recording of the run.
        place: The effect that represents the decision.
        args: The arguments of the hooked effect. Functions among them belong to the spell and are
            not recorded.
        ask: Calls the hook.
    """

    async def plain_later(answer: Awaitable[HookResult]) -> Value:
        return as_plain(await answer, args)

    def call(_: Effect) -> Answer[Value]:
        answer: Any = ask()
        if hasattr(answer, "__await__"):
            return Followed(answer, plain_later)
        return as_plain(answer, args)

    answer = Leaves(recording, call, lazily=True).perform(place)
    if hasattr(answer, "__await__"):
        return Followed(answer, partial(_later, args=args))
    return from_plain(answer, args)


async def _later(answer: Awaitable[Value], args: Mapping[str, Value]) -> HookResult:
    return from_plain(await answer, args)


async def learned(effect: Effect, what: str, read: Callable[[], Value]) -> Value:
    """Return what a function returns now, or returned when it was recorded."""

    async def fact() -> Value:
        return read()

    return await beside(effect, what, fact())


def as_plain(decision: HookResult, args: Mapping[str, Value]) -> Value:
    """Return a decision as it is recorded: {type, …}."""
    if type(decision) not in RESULTS:
        return None
    if isinstance(decision, Modify) and isinstance(decision.value, Mapping):
        functions = [
            name for name, value in decision.value.items() if _is_same(value, args.get(name))
        ]
        rest = {name: value for name, value in decision.value.items() if name not in functions}
        return {"type": "Modify", "value": rest} | ({"functions": functions} if functions else {})
    if isinstance(decision, Fork):
        return {"type": "Fork", "effects": [[name, dict(args)] for name, args in decision.effects]}
    given = {field.name: getattr(decision, field.name) for field in fields(decision)}  # type: ignore[arg-type]
    return {"type": type(decision).__name__} | {k: v for k, v in given.items() if v is not None}


def _is_same(value: Value, given: Value) -> bool:
    return isinstance(value, LuaFunction) and value is given


def from_plain(table: Value, args: Mapping[str, Value]) -> HookResult:
    """Restore a recorded decision."""
    if not isinstance(table, Mapping):
        return None
    given: dict[str, Any] = {name: value for name, value in table.items() if name != "type"}
    if functions := given.pop("functions", None):
        return Modify({**(given["value"] or {}), **{name: args[name] for name in functions}})
    if table["type"] == "Fork":
        return Fork(*((name, args or {}) for name, args in given["effects"]))
    if table["type"] in ("Modify", "Replace"):
        given = {
            "value" if table["type"] == "Modify" else "result": next(iter(given.values()), None)
        }
    result: HookResult = getattr(results, table["type"])(**given)
    return result

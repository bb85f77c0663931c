from __future__ import annotations

from collections.abc import Awaitable

from llmspell.bridge import Bridge
from llmspell.concurrency import Answer
from llmspell.effects import Effect
from llmspell.state import Store
from llmspell.values import LuaFunction, Value

bridge = Bridge("state", __file__)


@bridge.effect()
def get(effect: Effect, key: str, scope: str = "") -> Answer[Value]:
    """The value of a key, or nil."""
    return effect.run[Store].get(scope, key)  # type: ignore[type-abstract]


@bridge.effect("set")
def put(
    effect: Effect, key: str, value: Value = None, ttl: float | None = None, scope: str = ""
) -> Awaitable[None] | None:
    """Store a value, for `ttl` seconds if given."""
    return effect.run[Store].set(scope, key, value, ttl)  # type: ignore[type-abstract]


@bridge.effect(leaf=False)
def update(effect: Effect, key: str, function: LuaFunction, scope: str = "") -> Awaitable[Value]:
    """Replace a value by what a function makes of it, atomically; the new value."""

    async def call(old: Value) -> Value:
        # Among arguments None would be JSON.null; the old value of a new key is nil.
        return await (effect.call(function) if old is None else effect.call(function, old))

    caller = f"{effect.run.id}:{effect.path}"
    return effect.run[Store].update(scope, key, call, caller)  # type: ignore[type-abstract]


@bridge.effect()
def delete(effect: Effect, key: str, scope: str = "") -> Answer[bool]:
    """Remove a key; whether it was there."""
    return effect.run[Store].delete(scope, key)  # type: ignore[type-abstract]


@bridge.effect()
def keys(effect: Effect, pattern: str = "*", scope: str = "") -> Answer[list[str]]:
    """The keys that match a pattern, sorted."""
    return effect.run[Store].keys(scope, pattern)  # type: ignore[type-abstract]


@bridge.effect()
def increment(
    effect: Effect,
    key: str,
    by: int | float = 1,  # noqa: PYI041 - a float alone would make 2 into 2.0
    scope: str = "",
) -> Answer[float]:
    """Add to a number, atomically; the sum."""
    return effect.run[Store].increment(scope, key, by)  # type: ignore[type-abstract]

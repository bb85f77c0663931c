from __future__ import annotations

import logging
from collections.abc import Awaitable, Hashable
from itertools import count
from types import EllipsisType

from llmspell.bridge import Bridge
from llmspell.callback_tasks import problem_in_call
from llmspell.concurrency import Answer, settled
from llmspell.effects import Effect
from llmspell.errors import EffectError, LlmspellError
from llmspell.events import Events
from llmspell.journal.recording import Recording
from llmspell.kept import size_of
from llmspell.limits import Seconds
from llmspell.state import Store
from llmspell.state.run_watches import RunWatches, id_of
from llmspell.values import LuaFunction, Value

log = logging.getLogger("llmspell.state")

bridge = Bridge("state", __file__)

TIMEOUT = 30.0  # seconds a watcher may take per change


def _can_repeat(effect: Effect) -> bool:
    """Whether the store recognizes a write that it has already done, so that it is idempotent."""
    return hasattr(effect.run[Store], "once")  # type: ignore[type-abstract]


def _once(effect: Effect) -> Store:
    """Return the store for a write that must not take effect twice if the run is resumed."""
    store = effect.run[Store]  # type: ignore[type-abstract]
    if effect.run[Recording] and _can_repeat(effect):
        return store.once(f"{effect.run.id}/{effect.path}")
    return store


def _restore_value(effect: Effect, value: Value, expires_in: float | EllipsisType | None) -> None:
    """Store a value again whose writing was recorded, if the store is of this process only.

    With `...` the key keeps its time to live.
    """
    from llmspell.state import MemoryStore

    store = effect.run[Store]  # type: ignore[type-abstract]
    if isinstance(store, MemoryStore) and store.lacks(effect.run[Recording].id):
        scope, key = effect.bound.get("scope", ""), effect.bound["key"]
        left = store.expires_in(scope, key) if isinstance(expires_in, EllipsisType) else expires_in
        store.restore(scope, key, value, left)


def _restore_put(effect: Effect, result: Value, ago: float) -> None:  # noqa: ARG001
    ttl = effect.bound.get("ttl")
    _restore_value(effect, effect.bound.get("value"), None if ttl is None else ttl - ago)


def _restore_if_stored(effect: Effect, stored: Value, ago: float) -> None:  # noqa: ARG001
    if stored:
        _restore_value(effect, effect.bound.get("value"), ...)


def _restore_sum(effect: Effect, total: Value, ago: float) -> None:  # noqa: ARG001
    _restore_value(effect, total, ...)


def _restore_deleted(effect: Effect, existed: Value, ago: float) -> None:  # noqa: ARG001
    _restore_value(effect, None, None)


def _keeps(effect: Effect, result: Value) -> tuple[Hashable, int] | None:
    """Return how much a key takes after a write, in a store that ends with the run."""
    store = effect.run[Store]  # type: ignore[type-abstract]
    if result is False or not getattr(store, "ends_with_run", False):
        return None
    scope, key = effect.bound.get("scope", ""), effect.bound["key"]
    value = result if effect.name == "state.increment" else effect.bound.get("value")
    return (Store, scope, key), 0 if value is None else size_of([scope, key, value])


@bridge.effect(repeatable=True)
def get(effect: Effect, key: str, scope: str = "") -> Answer[Value]:
    """The value of a key, or nil."""
    return effect.run[Store].get(scope, key)  # type: ignore[type-abstract]


@bridge.effect("set", repeatable=True, keeps=_keeps, restore=_restore_put)
def put(
    effect: Effect, key: str, value: Value = None, ttl: Seconds | None = None, scope: str = ""
) -> Awaitable[None] | None:
    """Store a value, with a time to live of `ttl` seconds if given."""
    return _once(effect).set(scope, key, value, ttl)


@bridge.effect(leaf=False)
def update(effect: Effect, key: str, function: LuaFunction, scope: str = "") -> Awaitable[Value]:
    """Replace a value atomically by the result of a function of it; returns the new value."""

    async def call(old: Value) -> Value:
        # None among arguments means JSON.null, but the old value of a new key is nil.
        return await (effect.call(function) if old is None else effect.call(function, old))

    store = effect.run[Store]  # type: ignore[type-abstract]
    return store.update(scope, key, call, f"{effect.run.id}:{effect.path}", _Leaves(effect))


class _Leaves:
    """Performs the two steps of an update as effects on its behalf, which the journal records."""

    def __init__(self, effect: Effect) -> None:
        self._perform = effect.perform

    async def read(self, scope: str, key: str) -> tuple[Value, int | None]:
        match await self._perform("state.read", key=key, scope=scope):
            case [value, version]:
                return value, version
        raise EffectError(
            "state.read did not return a value and its version",
            hint="State.update uses it: a hook that replaces its result must return {value, version}",
        )

    async def commit(self, scope: str, key: str, value: Value, version: int | None) -> bool:
        stored = await self._perform(
            "state.commit", key=key, value=value, version=version, scope=scope
        )
        if isinstance(stored, bool):
            return stored
        raise EffectError(
            "state.commit did not return whether it stored the value",
            hint="State.update uses it: a hook in its place must replace its result by true or false",
        )


@bridge.effect(repeatable=True)
async def read(effect: Effect, key: str, scope: str = "") -> list[Value]:
    """The value of a key, and its version for `state.commit`."""
    return list(await settled(effect.run[Store].read(scope, key)))  # type: ignore[type-abstract]


@bridge.effect(repeatable=_can_repeat, keeps=_keeps, restore=_restore_if_stored)
def commit(
    effect: Effect, key: str, value: Value = None, version: int | None = None, scope: str = ""
) -> Answer[bool]:
    """Store a value unless the key has changed since `state.read`; returns whether it did."""
    return _once(effect).commit(scope, key, value, version)


@bridge.effect(repeatable=_can_repeat, keeps=_keeps, restore=_restore_if_stored)
def compare_and_set(
    effect: Effect, key: str, expected: Value = None, value: Value = None, scope: str = ""
) -> Answer[bool]:
    """Store a value if the key has the expected one, atomically; returns whether it was stored."""
    return _once(effect).compare_and_set(scope, key, expected, value)


@bridge.effect(repeatable=_can_repeat, keeps=_keeps, restore=_restore_deleted)
def delete(effect: Effect, key: str, scope: str = "") -> Answer[bool]:
    """Delete a key; returns whether it existed."""
    return _once(effect).delete(scope, key)


@bridge.effect(repeatable=True)
def keys(effect: Effect, pattern: str = "*", scope: str = "") -> Answer[list[str]]:
    """The keys that match a pattern, sorted."""
    return effect.run[Store].keys(scope, pattern)  # type: ignore[type-abstract]


@bridge.effect(repeatable=_can_repeat, keeps=_keeps, restore=_restore_sum)
def increment(
    effect: Effect,
    key: str,
    by: int | float = 1,  # noqa: PYI041 - with float alone, 2 would become 2.0
    scope: str = "",
) -> Answer[float]:
    """Add to a number atomically; returns the sum."""
    return _once(effect).increment(scope, key, by)


@bridge.effect(leaf=False)
async def watch(
    effect: Effect,
    pattern: str = "*",
    function: LuaFunction | None = None,
    timeout: Seconds = TIMEOUT,  # noqa: ASYNC109 - the timeout of the function
    scope: str = "",
) -> str:
    """Watch the keys that match a pattern, and return the watch's id.

    Changes are kept for `state.changes`, or passed to a Lua function if there is one.
    """
    watches = effect.run[RunWatches]
    id_ = id_of(effect.path)
    await watches.open(id_, effect.run[Store], scope, pattern)  # type: ignore[type-abstract]
    if function is not None:
        function.retain()
        watches.callers.start(id_, _call_with_each(effect, id_, function, timeout))
    return id_


@bridge.effect(repeatable=True)
async def changes(effect: Effect, id: str) -> list[dict[str, Value]]:
    """Wait for and return the changes since the last call; empty once the watch has ended.

    The watch ends if this effect is cancelled.
    """
    watches = effect.run[RunWatches]
    watch = watches.find(id)
    changes = []
    try:
        changes = await watch.next() if watch else []
    finally:
        if not changes:
            watches.drop(id)
    return [{"key": change.key, "new": change.new, "old": change.old} for change in changes]


@bridge.effect(leaf=False)
def unwatch(effect: Effect, id: str) -> bool:
    """End a watch of this run; returns whether it was active.

    A function is still called with the changes until then.
    """
    return effect.run[RunWatches].stop(id)


async def _call_with_each(effect: Effect, id_: str, function: LuaFunction, seconds: float) -> None:
    """Call a Lua function with each change in turn, until the watch ends."""
    numbers = count()
    try:
        while changes := await effect.perform("state.changes", id=id_):
            for change in changes:
                await _call(effect, id_, function, change, next(numbers), seconds)
    except LlmspellError as error:
        log.warning("the watch %s has ended: %s", id_, error)


async def _call(
    effect: Effect, id_: str, function: LuaFunction, change: Value, number: int, seconds: float
) -> None:
    """Call the watcher; log and publish its failure or timeout, and continue."""
    if problem := await problem_in_call(effect, function, change, number, seconds):
        log.warning("the watch %s failed at a change of %r: %s", id_, change["key"], problem)
        data = {"subscriber": id_, "topic": f"state {change['key']}", "error": problem}
        effect.run[Events].tell("subscriber.failed", data)

"""The interface of state stores, and checks of their arguments."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from llmspell.concurrency import Answer
from llmspell.errors import StateError
from llmspell.values import Value, is_encodable

if TYPE_CHECKING:
    from llmspell.state.watch import Watch

Updater: TypeAlias = Callable[[Value], Awaitable[Value]]
"""Computes the new value of a key from the old one."""

MAX_SCOPE = 128
MAX_KEY = 512
_LONGEST_SHOWN = 80


class Steps(Protocol):
    """The two steps of an update: read a key, and write it unless it has changed in the meantime."""

    def read(self, scope: str, key: str) -> Answer[tuple[Value, int | None]]:
        """Return the value and a version that every write changes; both None without the key."""
        ...

    def commit(self, scope: str, key: str, value: Value, version: int | None) -> Answer[bool]:
        """Store the value if the key still has that version; return whether it had."""
        ...


class Store(Steps, Protocol):
    """Plain values by scope and key; how long they are kept depends on the store.

    A scope is a string of up to 128 characters, by default ""; a key has 1 to 512. A value is any
    plain value of up to 8 MiB as JSON. None stands for absence, like nil in Lua: storing None
    deletes the key, and a missing key reads as None. Callers share no tables with the store.

    Every method raises StateError for an invalid scope, key, value or ttl, and if the store fails.
    A caller that is cancelled while waiting does not know whether its write took place. A store
    serves one event loop at a time.
    """

    def get(self, scope: str, key: str) -> Answer[Value]:
        """Return the value, or None."""
        ...

    def set(self, scope: str, key: str, value: Value, ttl: float | None = None) -> Answer[None]:
        """Store a value, for `ttl` seconds or, if None, until it is deleted."""
        ...

    def delete(self, scope: str, key: str) -> Answer[bool]:
        """Delete a key; return whether it existed."""
        ...

    def keys(self, scope: str, pattern: str = "*") -> Answer[list[str]]:
        """Return the scope's keys that match, sorted. `*`, `?`, `[abc]` and `[!abc]` are wildcards."""
        ...

    def scopes(self) -> Answer[list[str]]:
        """Return the scopes that have keys, sorted."""
        ...

    def increment(self, scope: str, key: str, by: float = 1) -> Answer[int | float]:
        """Add to a number atomically, and return the sum. A missing key counts as 0.

        The key keeps its remaining time to live, also in `compare_and_set`, `commit` and `update`.
        """
        ...

    def compare_and_set(self, scope: str, key: str, expected: Value, new: Value) -> Answer[bool]:
        """Store `new` atomically if the value equals `expected`; return whether it did.

        Values are compared as in Lua, tables by their contents: 1 equals 1.0, but not true.
        """
        ...

    def update(
        self, scope: str, key: str, updater: Updater, caller: str = "", steps: Steps | None = None
    ) -> Awaitable[Value]:
        """Replace a value atomically by the result of `updater`, and return the new value.

        Updates of one key run one at a time; other keys are not held up. If something else writes
        the key in the meantime (`set`, or another process), the updater is called again with the
        new value, so it must tolerate several calls.

        Args:
            scope: The key's scope.
            key: The key.
            updater: Takes the old value, or None, and returns the new one, or None to delete it.
            caller: `<run id>:<effect path>` if an effect of a spell asks. An updater in Lua runs in
                its own task, whose path shows that an update within the updater is nested in this
                one.
            steps: Used to read and commit instead of the store itself; passes on the store's
                results.

        Raises:
            StateError: Also if the update would wait, perhaps indirectly, for an update that it is
                part of, and if other writers were faster every time.
        """
        ...

    def watch(self, scope: str, pattern: str = "*") -> Answer[Watch]:
        """Watch the changes of a scope's keys that match, from now on.

        The watch ends when it is closed or garbage-collected.
        """
        ...

    def export(self, scope: str | None = None) -> Answer[dict[str, Any]]:
        """Return a consistent snapshot of all scopes, or of one, as a document for `json.dumps`.

        It contains each value exactly, and the time at which a key with a ttl expires.
        """
        ...

    def import_(
        self, document: Any, *, scope: str | None = None, replace: bool = False
    ) -> Answer[int]:
        """Store the result of `export`, all of it or nothing; return the number of keys.

        Keys that have expired by now are left out.

        Args:
            document: From `json.loads`.
            scope: Import only this scope, and leave all others unchanged.
            replace: Delete existing keys first; otherwise only keys in the document change.

        Raises:
            StateError: Also if the document is invalid; it lists every problem.
        """
        ...

    def once(self, done: str) -> Store:
        """Return a view of the store whose next write is performed only once under the name `done`.

        Repeating the write under that name returns its first result. Stores may ignore this.
        """
        ...

    async def close(self) -> None:
        """Finish pending work, and release threads and files. The store cannot be used afterwards."""
        ...


def check_scope(scope: str) -> None:
    if not isinstance(scope, str) or len(scope) > MAX_SCOPE or not is_encodable(scope):
        raise StateError(
            f"{_shown(scope)} is not a scope",
            hint=f"a scope is a UTF-8 string of up to {MAX_SCOPE} characters",
        )


def check_address(scope: str, key: str) -> None:
    check_scope(scope)
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or not is_encodable(key):
        raise StateError(
            f"{_shown(key)} is not a key",
            hint=f"a key is a UTF-8 string of 1 to {MAX_KEY} characters",
        )


def check_ttl(ttl: float | None) -> None:
    if ttl is None:
        return
    if type(ttl) not in (int, float) or not math.isfinite(ttl) or ttl <= 0:
        raise StateError(
            f"{_shown(ttl)} is not a time to live",
            hint="ttl is a number of seconds above 0; leave it out to keep the value",
        )


def _shown(thing: object) -> str:
    text = ascii(thing)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"

"""What every state store does, and what it accepts."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from llmspell.concurrency import Answer
from llmspell.errors import StateError
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.state.watch import Watch

Updater: TypeAlias = Callable[[Value], Awaitable[Value]]
"""Makes a key's new value from the old one."""

MAX_SCOPE = 128
MAX_KEY = 512
_LONGEST_SHOWN = 80


class Steps(Protocol):
    """The two steps of an update: look at a key, and write it unless somebody else has."""

    def read(self, scope: str, key: str) -> Answer[tuple[Value, int | None]]:
        """The value, and a version that every write changes; both None without the key."""
        ...

    def commit(self, scope: str, key: str, value: Value, version: int | None) -> Answer[bool]:
        """Store the value if the key still has that version. False when it does not."""
        ...


class Store(Steps, Protocol):
    """Plain values by scope and key, kept for as long as the store says.

    A scope is a text of up to 128 characters, "" the default one; a key a text of 1 to 512. A
    value is any plain value up to 8 MiB, as JSON. None is absence, as nil is in Lua: storing None
    deletes the key, and a missing key reads as None. Callers share no table with the store.

    Every method raises StateError for a scope, key, value or ttl it does not take, and when the
    store cannot do its work. A caller that is cancelled while it waits does not know whether its
    write happened. A store serves one event loop at a time.
    """

    def get(self, scope: str, key: str) -> Answer[Value]:
        """The value, or None."""
        ...

    def set(self, scope: str, key: str, value: Value, ttl: float | None = None) -> Answer[None]:
        """Store a value, for `ttl` seconds or, with None, until it is deleted."""
        ...

    def delete(self, scope: str, key: str) -> Answer[bool]:
        """Remove a key. False when there was none."""
        ...

    def keys(self, scope: str, pattern: str = "*") -> Answer[list[str]]:
        """The scope's keys that match, sorted. `*`, `?`, `[abc]` and `[!abc]` are wild."""
        ...

    def scopes(self) -> Answer[list[str]]:
        """The scopes that have keys, sorted."""
        ...

    def increment(self, scope: str, key: str, by: float = 1) -> Answer[int | float]:
        """Add to a number, atomically, and return the sum. A missing key counts as 0.

        The key keeps the time it has left to live, as it does in `compare_and_set`, `commit` and
        `update`.
        """
        ...

    def compare_and_set(self, scope: str, key: str, expected: Value, new: Value) -> Answer[bool]:
        """Store `new` if the value equals `expected`, atomically. False when it does not.

        Equal is what Lua calls equal, table by table: 1 equals 1.0, but not true.
        """
        ...

    def update(
        self, scope: str, key: str, updater: Updater, caller: str = "", steps: Steps | None = None
    ) -> Awaitable[Value]:
        """Replace a value by what `updater` makes of it, atomically, and return the new value.

        Updates of one key take turns; other keys are not held up. When something else wrote the
        key meanwhile - `set`, or another process - the updater runs again on what was written, so
        it must not mind being called more than once.

        Args:
            scope: The key's scope.
            key: What to update.
            updater: Gets the old value, or None, and returns the new one, or None to delete it.
            caller: `<run id>:<effect path>` when a spell's effect asks. An updater in Lua runs in
                a task of its own; its path is how an update inside it is known to be inside.
            steps: Reads and commits in place of the store, and passes on what the store answers.

        Raises:
            StateError: Also when the update waits, perhaps through others, for one that it is
                itself a part of, and when other writers got ahead of it every time.
        """
        ...

    def watch(self, scope: str, pattern: str = "*") -> Answer[Watch]:
        """Follow the changes of a scope's keys that match, from now on, until the watch is closed
        or nobody holds it any more.
        """
        ...

    def export(self, scope: str | None = None) -> Answer[dict[str, Any]]:
        """Everything at one moment, or one scope, as a document for `json.dumps`.

        It holds each value exactly, and the time at which a key with a ttl expires.
        """
        ...

    def import_(
        self, document: Any, *, scope: str | None = None, replace: bool = False
    ) -> Answer[int]:
        """Store what `export` gave, all of it or nothing; how many keys that were.

        A key that has expired by now is left out.

        Args:
            document: From `json.loads`.
            scope: Take this scope alone, and leave all others as they are.
            replace: Delete first what is there; otherwise only keys of the document change.

        Raises:
            StateError: Also when the document is no such document; with every problem.
        """
        ...

    def once(self, done: str) -> Store:
        """The same store, the next write of which is done once, however often it is asked for under
        that name; whoever asks again gets the first answer. A store may not have this.
        """
        ...

    async def close(self) -> None:
        """Finish what has begun and let go of threads and files. Nothing can be asked after."""
        ...


def check_scope(scope: str) -> None:
    if not isinstance(scope, str) or len(scope) > MAX_SCOPE or not _encodable(scope):
        raise StateError(
            f"{_shown(scope)} is no scope",
            hint=f"a scope is a UTF-8 string of up to {MAX_SCOPE} characters",
        )


def check_address(scope: str, key: str) -> None:
    check_scope(scope)
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or not _encodable(key):
        raise StateError(
            f"{_shown(key)} is no key",
            hint=f"a key is a UTF-8 string of 1 to {MAX_KEY} characters",
        )


def check_ttl(ttl: float | None) -> None:
    if ttl is None:
        return
    if type(ttl) not in (int, float) or not math.isfinite(ttl) or ttl <= 0:
        raise StateError(
            f"{_shown(ttl)} is no time to live",
            hint="ttl is a number of seconds above 0; leave it out to keep the value",
        )


def _encodable(text: str) -> bool:
    """False for a lone surrogate, which Python's text can hold and UTF-8 cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(thing: object) -> str:
    text = ascii(thing)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"

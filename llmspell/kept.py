"""The account of what the host keeps for a run, and its limit `kept`.

Lua's own memory is limited, but the host keeps what a spell hands over: definitions of agents with
their conversations and capabilities, tools written in Lua, hooks and what they cache, the state of
a child run that has one of its own, and the arguments of effects that tasks wait for. Whoever keeps
such a thing says here how large it is now, and what is dropped is given back. When the run is over,
`drop_kept` of its services drops the rest. All sizes are estimates that depend on recorded values
alone, so a replay reaches a breach at the same place.

Not counted is what is limited elsewhere: output, events (see `events.event.ROOM`), watches, stores
that outlive the run, and what the host merely uses while it performs an effect.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from llmspell.errors import LimitExceeded
from llmspell.limits import Limits

_ATOM = 32  # bytes of a number, and of a text without its characters
_TABLE = 64  # bytes of an empty table
_WIDEST = 4  # bytes of a character


class Kept:
    """How much the host keeps for one run and its child runs."""

    def __init__(self, limit: int = Limits.kept, parent: Kept | None = None) -> None:
        """Allow at most `limit` bytes; `parent` is the account of the parent run."""
        self._limit, self._parent = limit, parent
        self._sizes: dict[Hashable, int] = {}
        self._total = 0
        self._exceeded = False

    def within(self, limit: int) -> Kept:
        """Return the account of a child run; what is kept for it counts here as well."""
        return Kept(limit, parent=self)

    def keep(self, what: Hashable, size: int) -> None:
        """Note that this thing takes so many bytes from now on. Raises LimitExceeded."""
        change = size - self._sizes.pop(what, 0)
        if size:
            self._sizes[what] = size
        self._add(change)

    def grow(self, what: Hashable, size: int) -> None:
        """Note that this thing takes so many bytes more. Raises LimitExceeded."""
        self.keep(what, self._sizes.get(what, 0) + size)

    def drop(self, what: Hashable) -> None:
        """Note that this thing, if there was one, is gone."""
        self.keep(what, 0)

    def check(self) -> None:
        """Raise LimitExceeded if the limit was exceeded, even if less is kept by now."""
        if self._exceeded:
            raise LimitExceeded("too much kept by the host", limit="kept", value=self._limit)

    def drop_kept(self) -> None:
        """Give back to the parent what the run kept, now that it is over."""
        self._sizes.clear()
        self._add(-self._total)

    def _add(self, change: int) -> None:
        self._total += change
        if self._parent:
            self._parent._add(change)  # noqa: SLF001 - same class
        if change > 0 and self._total > self._limit:
            self._exceeded = True
            self.check()


def size_of(value: Any) -> int:
    """Return the approximate bytes that a plain value takes, or a dataclass of such values."""
    kind = type(value)
    if kind is str:
        return _ATOM + (len(value) if value.isascii() else _WIDEST * len(value))
    if kind is bytes:
        return _ATOM + len(value)
    if isinstance(value, Mapping):
        return _TABLE + sum(size_of(key) + size_of(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return _TABLE + sum(map(size_of, value))
    if fields := getattr(kind, "__dataclass_fields__", None):
        return _TABLE + sum(size_of(getattr(value, name)) for name in fields)
    return _ATOM

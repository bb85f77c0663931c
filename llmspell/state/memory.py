"""State that lasts as long as the store object."""

from __future__ import annotations

import time
from collections import OrderedDict
from fnmatch import translate
from re import compile as compile_pattern

from llmspell.state.encoding import added, decode, encode, same
from llmspell.state.store import Store, Updater, check_address, check_scope, check_ttl
from llmspell.state.updates import Updates
from llmspell.values import Value

_SWEPT_A_WRITE = 4


class _Entry:
    """A value at rest. A table is kept as its text, so that nobody else can hold a part of it."""

    __slots__ = ("_is_table", "_kept", "expires")

    def __init__(self, value: Value, expires: float | None) -> None:
        text = encode(value)
        self._is_table = isinstance(value, (list, dict))
        self._kept = text if self._is_table else value
        self.expires = expires

    @property
    def value(self) -> Value:
        return decode(self._kept) if self._is_table else self._kept

    @property
    def expired(self) -> bool:
        return self.expires is not None and self.expires <= time.monotonic()


class MemoryStore(Store):
    """A store in this process's memory. See `Store`; all but `update` answers at once.

    Keys that outlived their ttl are gone at once for readers; their memory is freed by later
    writes, a few keys at a time.
    """

    def __init__(self) -> None:
        self._scopes: dict[str, dict[str, _Entry]] = {}
        self._mortal: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._updates = Updates(self._versioned, self._replace)

    def get(self, scope: str, key: str) -> Value:
        check_address(scope, key)
        entry = self._entry(scope, key)
        return None if entry is None else entry.value

    def set(self, scope: str, key: str, value: Value, ttl: float | None = None) -> None:
        check_address(scope, key)
        check_ttl(ttl)
        self._put(scope, key, value, None if ttl is None else time.monotonic() + ttl)

    def delete(self, scope: str, key: str) -> bool:
        check_address(scope, key)
        existed = self._entry(scope, key) is not None
        self._remove(scope, key)
        return existed

    def keys(self, scope: str, pattern: str = "*") -> list[str]:
        check_scope(scope)
        matches = compile_pattern(translate(pattern)).match
        entries = self._scopes.get(scope, {})
        return sorted(key for key, e in entries.items() if not e.expired and matches(key))

    def scopes(self) -> list[str]:
        return sorted(
            scope
            for scope, entries in self._scopes.items()
            if any(not entry.expired for entry in entries.values())
        )

    def increment(self, scope: str, key: str, by: float = 1) -> int | float:
        total = added(self.get(scope, key), by)
        self._replace(scope, key, total, self._entry(scope, key))
        return total

    def compare_and_set(self, scope: str, key: str, expected: Value, new: Value) -> bool:
        encode(expected)  # what could not be stored cannot be expected, in any store
        equal = same(self.get(scope, key), expected)
        return equal and self._replace(scope, key, new, self._entry(scope, key))

    async def update(self, scope: str, key: str, updater: Updater, caller: str = "") -> Value:
        check_address(scope, key)
        return await self._updates.run(scope, key, updater, caller)

    async def close(self) -> None:
        self._scopes.clear()
        self._mortal.clear()

    def _entry(self, scope: str, key: str) -> _Entry | None:
        entry = self._scopes.get(scope, {}).get(key)
        return None if entry is None or entry.expired else entry

    def _versioned(self, scope: str, key: str) -> tuple[Value, _Entry | None]:
        """Every write makes a new entry, so the entry itself is the version."""
        entry = self._entry(scope, key)
        return (None if entry is None else entry.value), entry

    def _replace(self, scope: str, key: str, value: Value, version: _Entry | None) -> bool:
        if self._entry(scope, key) is not version:
            return False
        self._put(scope, key, value, None if version is None else version.expires)
        return True

    def _put(self, scope: str, key: str, value: Value, expires: float | None) -> None:
        if value is None:
            self._remove(scope, key)
            return
        self._scopes.setdefault(scope, {})[key] = _Entry(value, expires)
        if expires is None:
            self._mortal.pop((scope, key), None)
        else:
            self._mortal[scope, key] = None
        self._sweep()

    def _remove(self, scope: str, key: str) -> None:
        entries = self._scopes.get(scope, {})
        entries.pop(key, None)
        self._mortal.pop((scope, key), None)
        if not entries:
            self._scopes.pop(scope, None)

    def _sweep(self) -> None:
        """Look at a few of the keys with a ttl, in turn, and drop those that have expired."""
        for _ in range(min(_SWEPT_A_WRITE, len(self._mortal))):
            scope, key = next(iter(self._mortal))
            if self._scopes[scope][key].expired:
                self._remove(scope, key)
            else:
                self._mortal.move_to_end((scope, key))

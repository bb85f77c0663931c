"""A store in memory; its values live as long as the store object."""

from __future__ import annotations

from collections import OrderedDict
from fnmatch import translate
from itertools import count
from re import compile as compile_pattern
from typing import Any

from llmspell.clock import monotonic, now
from llmspell.errors import StateError
from llmspell.kept import size_of
from llmspell.state.encoding import added, decode, encode, same
from llmspell.state.store import Steps, Store, Updater, check_address, check_scope, check_ttl
from llmspell.state.updates import Updates
from llmspell.state.watch import StoredChange, Watch, Watches
from llmspell.values import Value

ROOM = 256 << 20
"""The approximate bytes that spells may put into a store."""

_SWEEP_PER_WRITE = 4


class _Entry:
    """A stored value. A table is kept as its text, so that nobody else can hold a part of it."""

    __slots__ = ("_is_table", "_kept", "expires", "size", "version")

    def __init__(self, value: Value, expires: float | None, version: int) -> None:
        text = encode(value)
        self._is_table = isinstance(value, (list, dict))
        self._kept = text if self._is_table else value
        self.expires, self.version = expires, version
        self.size = size_of(self._kept)

    @property
    def value(self) -> Value:
        return decode(self._kept) if self._is_table else self._kept

    @property
    def text(self) -> str:
        return str(self._kept) if self._is_table else encode(self._kept)

    @property
    def expired(self) -> bool:
        return self.expires is not None and self.expires <= monotonic()


class MemoryStore(Store):
    """A store in this process's memory. See `Store`; all methods but `update` answer synchronously.

    Readers ignore keys whose ttl has expired; later writes free their memory, a few keys at a time.

    A recorded run that is resumed by another process finds nothing of what it had written, so its
    recorded writes are restored.

    Attributes:
        ends_with_run: Whether it belongs to one run, which is charged for what it holds.
    """

    def __init__(self, *, ends_with_run: bool = False) -> None:
        """Create an empty store, for spells to put at most `ROOM` bytes into."""
        self.ends_with_run = ends_with_run
        self._bytes = 0
        self._scopes: dict[str, dict[str, _Entry]] = {}
        self._expiring: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._versions = count(1)
        self._updates = Updates()
        self._watches = Watches()
        self._written_by: set[str] = set()  # the ids of recorded runs that may be resumed

    def get(self, scope: str, key: str) -> Value:
        check_address(scope, key)
        entry = self._entry(scope, key)
        return None if entry is None else entry.value

    def set(self, scope: str, key: str, value: Value, ttl: float | None = None) -> None:
        check_address(scope, key)
        check_ttl(ttl)
        self._put(scope, key, value, None if ttl is None else monotonic() + ttl)

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
        self._replace(scope, key, total)
        return total

    def compare_and_set(self, scope: str, key: str, expected: Value, new: Value) -> bool:
        encode(expected)  # as in any store, raises for a value that cannot be stored
        equal = same(self.get(scope, key), expected)
        if equal:
            self._replace(scope, key, new)
        return equal

    def read(self, scope: str, key: str) -> tuple[Value, int | None]:
        check_address(scope, key)
        entry = self._entry(scope, key)
        return (None, None) if entry is None else (entry.value, entry.version)

    def commit(self, scope: str, key: str, value: Value, version: int | None) -> bool:
        current = self.read(scope, key)[1] == version
        if current:
            self._replace(scope, key, value)
        return current

    async def update(
        self, scope: str, key: str, updater: Updater, caller: str = "", steps: Steps | None = None
    ) -> Value:
        check_address(scope, key)
        return await self._updates.run(steps or self, scope, key, updater, caller)

    def watch(self, scope: str, pattern: str = "*") -> Watch:
        check_scope(scope)
        watch = Watch(scope, pattern, refresh=self._forget_expired)
        self._watches.add(watch)
        return watch

    def export(self, scope: str | None = None) -> dict[str, Any]:
        from llmspell.state.transfer import Entry, to_document

        if scope is not None:
            check_scope(scope)
        later = now() - monotonic()
        return to_document(
            Entry(name, key, e.text, None if e.expires is None else e.expires + later)
            for name, entries in self._scopes.items()
            for key, e in entries.items()
            if scope in (None, name) and not e.expired
        )

    def import_(self, document: Any, *, scope: str | None = None, replace: bool = False) -> int:
        from llmspell.state.transfer import from_document

        if scope is not None:
            check_scope(scope)
        entries = from_document(document, scope)
        if replace:
            addresses = [(name, key) for name, kept in self._scopes.items() for key in kept]
            for address in addresses:
                if scope in (None, address[0]):
                    self._remove(*address)
        earlier = monotonic() - now()
        for e in entries:
            expires = None if e.expires is None else e.expires + earlier
            self._put(e.scope, e.key, decode(e.text), expires, limited=False)  # all or nothing
        return len(entries)

    def once(self, done: str) -> MemoryStore:
        """Return the store itself: it knows nothing of another process's writes."""
        self._written_by.add(done.partition("/")[0].partition(":")[0])
        return self

    def lacks(self, run: str) -> bool:
        """Return whether the run with an id has only written in another process, if at all."""
        return run not in self._written_by

    def forget_run(self, run: str) -> None:
        """Forget that the run with an id has written; for one that will not be resumed."""
        self._written_by.discard(run)

    def restore(self, scope: str, key: str, value: Value, expires_in: float | None) -> None:
        """Store what was written in another process, of which watches have been told there."""
        watches, self._watches = self._watches, Watches()
        try:
            if expires_in is not None and expires_in <= 0:
                self._remove(scope, key)
            else:
                self.set(scope, key, value, expires_in)
        finally:
            self._watches = watches

    def expires_in(self, scope: str, key: str) -> float | None:
        """Return in how many seconds a key expires; None for never."""
        entry = self._entry(scope, key)
        return None if entry is None or entry.expires is None else entry.expires - monotonic()

    def drop_kept(self) -> None:
        """Drop the values if they are of one run, now that it is over."""
        if self.ends_with_run:
            self._clear()

    async def close(self) -> None:
        self._clear()
        self._watches.close()

    def _clear(self) -> None:
        self._scopes.clear()
        self._expiring.clear()
        self._bytes = 0

    def _entry(self, scope: str, key: str) -> _Entry | None:
        entry = self._scopes.get(scope, {}).get(key)
        return None if entry is None or entry.expired else entry

    def _replace(self, scope: str, key: str, value: Value) -> None:
        """Replace the value of a key, keeping its expiry."""
        entry = self._entry(scope, key)
        self._put(scope, key, value, None if entry is None else entry.expires)

    def _put(
        self,
        scope: str,
        key: str,
        value: Value,
        expires: float | None,
        *,
        limited: bool = True,
    ) -> None:
        if value is None:
            self._remove(scope, key)
            return
        entries = self._scopes.get(scope, {})
        old, new = entries.get(key), _Entry(value, expires, next(self._versions))
        more = new.size - old.size if old else new.size + size_of([scope, key])
        if limited and more > 0 and self._bytes + more > ROOM:
            raise StateError(
                f"the store in memory is full: it holds at most {ROOM >> 20} MiB",
                hint="delete keys, or use a store in a file",
            )
        self._bytes += more
        self._scopes.setdefault(scope, entries)[key] = new
        if self._watches:
            self._tell(scope, key, old, new)
        if expires is None:
            self._expiring.pop((scope, key), None)
        else:
            self._expiring[scope, key] = None
        self._sweep()

    def _remove(self, scope: str, key: str) -> None:
        entries = self._scopes.get(scope, {})
        old = entries.pop(key, None)
        if old is not None:
            self._bytes -= old.size + size_of([scope, key])
            if self._watches:
                self._tell(scope, key, old, None)
        self._expiring.pop((scope, key), None)
        if not entries:
            self._scopes.pop(scope, None)

    def _sweep(self) -> None:
        """Check a few keys that have a ttl, round robin, and drop those that have expired."""
        for _ in range(min(_SWEEP_PER_WRITE, len(self._expiring))):
            scope, key = next(iter(self._expiring))
            if self._scopes[scope][key].expired:
                self._remove(scope, key)
            else:
                self._expiring.move_to_end((scope, key))

    def _forget_expired(self) -> None:
        for scope, key in list(self._expiring):
            if self._scopes[scope][key].expired:
                self._remove(scope, key)

    def _tell(self, scope: str, key: str, old: _Entry | None, new: _Entry | None) -> None:
        for watch in self._watches.of(scope, key):
            watch.offer([StoredChange(key, new.text if new else None, old.text if old else None)])

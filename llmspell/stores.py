"""Opens the store behind `State`: the one passed by the host, or the one in the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.config import Project
from llmspell.errors import ConfigError, StateError
from llmspell.shutdown import close
from llmspell.state import Store
from llmspell.state.store import Steps

if TYPE_CHECKING:
    from llmspell.plugins.registration import StoreMaker


STORE_METHODS = [
    name
    for kind in (Steps, Store)
    for name in vars(kind)
    if not name.startswith("_") and name != "once"  # optional for a store
]


class Stores:
    """Opens the store at its first use, and closes what it opened.

    Attributes:
        makers: Functions that open a store, by the name in `state.backend`; plugins add to them.
    """

    def __init__(self, project: Project, given: Store | None) -> None:
        self._project = project
        self._given = self._store = given
        self.makers: dict[str, StoreMaker] = {"sqlite": self._open_sqlite, "memory": _open_memory}

    def check(self) -> None:
        """Raise ConfigError when the settings name an unknown store."""
        backend = self._project.settings.state.backend
        if self._given is None and backend not in self.makers:
            source = str(self._project.file or self._project.root)
            problem = f"state.backend: no store is named {backend!r}"
            hint = f"available: {', '.join(self.makers)}; plugins may provide more"
            raise ConfigError(source, [problem], hint=hint)

    def open(self) -> Store:
        """Return the store. Raises StateError when a plugin fails to open it."""
        if self._store is None:
            backend = self._project.settings.state.backend
            self._store = _create(backend, self.makers[backend])
        return self._store

    async def close(self) -> None:
        if self._store is not None and self._store is not self._given:
            await close(f"the store {self._project.settings.state.backend!r}", self._store.close)

    def _open_sqlite(self) -> Store:
        from llmspell.state import SqliteStore

        settings = self._project.settings.state
        return SqliteStore(self._project.state_file, synchronous=settings.synchronous)


def _create(backend: str, maker: StoreMaker) -> Store:
    try:
        store = maker()
    except Exception as error:
        raise _no_store(backend, f"{type(error).__name__}: {error}") from error
    for method in STORE_METHODS:
        if not callable(getattr(store, method, None)):
            raise _no_store(backend, f"{store!r} is not a store: it has no method {method}")
    return store


def _no_store(backend: str, problem: str) -> StateError:
    return StateError(
        f"the store {backend!r} could not be opened: {problem}",
        hint="fix the plugin that provides it, or set another state.backend",
    )


def is_in_memory(store: Store) -> bool:
    """Return whether a store is of this process only."""
    from llmspell.state import MemoryStore

    return isinstance(store, MemoryStore)


def _open_memory() -> Store:
    from llmspell.state import MemoryStore

    return MemoryStore()

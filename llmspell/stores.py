"""Where the `State` of spells is kept: in the store a host gives, or in one the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.config import Project
from llmspell.errors import ConfigError
from llmspell.state import Store

if TYPE_CHECKING:
    from llmspell.plugins.bringing import StoreMaker


class Stores:
    """Opens the store at the first use, and closes what it opened.

    Attributes:
        makers: What makes a store, by the name that `state.backend` has; plugins bring more.
    """

    def __init__(self, project: Project, given: Store | None) -> None:
        self._project = project
        self._given = self._store = given
        self.makers: dict[str, StoreMaker] = {"sqlite": self._open_sqlite, "memory": _open_memory}

    def check(self) -> None:
        """Raise ConfigError when there is no store of the name in the settings."""
        backend = self._project.settings.state.backend
        if self._given is None and backend not in self.makers:
            source = str(self._project.file or self._project.root)
            problem = f"state.backend: no store is named {backend!r}"
            hint = f"there are {', '.join(self.makers)}; plugins may bring more"
            raise ConfigError(source, [problem], hint=hint)

    def open(self) -> Store:
        if self._store is None:
            self._store = self.makers[self._project.settings.state.backend]()
        return self._store

    async def close(self) -> None:
        if self._store is not None and self._store is not self._given:
            await self._store.close()

    def _open_sqlite(self) -> Store:
        from llmspell.state import SqliteStore

        settings = self._project.settings.state
        return SqliteStore(self._project.state_file, synchronous=settings.synchronous)


def _open_memory() -> Store:
    from llmspell.state import MemoryStore

    return MemoryStore()

"""State: plain values that outlive an effect, stored by scope and key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.state.store import Store, Updater

if TYPE_CHECKING:
    from llmspell.state.memory import MemoryStore
    from llmspell.state.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "Store", "Updater"]

_HOMES = {"MemoryStore": "memory", "SqliteStore": "sqlite"}


def __getattr__(name: str) -> Any:
    """Import a store on first use: most spells keep no state."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""State: plain values that outlive an effect, by scope and key."""

from llmspell.state.memory import MemoryStore
from llmspell.state.sqlite import SqliteStore
from llmspell.state.store import Answer, Store, Updater, settled

__all__ = ["Answer", "MemoryStore", "SqliteStore", "Store", "Updater", "settled"]

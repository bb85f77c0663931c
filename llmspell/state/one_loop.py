"""The one event loop that uses a store."""

from __future__ import annotations

import asyncio

from llmspell.errors import StateError


class OneLoop:
    """Remembers the event loop in use. Another may follow once that has stopped."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self) -> bool:
        """Return whether the running loop is another one than before.

        Raises StateError if the one before is still running, in another thread.
        """
        loop, before = asyncio.get_running_loop(), self._loop
        if loop is before:
            return False
        if before is not None and before.is_running():
            raise StateError(
                "the state store is in use in the event loop of another thread",
                hint="let each thread open a store of its own; several may share a file",
            )
        self._loop = loop
        return True

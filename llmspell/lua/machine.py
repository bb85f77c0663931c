"""The protocol of Lua states, in this process or in another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Machine(Protocol):
    """A Lua state, here or in another process. What it says is described in messages.py."""

    def resume(self, message: bytes, *, apart: bool) -> bytes | asyncio.Future[bytes]:
        """Hand over messages and let Lua run until it waits; what it says.

        A future of that when it runs `apart` from the event loop, because it was asked to or
        because it always does.
        """
        ...

    def on_end(self, tell: Callable[[], None]) -> None:
        """Call that should it end unasked; `resume` says why it did."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...

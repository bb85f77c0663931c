"""The protocol of Lua states, in this process or in another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Machine(Protocol):
    """A Lua state, in this process or in another. For its messages see messages.py."""

    def resume(self, message: bytes) -> bytes | asyncio.Future[bytes]:
        """Pass messages and let Lua run until it waits; return its messages, or a future of them."""
        ...

    def resume_apart(self, message: bytes) -> asyncio.Future[bytes]:
        """Like `resume`, without occupying the event loop."""
        ...

    def on_end(self, tell: Callable[[], None]) -> None:
        """Call `tell` if the state ends by itself; `resume` then says why."""
        ...

    def close(self) -> None:
        """Close the state at the end of the run."""
        ...

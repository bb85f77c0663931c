"""Timeouts of a whole request, in addition to the HTTP client's timeouts for single reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from llmspell.clock import monotonic
from llmspell.eager_steps import TookTooLong, within
from llmspell.providers.failures import too_slow

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

T = TypeVar("T")


class RequestDeadline:
    """The deadline of one request, including its retries."""

    def __init__(self, endpoint: Endpoint, *, streams: bool = True) -> None:
        """Start the clock; `first_timeout` applies only if the answer `streams`."""
        self._endpoint = endpoint
        self._total = endpoint.total_timeout
        self._first = endpoint.first_timeout if streams else None
        self._begin = monotonic()

    async def limit(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a part of the request. Raises ProviderError when time runs out."""
        left = self._left()
        if left is None:
            return await work
        seconds, setting = left
        try:
            return await within(max(seconds, 0.0), work)
        except TookTooLong:
            raise too_slow(self._endpoint, setting) from None

    async def limit_stream(self, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Yield the pieces. Raises ProviderError when time runs out before the next one."""
        while self._left() is not None:
            received = await self.limit(_next(pieces))
            if not received:
                return
            self._first = None
            yield received[0]
        async for piece in pieces:
            yield piece

    def _left(self) -> tuple[float, str] | None:
        """Return the seconds left and the setting that limits them; None without a limit."""
        if self._total is None and self._first is None:
            return None
        bounds = {"total_timeout": self._total, "first_timeout": self._first}
        passed = monotonic() - self._begin
        left = [(bound - passed, name) for name, bound in bounds.items() if bound is not None]
        return min(left)


async def _next(pieces: AsyncGenerator[T, None]) -> tuple[T, ...]:
    """Return the next piece in a tuple, which is empty at the end."""
    async for piece in pieces:
        return (piece,)
    return ()

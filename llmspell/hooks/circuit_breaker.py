"""A circuit breaker for hooks that fail repeatedly."""

from __future__ import annotations

from typing import Literal

from llmspell.clock import monotonic


class CircuitBreaker:
    """Opens after `limit` consecutive failures, and then rejects calls.

    While open, it admits one call every `cool_down` seconds. The first success closes it.

    Attributes:
        in_a_row: The consecutive failures so far.
        tripped: Whether the circuit is not closed, so that `admits` depends on the time.
    """

    __slots__ = ("_until", "cool_down", "in_a_row", "limit", "tripped")

    def __init__(self, limit: int, cool_down: float) -> None:
        if limit < 1 or not cool_down >= 0:
            raise ValueError("max_failures must be at least 1, and cool_down at least 0")
        self.limit, self.cool_down = limit, cool_down
        self.in_a_row, self.tripped, self._until = 0, False, 0.0

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        if not self.tripped:
            return "closed"
        return "open" if monotonic() < self._until else "half-open"

    def admits(self) -> bool:
        """Return whether a call may be made now."""
        if not self.tripped:
            return True
        now = monotonic()
        if now < self._until:
            return False
        self._until = now + self.cool_down
        return True

    def succeeded(self) -> None:
        self.in_a_row, self.tripped, self._until = 0, False, 0.0

    def failed(self) -> bool:
        """Count a failure; return whether the circuit is open now."""
        self.in_a_row += 1
        if self.in_a_row < self.limit:
            return False
        self.tripped, self._until = True, monotonic() + self.cool_down
        return True

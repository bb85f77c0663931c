"""A token bucket: so many at once after a pause, and so many a second on average."""

from __future__ import annotations

from llmspell.clock import monotonic


class TokenBucket:
    """A token for each that may pass now; below 0, so many are waiting.

    Attributes:
        tokens: How many there are, as of the last question.
    """

    def __init__(self, size: float, rate: float) -> None:
        """Make a full one of that size; `rate` is how many tokens come a second."""
        self._size, self._rate = size, rate
        self.tokens: float = size
        self._filled = monotonic()

    def pause(self) -> float:
        """Seconds until there is one more token than are waited for."""
        self._fill()
        return max(0.0, (1 - self.tokens) / self._rate)

    def is_full(self) -> bool:
        self._fill()
        return self.tokens >= self._size

    def _fill(self) -> None:
        now = monotonic()
        self.tokens = min(self._size, self.tokens + (now - self._filled) * self._rate)
        self._filled = now

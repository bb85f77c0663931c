"""A token bucket: a burst after a pause, and a limited rate on average."""

from __future__ import annotations

from llmspell.clock import monotonic


class TokenBucket:
    """A token bucket in which callers may reserve tokens ahead; a negative count means some wait.

    Attributes:
        tokens: The number of tokens when they were last counted.
    """

    def __init__(self, size: float, rate: float) -> None:
        """Create a full bucket of that size; `rate` is in tokens per second."""
        self._size, self._rate = size, rate
        self.tokens: float = size
        self._filled = monotonic()

    def pause(self) -> float:
        """Return the seconds until a token beyond those reserved is available."""
        self._fill()
        return max(0.0, (1 - self.tokens) / self._rate)

    def is_full(self) -> bool:
        self._fill()
        return self.tokens >= self._size

    def _fill(self) -> None:
        now = monotonic()
        self.tokens = min(self._size, self.tokens + (now - self._filled) * self._rate)
        self._filled = now

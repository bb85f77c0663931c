"""Counts a conversation's tokens: an estimate, corrected by the usage that providers report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llmspell.providers.messages import Message, ModelRequest, ModelResponse
from llmspell.providers.tokens import tokens_around, tokens_asked, tokens_of


@dataclass
class TokenCounter:
    """Counts the tokens of one conversation.

    Attributes:
        known: How many of its messages the last report covered.
        tokens: Tokens of those messages, including instructions and tools.
        scale: Ratio of reported to estimated tokens.
    """

    known: int = 0
    tokens: int = 0
    scale: float = 1.0

    def copy(self) -> TokenCounter:
        return TokenCounter(self.known, self.tokens, self.scale)

    def count(self, request: ModelRequest) -> int:
        if 0 < self.known <= len(request.messages):
            return self.tokens + self.estimate(request.messages[self.known :])
        return self.estimate(request.messages) + round(self.scale * tokens_around(request))

    def estimate(self, messages: Iterable[Message]) -> int:
        return round(self.scale * tokens_of(messages))

    def report(self, request: ModelRequest, response: ModelResponse) -> None:
        """Correct the estimate by the usage of a response."""
        usage = response.usage
        if usage.input_tokens:
            estimated = tokens_asked(request)
            self.scale = usage.input_tokens / max(estimated, 1)
            self.known = len(request.messages) + 1
            self.tokens = usage.input_tokens + usage.output_tokens

    def forget(self) -> None:
        """Discard the last report, since the conversation has changed."""
        self.known = 0

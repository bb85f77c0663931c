"""Shortens conversations that exceed a model's context window."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from llmspell.agents.token_counter import TokenCounter
from llmspell.errors import ProviderError
from llmspell.providers.messages import Message, ModelRequest, Text, ToolCall, ToolResult

LOW = 0.75  # a conversation over its limit is shortened to this fraction of the limit
HALF = 0.5  # the fraction to remove if a provider says that the conversation is too long

_SUMMARISE = (
    "Summarise the conversation you are given for the assistant that takes part in it and will "
    "read only your summary. Keep what was asked and decided, facts, names, numbers, results of "
    "tools, and what is still to be done. Answer with the summary alone."
)
_BEFORE = "Summary of the conversation so far:\n"

Strategy = Literal["trim", "summarise"]

Summarise = Callable[[ModelRequest], Awaitable[str]]
"""Asks a model, and returns the text of its answer."""


class Conversation(NamedTuple):
    """The messages before a prompt, and those of the prompt itself."""

    before: list[Message]
    now: list[Message]


@dataclass(frozen=True)
class Context:
    """How a conversation is kept short.

    Attributes:
        max_tokens: The limit; None to shorten only when the provider says it is too long.
        strategy: Whether the removed part is dropped or summarised.
        keep: Number of newest turns, each starting with a user's message, that are never removed.
        model: The model that summarises; None for the agent's own.
    """

    max_tokens: int | None = None
    strategy: Strategy = "trim"
    keep: int = 1
    model: str | None = None

    def too_many(self, request: ModelRequest, counter: TokenCounter) -> int:
        """Return how many tokens to remove from the request; 0 if it is short enough."""
        if self.max_tokens is None:
            return 0
        tokens = counter.count(request)
        return tokens - int(self.max_tokens * LOW) if tokens > self.max_tokens else 0

    async def shorten(
        self, conversation: Conversation, tokens: int, counter: TokenCounter, summarise: Summarise
    ) -> None:
        """Remove at least `tokens` tokens from a conversation, as far as possible."""
        left_out: list[Message] = []
        for part in _dispensable(conversation, self.keep):
            if tokens <= 0:
                break
            left_out += part
            tokens -= counter.estimate(part)
        if not left_out:
            return
        gone = set(map(id, left_out))
        conversation.before[:] = [m for m in conversation.before if id(m) not in gone]
        conversation.now[:] = [m for m in conversation.now if id(m) not in gone]
        counter.forget()
        if self.strategy == "summarise":
            asked = Message.of("user", _transcript(left_out))
            request = ModelRequest(self.model or "", (asked,), system=_SUMMARISE, cache=False)
            first = conversation.before or conversation.now
            first[0] = _preceded(first[0], await summarise(request))


def is_too_long(error: ProviderError) -> bool:
    """Whether a provider's error says that the request exceeds the context window.

    OpenAI and compatible servers have an error code; for others, only the messages are known.
    """
    if error.details.get("code") == "context_length_exceeded":
        return True
    text = f"{error.message} {error.details.get('reason', '')}".lower()
    return any(words in text for words in _TOO_LONG)


_TOO_LONG = (
    "context length",  # OpenAI, vLLM, Mistral
    "context window",  # Anthropic, Groq
    "context size",  # llama.cpp
    "prompt is too long",  # Anthropic
    "exceeds the maximum number of tokens",  # Gemini
)


def _dispensable(conversation: Conversation, keep: int) -> list[list[Message]]:
    """Return the parts that may be removed, oldest first: turns, then steps of the current one.

    A step is an answer with its tool calls and their results; the last step is always kept.
    """
    # A turn runs from one user message to the next; the first one includes anything before it.
    starts = [n for n, m in enumerate(conversation.before) if _begins_turn(m)]
    turns = [
        conversation.before[a:b] for a, b in pairwise([0, *starts[1:], len(conversation.before)])
    ]
    turns = turns[: len(turns) - (keep - 1)] if len(turns) >= keep else []
    answers = [n for n, m in enumerate(conversation.now) if m.role == "assistant"]
    steps = [conversation.now[start:end] for start, end in pairwise(answers)]
    return turns + steps


def _begins_turn(message: Message) -> bool:
    """Whether it is a user's message; one with tool results continues a turn."""
    return message.role == "user" and not any(isinstance(b, ToolResult) for b in message.content)


def _preceded(message: Message, summary: str) -> Message:
    """Prepend the summary of what came before to a user's message."""
    return Message(message.role, (Text(f"{_BEFORE}{summary}\n"), *message.content))


def _transcript(messages: Sequence[Message]) -> str:
    return "\n\n".join([f"{m.role}: {_words(m)}" for m in messages])


def _words(message: Message) -> str:
    words = []
    for block in message.content:
        match block:
            case Text(text):
                words.append(text)
            case ToolCall():
                words.append(f"[calls {block.name} with {block.arguments}]")
            case ToolResult():
                words.append(f"[result: {Message('tool', block.content).text}]")
            case _:
                words.append(f"[{block.as_plain().get('type')}]")
    return "\n".join(words)

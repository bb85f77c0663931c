"""Presents a complete answer as a stream of deltas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmspell.providers.messages import (
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from llmspell.providers.strict_json import write_json

if TYPE_CHECKING:
    from llmspell.providers.messages import Delta, ModelResponse


def deltas_of(response: ModelResponse) -> Iterator[Delta]:
    """Yield one delta for each text, reasoning and tool call of the answer."""
    calls = 0
    for block in response.message.content:
        if isinstance(block, Text) and block.text:
            yield TextDelta(block.text)
        elif isinstance(block, Reasoning) and block.text:
            yield ReasoningDelta(block.text)
        elif isinstance(block, ToolCall):
            arguments = write_json(block.arguments) if block.raw is None else block.raw
            yield ToolCallDelta(calls, block.id, block.name, arguments)
            calls += 1

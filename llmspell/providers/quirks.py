"""Differences between servers that speak the same protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, Self, get_args, get_type_hints

from llmspell.frozen import Frozen

Output = Literal["json_schema", "json_object", "tool", "words"]
Effort = Literal["effort", "openrouter", "deepseek", "together", "tokens", "template"]


class Quirks(Frozen):
    """How a server differs from OpenAI's.

    Attributes:
        max_tokens_field: Name of the field for the longest answer.
        seed_field: Name of the field for the seed.
        output: How structured output is requested: by `json_schema`, which enforces the schema; by
            `json_object`, which enforces JSON, plus instructions; by a `tool` the model has to
            call; or by instructions (`words`) alone. The agent checks the answer in any case.
        reasoning: The dialect of the reasoning effort, see `llmspell.providers.openai_reasoning`.
        stream_usage: Whether a streamed answer reports usage only on request.
        named_choice: Whether `tool_choice` may name a tool.
        short_ids: Whether the ids of tool calls must be nine letters and digits.
        cache_control: Whether prompts are cached only at explicit breakpoints.
        key_header: The header of the key; `authorization` gets a `Bearer` prefix.
    """

    max_tokens_field: str = "max_tokens"
    seed_field: str = "seed"
    output: Output = "json_schema"
    reasoning: Effort = "effort"
    stream_usage: bool = True
    named_choice: bool = True
    short_ids: bool = False
    cache_control: bool = False
    key_header: str = "authorization"

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return a copy with the user's changes. Raises ValueError for invalid ones."""
        kinds = get_type_hints(type(self))
        for name, value in changes.items():
            if name not in kinds:
                known = ", ".join(field.name for field in fields(self))
                raise ValueError(f"no quirk is named {name!r}; available: {known}")
            words = get_args(kinds[name])
            if words and value not in words:
                raise ValueError(f"the quirk {name!r} must be one of {', '.join(words)}")
            if not words and type(value) is not kinds[name]:
                raise ValueError(f"the quirk {name!r} must be a {_NAMES[kinds[name]]}")
        return replace(self, **changes)


_NAMES = {str: "string", bool: "boolean"}

NO_QUIRKS = Quirks()

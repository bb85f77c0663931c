"""In what servers that speak the same protocol differ, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, Self, get_args, get_type_hints

from llmspell.frozen import Frozen

Output = Literal["json_schema", "json_object", "tool", "words"]
Effort = Literal["effort", "openrouter", "deepseek", "together", "tokens", "template"]


class Quirks(Frozen):
    """What a server wants otherwise than OpenAI's does.

    Attributes:
        max_tokens_field: What the limit on the answer's length is called.
        seed_field: What the seed is called.
        output: How a model is held to a JSON Schema: by `json_schema`, which enforces it; by
            `json_object`, which enforces JSON, and in words; by a `tool` it has to call; or in
            `words` alone. The agent checks the answer in any case.
        reasoning: How it is told how much to think, see `llmspell.providers.openai_reasoning`.
        stream_usage: Whether it has to be asked to count the tokens of a streamed answer.
        named_choice: Whether it understands the choice of one tool by its name.
        short_ids: Whether the ids of tool calls must be nine letters and digits.
        cache_control: Whether it has to be asked to cache what will come again.
        key_header: The header the key is sent in; `authorization` holds `Bearer` and the key.
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
        """These, with what a user says otherwise. Raises ValueError for what cannot be."""
        kinds = get_type_hints(type(self))
        for name, value in changes.items():
            if name not in kinds:
                there_are = ", ".join(field.name for field in fields(self))
                raise ValueError(f"no quirk is named {name!r}; there are {there_are}")
            words = get_args(kinds[name])
            if words and value not in words:
                raise ValueError(f"the quirk {name!r} must be one of {', '.join(words)}")
            if not words and type(value) is not kinds[name]:
                raise ValueError(f"the quirk {name!r} must be a {_NAMES[kinds[name]]}")
        return replace(self, **changes)


_NAMES = {str: "string", bool: "boolean"}

NO_QUIRKS = Quirks()

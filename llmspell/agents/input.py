"""Converts the input of a prompt to a message."""

from __future__ import annotations

from collections.abc import Mapping

from llmspell.agents.answer import as_text
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.providers.messages import Message
from llmspell.values import LuaFunction, Value


async def message_from(effect: Effect, value: Value) -> Message:
    """Return a user message for a string, `{text = …, attachments = {path or URL, …}}` or a table.

    Any other table is given to the model as JSON, so that the answers of other agents can be
    passed on as they are.

    Raises:
        InvalidArguments: The input is empty, or an attachment cannot be used.
    """
    if isinstance(value, str) and value:  # the fast path
        return Message.of("user", value)
    attachments: Value = []
    if isinstance(value, Mapping) and "text" in value and value.keys() <= {"text", "attachments"}:
        value, attachments = value["text"], value.get("attachments", [])
    if not isinstance(attachments, list):
        raise InvalidArguments("prompt", ["attachments: must be a list of paths and URLs"])
    if isinstance(value, LuaFunction):
        raise InvalidArguments("prompt", ["the input must be a text or a table, not a function"])
    if value in (None, "", [], {}) and not attachments:
        raise InvalidArguments("prompt", ["the input is empty"])
    blocks = []
    if attachments:
        from llmspell.agents.attachments import attached

        blocks = [await attached(effect, entry) for entry in attachments]
    return Message.of("user", as_text(value), *blocks)

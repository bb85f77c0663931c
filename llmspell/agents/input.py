"""What a prompt may be, as the message a model gets."""

from __future__ import annotations

from collections.abc import Mapping

from llmspell.agents.answer import as_text
from llmspell.errors import InvalidArguments
from llmspell.providers.messages import Image, Message
from llmspell.values import Value


def message_from(value: Value) -> Message:
    """A user's message of a string, of `{text = …, attachments = {url, …}}`, or of any table.

    Tables other than that are given to the model as JSON, so that the answers of other agents
    can be passed on as they are.

    Raises:
        InvalidArguments: When there is nothing to say, or an attachment is no URL.
    """
    attachments: Value = []
    if isinstance(value, Mapping) and "text" in value and value.keys() <= {"text", "attachments"}:
        value, attachments = value["text"], value.get("attachments", [])
    if not isinstance(attachments, list) or not all(isinstance(url, str) for url in attachments):
        raise InvalidArguments("prompt", ["attachments: must be a list of URLs"])
    if value in (None, "", [], {}) and not attachments:
        raise InvalidArguments("prompt", ["the input is empty"])
    return Message.of("user", as_text(value), *(Image(url=url) for url in attachments))

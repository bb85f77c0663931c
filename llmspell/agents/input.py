"""What a prompt may be, as the message a model gets."""

from __future__ import annotations

from collections.abc import Mapping

from llmspell.agents.loop import as_text
from llmspell.errors import InvalidArguments
from llmspell.providers.messages import Image, Message
from llmspell.values import Value


def message_from(value: Value) -> Message:
    """A user's message of a string, of `{text = …, attachments = {url, …}}`, or of any table.

    Tables other than that are given to the model as JSON, so that the answers of other agents
    can be passed on as they are.

    Raises:
        InvalidArguments: When there is nothing to say.
    """
    if isinstance(value, Mapping) and "text" in value and value.keys() <= {"text", "attachments"}:
        images = [Image(url=url) for url in value.get("attachments", [])]
        return Message.of("user", str(value["text"]), *images)
    if value is None or value in ("", []):
        raise InvalidArguments("prompt", ["the input is empty"])
    return Message.of("user", as_text(value))

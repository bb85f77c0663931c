"""Helpers for building request bodies, shared by all protocols."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes

from llmspell.errors import InvalidArguments
from llmspell.providers.messages import File, Image, Text
from llmspell.providers.strict_json import write_json

if TYPE_CHECKING:
    from llmspell.providers.messages import Block, Message, ModelRequest, ToolCall

_LONGEST_NAME = 64
_REJECTED = re.compile(r"[^A-Za-z0-9_-]")

Medium = TypeVar("Medium", bound=Image | File)


def misplaced(block: Block, role: str) -> InvalidArguments:
    kind = block.as_plain().get("type")
    problem = f"a message of the role {role} cannot hold a block of the type {kind}"
    return InvalidArguments("model.request", [problem])


def instructions(request: ModelRequest) -> tuple[list[str], tuple[Message, ...]]:
    """Split a request into instructions and conversation.

    System messages at the start of the conversation belong to the instructions.

    Raises:
        InvalidArguments: A system message contains something other than text.
    """
    messages = request.messages
    first = next((n for n, m in enumerate(messages) if m.role != "system"), len(messages))
    texts = [request.system or "", *map(_system_text, messages[:first])]
    return [text for text in texts if text.strip()], messages[first:]


def system_as_user_text(message: Message) -> str:
    """Return a system message as user text, marked by the `<system>` tags that models know."""
    return f"<system>\n{_system_text(message)}\n</system>"


def _system_text(message: Message) -> str:
    for block in message.content:
        if not isinstance(block, Text):
            raise misplaced(block, "system")
    return message.text


def json_text(value: Any, what: str) -> str:
    """Serialize a value as JSON. Raises InvalidArguments, which names `what` it is."""
    try:
        return write_json(value)
    except ValueError as error:
        raise InvalidArguments("model.request", [f"{what} cannot be sent: {error}"]) from None


def call_arguments(call: ToolCall) -> str:
    """Return an earlier call's arguments as JSON: some servers parse them and fail otherwise."""
    arguments = call.arguments if call.raw is None else {"not_json": call.raw}
    return json_text(arguments, f"the call of {call.name}")


def call_name(call: ToolCall) -> str:
    """Return the name of an earlier call with what servers reject replaced.

    A model may call what no tool can be called.
    """
    return _REJECTED.sub("_", call.name[:_LONGEST_NAME])


def call_id(id: str, longest: int) -> str:  # noqa: A002 - the natural name
    """Return the call's id, or a digest of it if it is too long, as another provider's may be."""
    return id if len(id) <= longest else f"call_{digest(id)[:32]}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def data_url(data: bytes | None, media_type: str | None) -> str:
    return f"data:{media_type};base64,{base64_text(data)}"


def file_as_text(file: File) -> str | None:
    """Return a text file's name and content as text; None for any other file."""
    if file.data is None or not (file.media_type or "").startswith("text/"):
        return None
    return f"{file.name}:\n{file.data.decode('utf-8', 'replace')}"


def with_data(block: Medium) -> Medium:
    """Return the image or file with the content of its `data:` URL; unchanged for other URLs."""
    if block.url is None or not block.url.startswith("data:"):
        return block
    head, _, text = block.url.removeprefix("data:").partition(",")
    media_type, *parameters = head.split(";")
    try:
        plain = unquote_to_bytes(text)
        data = base64.b64decode(plain, validate=True) if "base64" in parameters else plain
    except ValueError:
        raise InvalidArguments("model.request", ["a data: URL is not base64"]) from None
    return replace(block, data=data, media_type=media_type or block.media_type, url=None)


def base64_text(data: bytes | None) -> str:
    return base64.b64encode(data or b"").decode()


def invalid_schema(schema: dict[str, Any]) -> InvalidArguments:
    """Return the error for an invalid schema, as a hook may have left behind."""
    from llmspell.schema import check_schema

    try:
        check_schema(schema)
        problem = "models cannot read it"
    except ValueError as error:
        problem = str(error)
    return InvalidArguments("model.request", [f"a schema in it is not valid: {problem}"])


def schema_in_words(schema: dict[str, Any]) -> str:
    """Return instructions that describe the schema, for models without structured output."""
    text = json_text(schema, "the output schema")
    return f"Answer with nothing but a JSON object that matches this JSON Schema: {text}"

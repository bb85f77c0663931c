"""Converts messages to the form Anthropic's Messages API takes.

Source of the format: `anthropic.types.message_param` of the official Python SDK.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmspell.errors import InvalidArguments
from llmspell.providers.body_parts import (
    base64_text,
    call_name,
    digest,
    misplaced,
    system_as_user_text,
    with_data,
)
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import (
    Block,
    Extra,
    File,
    Image,
    Message,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Unknown,
)

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

_ID = re.compile(r"[a-zA-Z0-9_-]+")


def conversation(messages: Iterable[Message], endpoint: Endpoint) -> list[Body]:
    """Return the turns of a conversation, without empty ones, which the API rejects.

    Raises:
        InvalidArguments: A message contains a block that its role does not allow.
    """
    turns: list[Body] = []
    for message in messages:
        if message.role == "assistant":
            role, content = "assistant", _assistant(message, endpoint)
        elif message.role == "system":
            # Only some models accept a system message here, and not in every position.
            role, content = "user", _text(Text(system_as_user_text(message)))
        else:
            role, content = "user", _given(message)
        if content:
            turns.append({"role": role, "content": content})
    return turns


def _given(message: Message) -> list[Body]:
    """Return the content of a user turn. The API requires tool results to come first."""
    results = [_result(block) for block in message.content if isinstance(block, ToolResult)]
    parts = [
        part
        for block in message.content
        if not isinstance(block, ToolResult)
        for part in _parts(block, message.role)
    ]
    return results + parts


def _result(result: ToolResult) -> Body:
    body: Body = {"type": "tool_result", "tool_use_id": _id(result.id)}
    if result.is_error:  # the API requires some text with an error
        text = "".join([block.text for block in result.content if isinstance(block, Text)])
        return body | {"content": text if text.strip() else "The tool failed.", "is_error": True}
    content = [part for block in result.content for part in _parts(block, "tool")]
    return body | {"content": content} if content else body


def _parts(block: Block, role: str) -> list[Body]:
    if isinstance(block, Text):
        return _text(block)
    if isinstance(block, Image):
        return [{"type": "image", "source": _source(with_data(block))}]
    if isinstance(block, File):
        return [_file(with_data(block))]
    if isinstance(block, Unknown):
        return [block.data]
    raise misplaced(block, role)


def _text(block: Text) -> list[Body]:
    """Return the text's block, or nothing for blank text, which the API rejects."""
    return [{"type": "text", "text": block.text}] if block.text.strip() else []


def _source(block: Image | File) -> Body:
    if block.url is not None:
        return {"type": "url", "url": block.url}
    return {"type": "base64", "media_type": block.media_type, "data": base64_text(block.data)}


def _file(file: File) -> Body:
    media_type = file.media_type or "application/pdf"
    if media_type.startswith("image/"):
        return {"type": "image", "source": _source(file)}
    if media_type == "application/pdf":
        source = _source(file)
    elif media_type.startswith("text/") and file.data is not None:
        text = file.data.decode("utf-8", "replace")
        source = {"type": "text", "media_type": "text/plain", "data": text}
    else:
        problem = f"{file.name}: Anthropic accepts images, PDF and text, not {media_type}"
        raise InvalidArguments("model.request", [problem])
    return {"type": "document", "source": source, "title": file.name}


def _assistant(message: Message, endpoint: Endpoint) -> list[Body]:
    blocks: list[Body] = []
    fields: Body = {}  # extra fields of the next block
    for block in message.content:
        if isinstance(block, (Extra, Reasoning)) and block.provider != endpoint.name:
            continue
        if isinstance(block, Reasoning):
            blocks.append(_thinking(block))
        elif not isinstance(block, Extra):
            blocks += [fields | body for body in _assistant_block(block)]
            fields = {}
        elif "type" in block.data:
            blocks.append(_with_input(block.data))
        else:
            fields = block.data
    return blocks


def _with_input(block: Body) -> Body:
    """Return a block with an empty input as a table, of which Lua may have made an empty list."""
    return block | {"input": {}} if block.get("input") == [] else block


def _assistant_block(block: Block) -> list[Body]:
    if isinstance(block, Text):
        return _text(block)
    if isinstance(block, Refusal):
        return _text(Text(block.text))
    if isinstance(block, ToolCall):
        arguments = block.arguments if block.raw is None else {"not_json": block.raw}
        name = call_name(block)
        return [{"type": "tool_use", "id": _id(block.id), "name": name, "input": arguments}]
    if isinstance(block, Unknown):
        return [block.data]
    raise misplaced(block, "assistant")


def _thinking(block: Reasoning) -> Body:
    """Return the thinking block as it was received: the API rejects a modified one."""
    if block.data.get("type") == "redacted_thinking":
        return block.data
    return {"type": "thinking", "signature": "", **block.data, "thinking": block.text}


def _id(id: str) -> str:  # noqa: A002 - the natural name
    """Return the call's id, or a digest of it if it has characters the API rejects."""
    return id if _ID.fullmatch(id) else f"toolu_{digest(id)[:32]}"

"""Converts messages to the form the Gemini API takes.

Source of the format: `google.genai.types.Content` and `Part` of the official Python SDK, and how
its `models` module serializes them for the Gemini API.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmspell.errors import InvalidArguments
from llmspell.providers.body_parts import (
    base64_text,
    call_name,
    misplaced,
    system_as_user_text,
    with_data,
)
from llmspell.providers.gemini_models import Traits
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

BESIDE = {
    *("thoughtSignature", "partMetadata", "mediaResolution", "videoMetadata", "mediaProcessing"),
    *("speechMetadata", "documentMetadata", "spreadsheetMetadata", "audioMetadata"),
}
"""Fields of a part next to its content. Some must be sent back in their place."""

ABOUT = {"groundingMetadata", "citationMetadata", "urlContextMetadata"}
"""Fields about the answer as a whole, which are not sent back."""

# Placeholder for the signature of a call that another model made; see "Thought signatures" in
# Google's documentation. It is base64, as the SDK encodes bytes, of
# skip_thought_signature_validator.
_NO_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="

_IN_RESULTS = {"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"}


def conversation(messages: Iterable[Message], takes: Traits, endpoint: Endpoint) -> list[Body]:
    """Return the turns of a conversation, without empty ones, which the API rejects.

    Raises:
        InvalidArguments: A message contains a block that its role does not allow.
    """
    contents: list[Body] = []
    names: dict[str, str] = {}  # tool names by call id
    for message in messages:
        if message.role == "assistant":
            names |= {call.id: call_name(call) for call in message.tool_calls}
            contents.append({"role": "model", "parts": _assistant_parts(message, endpoint)})
        elif message.role == "system":
            parts = _text(Text(system_as_user_text(message)))
            contents.append({"role": "user", "parts": parts})
        else:
            contents += _given(message, names, takes)
    return _joined([content for content in contents if content["parts"]])


def _joined(contents: list[Body]) -> list[Body]:
    """Merge successive turns of tool results: one turn must answer all calls of the last one."""
    joined: list[Body] = []
    for content in contents:
        if joined and _is_results(content) and _is_results(joined[-1]):
            joined[-1] = content | {"parts": joined[-1]["parts"] + content["parts"]}
        else:
            joined.append(content)
    return joined


def _is_results(content: Body) -> bool:
    return all("functionResponse" in part for part in content["parts"])


def _given(message: Message, names: dict[str, str], takes: Traits) -> list[Body]:
    """Return a message as two user turns: its tool results, then everything else.

    Gemini would take content next to a result for the model's own words.
    """
    results: list[Body] = []
    parts: list[Body] = []
    for block in message.content:
        if isinstance(block, ToolResult):
            result, others = _result(block, names, takes)
            results.append(result)
            parts += others
        else:
            parts += _parts(block, message.role)
    return [{"role": "user", "parts": results}, {"role": "user", "parts": parts}]


def _result(result: ToolResult, names: dict[str, str], takes: Traits) -> tuple[Body, list[Body]]:
    """Return the part of a tool result, and separate parts for media it cannot contain."""
    text = "".join([block.text for block in result.content if isinstance(block, Text)])
    within: list[Body] = []
    after: list[Body] = []
    for block in result.content:
        if not isinstance(block, Text):
            fits = isinstance(block, (Image, File)) and block.media_type in _IN_RESULTS
            (within if fits and takes.media else after).extend(_parts(block, "tool"))
    response: Body = {
        "id": result.id,
        "name": names.get(result.id, result.id),
        "response": {"error" if result.is_error else "output": text},
    }
    return {"functionResponse": response | {"parts": within} if within else response}, after


def _parts(block: Block, role: str) -> list[Body]:
    if isinstance(block, Text):
        return _text(block)
    if isinstance(block, (Image, File)):
        return [_media(with_data(block))]
    if isinstance(block, Unknown):
        return [block.data]
    raise misplaced(block, role)


def _text(block: Text) -> list[Body]:
    return [{"text": block.text}] if block.text else []


def _media(block: Image | File) -> Body:
    media_type = block.media_type
    if block.url is None:
        return {"inlineData": {"data": base64_text(block.data), "mimeType": media_type}}
    media_type = media_type or _by_name(block.url)
    return {"fileData": {"fileUri": block.url} | ({"mimeType": media_type} if media_type else {})}


def _by_name(url: str) -> str | None:
    """Return the media type that the name in a URL suggests, if any."""
    try:
        path = urlsplit(url).path
    except ValueError:
        raise InvalidArguments("model.request", [f"{url} is not a URL"]) from None
    return mimetypes.guess_type(path)[0]


def _assistant_parts(message: Message, endpoint: Endpoint) -> list[Body]:
    parts: list[Body] = []
    beside: Body = {}  # extra fields of the next part
    for block in message.content:
        if isinstance(block, (Extra, Reasoning)) and block.provider != endpoint.name:
            continue
        if isinstance(block, Reasoning):
            parts.append({"thought": True, **block.data, "text": block.text})
        elif not isinstance(block, Extra):
            parts += [part | beside for part in _part(block)]
            beside = {}
        elif block.data.keys() <= BESIDE:
            beside = block.data
        elif not block.data.keys() <= ABOUT:
            parts.append(block.data)
    _sign(parts)
    return parts


def _part(block: Block) -> list[Body]:
    if isinstance(block, ToolCall):
        arguments = block.arguments if block.raw is None else {"not_json": block.raw}
        return [{"functionCall": {"id": block.id, "name": call_name(block), "args": arguments}}]
    if isinstance(block, Refusal):
        return _text(Text(block.text))
    return _parts(block, "assistant")


def _sign(parts: list[Body]) -> None:
    """Ensure that the turn's first call has a signature: current models require one."""
    for at, part in enumerate(parts):
        if "functionCall" in part:
            parts[at] = {"thoughtSignature": _NO_SIGNATURE} | part
            return

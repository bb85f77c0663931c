"""Requests as OpenAI's chat completions take them.

Source of the format: `openai.types.chat.completion_create_params` of the official Python SDK.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmspell.providers.body_parts import base64_text, json_text, misplaced, schema_in_words
from llmspell.providers.messages import (
    Block,
    Extra,
    File,
    Image,
    Message,
    ModelRequest,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unknown,
)

if TYPE_CHECKING:
    from llmspell.providers.catalogue import Endpoint

Body = dict[str, Any]


def request_body(request: ModelRequest, model: str, endpoint: Endpoint) -> Body:
    """What is posted. `model` is the request's without the provider's name.

    Raises:
        InvalidArguments: A block has no place in a message of its role.
    """
    messages: list[Body] = []
    if system := _system(request, endpoint):
        messages.append({"role": "system", "content": system})
    for message in request.messages:
        messages += _message(message, endpoint)
    body: Body = {"model": model, "messages": messages}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.output is not None:
        body["response_format"] = _response_format(request.output, endpoint)
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body[endpoint.max_tokens_field] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    body.update(endpoint.extra_body)
    body.update(request.extra_body)
    return body


def _system(request: ModelRequest, endpoint: Endpoint) -> str | None:
    if request.output is None or endpoint.json_schema:
        return request.system
    told = schema_in_words(request.output)
    return f"{request.system}\n\n{told}" if request.system else told


def _tool(tool: ToolSpec) -> Body:
    # `strict` stays off: it allows only a part of JSON Schema, and the engine checks arguments.
    function: Body = {"name": tool.name, "parameters": tool.schema}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> str | Body:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(schema: Body, endpoint: Endpoint) -> Body:
    if not endpoint.json_schema:
        return {"type": "json_object"}
    wanted: Body = {"name": "output", "schema": schema}
    if schema.get("type") == "object" and _strict(schema):
        wanted["strict"] = True
    return {"type": "json_schema", "json_schema": wanted}


_STRICT_WORDS = {
    *("type", "properties", "required", "additionalProperties", "items", "enum", "const"),
    *("anyOf", "$ref", "$defs", "title", "description"),
}


def _strict(schema: Any) -> bool:
    """Whether the provider can hold the model to this schema: it is closed, all of it required.

    See OpenAI's guide to structured outputs, "Supported schemas".
    """
    if not isinstance(schema, dict) or not schema.keys() <= _STRICT_WORDS:
        return False
    properties, named = schema.get("properties", {}), schema.get("$defs", {})
    if not isinstance(properties, dict) or not isinstance(named, dict):
        return False
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or not all(name in schema.get("required", ()) for name in properties)
    ):
        return False
    inner = [*properties.values(), *named.values(), *schema.get("anyOf", ())]
    return all(map(_strict, inner)) and ("items" not in schema or _strict(schema["items"]))


def _message(message: Message, endpoint: Endpoint) -> Iterable[Body]:
    content = message.content
    if message.role == "assistant":
        return (_assistant(message, endpoint),)
    if len(content) == 1 and type(content[0]) is Text and message.role != "tool":
        return ({"role": message.role, "content": content[0].text},)
    if message.role == "user":
        return _given(message, endpoint)
    holds = Text if message.role == "system" else ToolResult
    for block in content:
        if not isinstance(block, holds):
            raise misplaced(block, message.role)
    if message.role == "system":
        return ({"role": "system", "content": message.text},)
    return _given(message, endpoint)


def _given(message: Message, endpoint: Endpoint) -> list[Body]:
    """What the model is given: a message for every tool result, then one with all else.

    A tool's message holds text only, so pictures and files a tool returned go into the last.
    """
    results: list[Body] = []
    parts: list[Body] = []
    for block in message.content:
        if not isinstance(block, ToolResult):
            parts.append(_part(block, message.role))
            continue
        text = "".join([b.text for b in block.content if isinstance(b, Text)])
        results.append(
            {
                "role": "tool",
                "tool_call_id": _id(block.id, endpoint),
                "content": f"Error: {text}" if block.is_error else text,
            }
        )
        parts += [_part(b, "tool") for b in block.content if not isinstance(b, Text)]
    return [*results, {"role": "user", "content": parts}] if parts or not results else results


def _part(block: Block, role: str) -> Body:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    if isinstance(block, Image):
        url = block.url or _data_url(block.data, block.media_type)
        return {"type": "image_url", "image_url": {"url": url}}
    if isinstance(block, File):
        return _file(block)
    if isinstance(block, Unknown):
        return block.data
    raise misplaced(block, role)


_SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def _file(file: File) -> Body:
    if file.media_type.startswith("text/"):
        return {"type": "text", "text": f"{file.name}:\n{file.data.decode('utf-8', 'replace')}"}
    if sound := _SOUNDS.get(file.media_type):
        data = base64_text(file.data)
        return {"type": "input_audio", "input_audio": {"data": data, "format": sound}}
    data = _data_url(file.data, file.media_type)
    return {"type": "file", "file": {"filename": file.name, "file_data": data}}


def _data_url(data: bytes | None, media_type: str | None) -> str:
    return f"data:{media_type};base64,{base64_text(data)}"


def _assistant(message: Message, endpoint: Endpoint) -> Body:
    texts: list[str] = []
    parts: list[Body] = []
    calls: list[Body] = []
    fields: Body = {}
    for block in message.content:
        if isinstance(block, Text):
            texts.append(block.text)
        elif isinstance(block, ToolCall):
            calls.append(_call(block, endpoint))
        elif isinstance(block, Refusal):
            fields["refusal"] = block.text
        elif isinstance(block, Unknown):
            parts.append(block.data)
        elif not isinstance(block, Extra):
            raise misplaced(block, "assistant")
        elif block.provider == endpoint.name:
            parts += block.data.get("content", ())
            fields |= {name: v for name, v in block.data.items() if name != "content"}
    content: Any = "".join(texts)
    if parts:
        content = [*parts, {"type": "text", "text": content}] if content else parts
    if calls:
        fields["tool_calls"] = calls
        content = content or None
    return {**fields, "role": "assistant", "content": content}


def _call(call: ToolCall, endpoint: Endpoint) -> Body:
    # Some servers parse the arguments of earlier turns and fail when they are not JSON.
    arguments = call.arguments if call.raw is None else {"not_json": call.raw}
    return {
        "id": _id(call.id, endpoint),
        "type": "function",
        "function": {
            "name": call.name,
            "arguments": json_text(arguments, f"the call of {call.name}"),
        },
    }


_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")


def _id(id: str, endpoint: Endpoint) -> str:  # noqa: A002 - it is the id
    """The id, or a short one that stands for it: another model's history may have long ones."""
    if not endpoint.short_ids or _SHORT_ID.fullmatch(id):
        return id
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:9]

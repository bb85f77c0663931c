"""Builds request bodies for OpenAI's chat completions.

Source of the format: `openai.types.chat.completion_create_params` of the official Python SDK.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from llmspell.errors import InvalidArguments
from llmspell.providers.answer_parts import string
from llmspell.providers.body_parts import (
    base64_text,
    call_arguments,
    call_id,
    call_name,
    data_url,
    digest,
    file_as_text,
    misplaced,
    schema_in_words,
)
from llmspell.providers.messages import (
    Block,
    Extra,
    File,
    Image,
    Message,
    ModelRequest,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unknown,
)
from llmspell.providers.openai_reasoning import WAYS

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.quirks import Quirks

Body = dict[str, Any]


def request_body(request: ModelRequest, model: str, endpoint: Endpoint) -> Body:
    """Return the JSON body to post. `model` is the request's, without the provider's name.

    Raises:
        InvalidArguments: A message contains a block that its role does not allow.
    """
    quirks = endpoint.quirks
    messages: list[Body] = []
    if system := system_text(request, quirks):
        messages.append({"role": "system", "content": system})
    for message in request.messages:
        messages += _message(message, endpoint)
    body: Body = {"model": model, "messages": messages}
    if request.tools:
        body |= _tools(request, quirks)
    if request.output is not None:
        body |= _output(request.output, quirks)
    named = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        quirks.max_tokens_field: request.max_tokens,
        "stop": list(request.stop) or None,
        quirks.seed_field: request.seed,
    }
    body |= {name: value for name, value in named.items() if value is not None}
    if request.reasoning is not None:
        body |= WAYS[quirks.reasoning](request.reasoning)
    # OpenRouter forwards this to Anthropic; its other models cache automatically or not at all.
    if quirks.cache_control and request.cache and model.startswith("anthropic/"):
        body["cache_control"] = {"type": "ephemeral"}
    body.update(endpoint.extra_body)
    body.update(request.extra_body)
    return body


def system_text(request: ModelRequest, quirks: Quirks) -> str | None:
    """Return the instructions, with the output schema if the server does not enforce it."""
    if request.output is None or quirks.output == "json_schema":
        return request.system
    schema = schema_in_words(request.output)
    return f"{request.system}\n\n{schema}" if request.system else schema


def offered(request: ModelRequest, quirks: Quirks) -> tuple[Sequence[ToolSpec], str | None]:
    """Return the tools and the tool choice; only the chosen tool if it cannot be named."""
    tools, choice = request.tools, request.tool_choice
    if quirks.named_choice or choice in (None, "auto", "none", "required"):
        return tools, choice
    return [tool for tool in tools if tool.name == choice], "required"


def _tools(request: ModelRequest, quirks: Quirks) -> Body:
    """Return the tools in the request's order, which is stable: prompt caches need that."""
    tools, choice = offered(request, quirks)
    body: Body = {"tools": [_tool(tool) for tool in tools]}
    if choice is not None:
        body["tool_choice"] = _tool_choice(choice)
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _tool(tool: ToolSpec) -> Body:
    # `strict` stays off: it supports only a subset of JSON Schema, and the engine checks arguments.
    function: Body = {"name": tool.name, "parameters": tool.schema}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> str | Body:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _output(schema: Body, quirks: Quirks) -> Body:
    if quirks.output == "words":
        return {}
    if quirks.output == "json_object":
        return {"response_format": {"type": "json_object"}}
    wanted: Body = {"name": "output", "schema": schema}
    if enforceable(schema):
        wanted["strict"] = True
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


_STRICT_WORDS = {
    *("type", "properties", "required", "additionalProperties", "items", "enum", "const"),
    *("anyOf", "$ref", "$defs", "title", "description"),
}


def enforceable(schema: Body) -> bool:
    """Whether the provider can enforce this schema: it is closed, and every field is required.

    See OpenAI's guide to structured outputs, "Supported schemas".
    """
    return schema.get("type") == "object" and "anyOf" not in schema and _strict(schema)


def _strict(schema: Any) -> bool:
    if not isinstance(schema, dict) or not schema.keys() <= _STRICT_WORDS:
        return False
    if "$ref" in schema:
        return len(schema) == 1  # no other keyword is allowed next to $ref
    properties, named = schema.get("properties", {}), schema.get("$defs", {})
    if (
        not isinstance(properties, dict)
        or not isinstance(named, dict)
        or not _is_fully_typed(schema)
    ):
        return False
    inner = [*properties.values(), *named.values(), *schema.get("anyOf", ())]
    return all(map(_strict, inner)) and ("items" not in schema or _strict(schema["items"]))


def _is_fully_typed(schema: Body) -> bool:
    """Whether every value has a type, every array its items and every object all its keys."""
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "object" in kinds and (
        schema.get("additionalProperties") is not False
        or not all(name in schema.get("required", ()) for name in schema.get("properties", ()))
    ):
        return False
    return (kind is not None or "anyOf" in schema) and ("array" not in kinds or "items" in schema)


def _message(message: Message, endpoint: Endpoint) -> Iterable[Body]:
    content = message.content
    if len(content) == 1 and type(content[0]) is Text and message.role != "tool":
        return ({"role": message.role, "content": content[0].text},)
    if message.role == "assistant":
        return (_assistant(message, endpoint),)
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
    """Return a message for every tool result, then one with everything else.

    Tool messages can contain only text, so images and files from tools go into the last one.
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
        url = block.url or data_url(block.data, block.media_type)
        return {"type": "image_url", "image_url": {"url": url}}
    if isinstance(block, File):
        return _file(block)
    if isinstance(block, Unknown):
        return block.data
    raise misplaced(block, role)


_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def _file(file: File) -> Body:
    if file.data is None or file.media_type is None:
        problem = f"{file.name}: chat completions take a file's data, not its URL"
        raise InvalidArguments("model.request", [problem])
    if (text := file_as_text(file)) is not None:
        return {"type": "text", "text": text}
    if audio_format := _AUDIO_FORMATS.get(file.media_type):
        data = base64_text(file.data)
        return {"type": "input_audio", "input_audio": {"data": data, "format": audio_format}}
    data = data_url(file.data, file.media_type)
    return {"type": "file", "file": {"filename": file.name, "file_data": data}}


def _assistant(message: Message, endpoint: Endpoint) -> Body:
    """Convert an assistant turn; blocks that only another provider understands are left out."""
    parts: list[Body] = []
    calls: list[Body] = []
    fields: Body = {}
    for block in message.content:
        if isinstance(block, Text):
            parts.append({"type": "text", "text": block.text})
        elif isinstance(block, ToolCall):
            calls.append(_call(block, endpoint))
        elif isinstance(block, Refusal):
            fields["refusal"] = block.text
        elif isinstance(block, Unknown):
            parts.append(block.data)
        elif not isinstance(block, (Reasoning, Extra)):
            raise misplaced(block, "assistant")
        elif block.provider == endpoint.name:
            fields |= _own_fields(block)
            parts += _tables(fields.pop("content", None))
    content: Any = _text(parts)
    if content is None:
        content = parts
    if calls:
        fields["tool_calls"] = calls
        content = content or None
    return {**fields, "role": "assistant", "content": content}


def _tables(value: Any) -> list[Body]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(parts: list[Body]) -> str | None:
    """Join parts if all are text: most servers accept only a string as a model's content."""
    texts = [string(part.get("text")) for part in parts if part.get("type") == "text"]
    return "".join(texts) if len(texts) == len(parts) else None


def _own_fields(block: Reasoning | Extra) -> Body:
    """Return the fields of the message the block was parsed from; see `openai_answer`."""
    if "type" in block.data:
        return {}  # from another protocol of the same provider, whose blocks have types
    if isinstance(block, Reasoning) and isinstance(name := block.data.get("field"), str):
        return {name: block.text}
    return block.data


def _call(call: ToolCall, endpoint: Endpoint) -> Body:
    function = {"name": call_name(call), "arguments": call_arguments(call)}
    return {"id": _id(call.id, endpoint), "type": "function", "function": function}


_LONGEST_ID = 40  # characters that OpenAI accepts
_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")


def _id(id: str, endpoint: Endpoint) -> str:  # noqa: A002 - the natural name
    if not endpoint.quirks.short_ids:
        return call_id(id, _LONGEST_ID)
    return id if _SHORT_ID.fullmatch(id) else digest(id)[:9]

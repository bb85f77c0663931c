"""Deserializes messages, requests and responses from their plain form.

A hook may have rewritten them, so every field is checked, and errors name its place. Indices in
these places count from 1, as in Lua.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, get_args

from llmspell.errors import InvalidArguments
from llmspell.providers.fields import Fields, Malformed
from llmspell.providers.messages import (
    Block,
    Extra,
    File,
    Image,
    Message,
    ModelRequest,
    ModelResponse,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unknown,
    Usage,
)
from llmspell.values import Value

T = TypeVar("T")


def request_from_plain(
    value: Value, *, key: str | None = None, known: tuple[Message, ...] = ()
) -> ModelRequest:
    """Deserialize a request, and set its key.

    The `known` messages are reused if their plain form is the same, so that a long conversation is
    not deserialized with every request. Raises InvalidArguments.
    """
    return _read(lambda fields: _request(fields, key, known), value)


def response_from_plain(value: Value) -> ModelResponse:
    """Deserialize a response. Raises InvalidArguments."""
    return _read(_response, value)


def message_from_plain(value: Value, *, target: str = "message") -> Message:
    """Deserialize a message. Raises InvalidArguments, which names `target`."""
    return _read(_message, value, target)


def usage_from_plain(value: Value) -> Usage:
    """Deserialize usage. Raises InvalidArguments."""
    return _read(_usage, value)


def _read(reader: Callable[[Fields], T], value: Value, target: str = "model.request") -> T:
    try:
        return reader(Fields(value, ""))
    except Malformed as problem:
        raise InvalidArguments(target, [str(problem)]) from None


_REQUEST = tuple(name for name in ModelRequest.__dataclass_fields__ if name != "key")
_USAGE = tuple(Usage.__dataclass_fields__)
_TOKENS = tuple(name for name in _USAGE if name != "usd")


def _request(fields: Fields, key: str | None, known: tuple[Message, ...]) -> ModelRequest:
    fields.only(*_REQUEST)
    return ModelRequest(
        model=fields.text("model"),
        messages=_messages(fields, known),
        key=key,
        **{name: read(fields) for name, read in _OPTIONAL.items() if name in fields.table},
    )


def _reasoning_wanted(fields: Fields) -> str | int | None:
    if isinstance(fields.table.get("reasoning"), str):
        return fields.text("reasoning")
    return fields.integer("reasoning", least=0)


def _messages(fields: Fields, known: tuple[Message, ...]) -> tuple[Message, ...]:
    if "messages" not in fields.table:
        raise Malformed("messages is required")
    items = fields.items("messages")
    if len(items) == len(known) and items == [message.as_plain() for message in known]:
        return known
    return tuple([_message(Fields(m, f"messages[{n}]")) for n, m in enumerate(items, 1)])


def _stop(fields: Fields) -> tuple[str, ...]:
    texts = fields.items("stop")
    if not all(isinstance(text, str) for text in texts):
        raise Malformed("stop must be a list of strings")
    return tuple(texts)


def _tools(fields: Fields) -> tuple[ToolSpec, ...]:
    tools = fields.items("tools")
    return tuple([_tool(Fields(t, f"tools[{n}]")) for n, t in enumerate(tools, 1)])


def _tool(fields: Fields) -> ToolSpec:
    fields.only("name", "description", "schema")
    schema = _schema(fields, "schema")
    if schema is None:
        return ToolSpec(fields.text("name"), fields.text("description", ""))
    return ToolSpec(fields.text("name"), fields.text("description", ""), schema)


def _schema(fields: Fields, name: str) -> dict[str, Any] | None:
    schema = fields.optional_dict(name)
    if schema is not None and schema.get("properties") == []:
        return schema | {"properties": {}}
    return schema


_OPTIONAL: dict[str, Callable[[Fields], Any]] = {
    "system": lambda fields: fields.optional_text("system"),
    "tools": _tools,
    "tool_choice": lambda fields: fields.optional_text("tool_choice"),
    "output": lambda fields: _schema(fields, "output"),
    "temperature": lambda fields: fields.number("temperature"),
    "top_p": lambda fields: fields.number("top_p"),
    "max_tokens": lambda fields: fields.integer("max_tokens", least=1),
    "stop": _stop,
    "seed": lambda fields: fields.integer("seed", least=0),
    "reasoning": _reasoning_wanted,
    "parallel_tool_calls": lambda fields: fields.optional_flag("parallel_tool_calls"),
    "cache": lambda fields: fields.optional_flag("cache") is not False,
    "extra_body": lambda fields: fields.optional_dict("extra_body") or {},
    "patience": lambda fields: fields.number("patience"),
}
"""Readers of a request's optional fields."""


_ROLES = get_args(Role)


def _message(fields: Fields) -> Message:
    fields.only("role", "content")
    role = fields.text("role")
    if role not in _ROLES:
        raise Malformed(f"{fields.at('role')} must be one of {', '.join(_ROLES)}")
    return Message(cast("Role", role), _content(fields))


def _content(fields: Fields) -> tuple[Block, ...]:
    content = fields.table.get("content")
    if isinstance(content, str):
        return (Text(content),)
    place = fields.at("content")
    if isinstance(content, bytes):
        raise Malformed(f"{place} is not UTF-8 text")
    if not isinstance(content, (list, tuple)):
        raise Malformed(f"{place} must be a string or a list of blocks")
    return tuple([_block(b, f"{place}[{n}]") for n, b in enumerate(content, 1)])


def _block(value: Value, place: str) -> Block:
    if isinstance(value, str):
        return Text(value)
    fields = Fields(value, place)
    reader = _BLOCKS.get(fields.text("type"))
    return Unknown(fields.table) if reader is None else reader(fields)


def _text(fields: Fields) -> Text:
    fields.only("type", "text")
    return Text(fields.text("text"))


def _refusal(fields: Fields) -> Refusal:
    fields.only("type", "text")
    return Refusal(fields.text("text"))


def _image(fields: Fields) -> Image:
    fields.only("type", "data", "media_type", "url")
    return Image(*_source(fields))


def _file(fields: Fields) -> File:
    fields.only("type", "data", "media_type", "url", "name")
    data, media_type, url = _source(fields)
    return File(data, media_type, fields.text("name", "file"), url)


def _source(fields: Fields) -> tuple[bytes | None, str | None, str | None]:
    """Return the data, its media type, and the URL that may replace the data."""
    data, url = fields.data("data"), fields.optional_text("url")
    media_type = fields.optional_text("media_type")
    if (data is None) == (url is None):
        raise Malformed(f"{fields.place} needs either data or url")
    if data is not None and media_type is None:
        raise Malformed(f"{fields.at('media_type')} is required with data")
    return data, media_type, url


def _tool_call(fields: Fields) -> ToolCall:
    fields.only("type", "id", "name", "arguments", "problem", "raw")
    return ToolCall(
        id=fields.text("id"),
        name=fields.text("name"),
        arguments=fields.optional_dict("arguments") or {},
        problem=fields.optional_text("problem"),
        raw=fields.optional_text("raw"),
    )


def _tool_result(fields: Fields) -> ToolResult:
    fields.only("type", "id", "content", "is_error")
    return ToolResult(fields.text("id"), _content(fields), fields.flag("is_error"))


def _reasoning(fields: Fields) -> Reasoning:
    fields.only("type", "provider", "text", "data")
    return Reasoning(
        fields.text("provider"), fields.text("text", ""), fields.optional_dict("data") or {}
    )


def _extra(fields: Fields) -> Extra:
    fields.only("type", "provider", "data")
    return Extra(fields.text("provider"), fields.optional_dict("data") or {})


_BLOCKS: dict[str, Callable[[Fields], Block]] = {
    "text": _text,
    "refusal": _refusal,
    "image": _image,
    "file": _file,
    "tool_call": _tool_call,
    "tool_result": _tool_result,
    "reasoning": _reasoning,
    "extra": _extra,
}


def _response(fields: Fields) -> ModelResponse:
    fields.only("message", "usage", "finish_reason", "model", "id")
    return ModelResponse(
        message=_message(Fields(fields.table.get("message"), "message")),
        usage=_usage(Fields(fields.optional_dict("usage") or {}, "usage")),
        finish_reason=fields.text("finish_reason", "stop"),
        model=fields.text("model", ""),
        id=fields.text("id", ""),
    )


def _usage(fields: Fields) -> Usage:
    fields.only(*_USAGE)
    tokens = {name: fields.integer(name, least=0) or 0 for name in _TOKENS if name in fields.table}
    return Usage(**tokens, usd=fields.number("usd"))

"""Plain values read back as messages, requests and responses.

A hook may have rewritten them, so every place is checked and named in what is reported. Places
count from 1, as Lua does. An empty list stands for an empty table wherever one is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, get_args

from llmspell.errors import InvalidArguments
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
    value: Value,
    *,
    target: str = "model.request",
    key: str | None = None,
    known: tuple[Message, ...] = (),
) -> ModelRequest:
    """The request a table stands for, with its key.

    Its messages are the `known` ones if they have the same plain form: a long conversation is not
    read back with every request. Raises InvalidArguments, which names `target`.
    """
    return _read(lambda fields: _request(fields, key, known), value, target)


def response_from_plain(value: Value, *, target: str = "model.request") -> ModelResponse:
    """The response a table stands for. Raises InvalidArguments, which names `target`."""
    return _read(_response, value, target)


def message_from_plain(value: Value, *, target: str = "message") -> Message:
    """The message a table stands for. Raises InvalidArguments, which names `target`."""
    return _read(_message, value, target)


def usage_from_plain(value: Value, *, target: str = "model.request") -> Usage:
    """The usage a table stands for. Raises InvalidArguments, which names `target`."""
    return _read(_usage, value, target)


class _Malformed(Exception):
    """What is wrong, beginning with its place."""


def _read(reader: Callable[[_Fields], T], value: Value, target: str) -> T:
    try:
        return reader(_Fields(value, ""))
    except _Malformed as problem:
        raise InvalidArguments(target, [str(problem)]) from None


class _Fields:
    """A table being read, and where it stands."""

    __slots__ = ("place", "table")

    def __init__(self, value: Value, place: str) -> None:
        if value == []:
            value = {}
        if not isinstance(value, dict):
            raise _Malformed(f"{place or 'it'} must be a table")
        self.table, self.place = value, place

    def at(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def only(self, *names: str) -> None:
        """Refuse fields of any other name: most are misspelt."""
        for name in self.table:
            if name not in names:
                raise _Malformed(
                    f"{self.at(str(name))} is not a field; there are {', '.join(names)}"
                )

    def text(self, name: str, default: str | None = None) -> str:
        """A string; required when there is no default."""
        value = self.table.get(name)
        if type(value) is str:  # as most are
            return value
        value = self.optional_text(name)
        if value is None:
            value = default
        if value is None:
            raise _Malformed(f"{self.at(name)} is required")
        return value

    def optional_text(self, name: str) -> str | None:
        value = self.table.get(name)
        if isinstance(value, bytes):
            raise _Malformed(f"{self.at(name)} is not UTF-8 text")
        if value is not None and not isinstance(value, str):
            raise _Malformed(f"{self.at(name)} must be a string")
        return value

    def data(self, name: str) -> bytes | None:
        """A Lua string as the bytes it is; one that happens to be UTF-8 comes as text."""
        value = self.table.get(name)
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if value is not None and not isinstance(value, bytes):
            raise _Malformed(f"{self.at(name)} must be a string of bytes")
        return value

    def flag(self, name: str) -> bool:
        return self.optional_flag(name) or False

    def optional_flag(self, name: str) -> bool | None:
        value = self.table.get(name)
        if value is not None and not isinstance(value, bool):
            raise _Malformed(f"{self.at(name)} must be true or false")
        return value

    def number(self, name: str) -> float | None:
        value = self.table.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _Malformed(f"{self.at(name)} must be a number")
        return value

    def integer(self, name: str, least: int) -> int | None:
        """A whole number; Lua may have made a float of it."""
        value = self.table.get(name)
        if type(value) is int and value >= least:  # as most are
            return value
        value = self.number(name)
        if value is None:
            return None
        if value != value // 1 or value < least:
            raise _Malformed(f"{self.at(name)} must be a whole number, {least} or more")
        return int(value)

    def optional_dict(self, name: str) -> dict[str, Any] | None:
        value = self.table.get(name)
        if value == []:
            return {}
        if value is not None and not isinstance(value, dict):
            raise _Malformed(f"{self.at(name)} must be a table")
        return value

    def items(self, name: str) -> list[Value]:
        value = self.table.get(name, [])
        if not isinstance(value, (list, tuple)):
            raise _Malformed(f"{self.at(name)} must be a list")
        return list(value)


_REQUEST = tuple(name for name in ModelRequest.__dataclass_fields__ if name != "key")
_USAGE = tuple(Usage.__dataclass_fields__)
_TOKENS = tuple(name for name in _USAGE if name != "usd")


def _request(fields: _Fields, key: str | None, known: tuple[Message, ...]) -> ModelRequest:
    fields.only(*_REQUEST)
    return ModelRequest(
        model=fields.text("model"),
        messages=_messages(fields, known),
        key=key,
        **{name: read(fields) for name, read in _OPTIONAL.items() if name in fields.table},
    )


def _reasoning_wanted(fields: _Fields) -> str | int | None:
    if isinstance(fields.table.get("reasoning"), str):
        return fields.text("reasoning")
    return fields.integer("reasoning", least=0)


def _messages(fields: _Fields, known: tuple[Message, ...]) -> tuple[Message, ...]:
    if "messages" not in fields.table:
        raise _Malformed("messages is required")
    items = fields.items("messages")
    if len(items) == len(known) and items == [message.as_plain() for message in known]:
        return known
    return tuple([_message(_Fields(m, f"messages[{n}]")) for n, m in enumerate(items, 1)])


def _stop(fields: _Fields) -> tuple[str, ...]:
    texts = fields.items("stop")
    if not all(isinstance(text, str) for text in texts):
        raise _Malformed("stop must be a list of strings")
    return tuple(texts)


def _tools(fields: _Fields) -> tuple[ToolSpec, ...]:
    tools = fields.items("tools")
    return tuple([_tool(_Fields(t, f"tools[{n}]")) for n, t in enumerate(tools, 1)])


def _tool(fields: _Fields) -> ToolSpec:
    fields.only("name", "description", "schema")
    schema = _schema(fields, "schema")
    if schema is None:
        return ToolSpec(fields.text("name"), fields.text("description", ""))
    return ToolSpec(fields.text("name"), fields.text("description", ""), schema)


def _schema(fields: _Fields, name: str) -> dict[str, Any] | None:
    schema = fields.optional_dict(name)
    if schema is not None and schema.get("properties") == []:
        return schema | {"properties": {}}
    return schema


_OPTIONAL: dict[str, Callable[[_Fields], Any]] = {
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
"""Fields of a request that most do not have."""


_ROLES = get_args(Role)


def _message(fields: _Fields) -> Message:
    fields.only("role", "content")
    role = fields.text("role")
    if role not in _ROLES:
        raise _Malformed(f"{fields.at('role')} must be one of {', '.join(_ROLES)}")
    return Message(cast("Role", role), _content(fields))


def _content(fields: _Fields) -> tuple[Block, ...]:
    content = fields.table.get("content")
    if isinstance(content, str):
        return (Text(content),)
    place = fields.at("content")
    if isinstance(content, bytes):
        raise _Malformed(f"{place} is not UTF-8 text")
    if not isinstance(content, (list, tuple)):
        raise _Malformed(f"{place} must be a string or a list of blocks")
    return tuple([_block(b, f"{place}[{n}]") for n, b in enumerate(content, 1)])


def _block(value: Value, place: str) -> Block:
    if isinstance(value, str):
        return Text(value)
    fields = _Fields(value, place)
    reader = _BLOCKS.get(fields.text("type"))
    return Unknown(fields.table) if reader is None else reader(fields)


def _text(fields: _Fields) -> Text:
    fields.only("type", "text")
    return Text(fields.text("text"))


def _refusal(fields: _Fields) -> Refusal:
    fields.only("type", "text")
    return Refusal(fields.text("text"))


def _image(fields: _Fields) -> Image:
    fields.only("type", "data", "media_type", "url")
    return Image(*_source(fields))


def _file(fields: _Fields) -> File:
    fields.only("type", "data", "media_type", "url", "name")
    data, media_type, url = _source(fields)
    return File(data, media_type, fields.text("name", "file"), url)


def _source(fields: _Fields) -> tuple[bytes | None, str | None, str | None]:
    """Data, its media type, and the URL that may stand in their place."""
    data, url = fields.data("data"), fields.optional_text("url")
    media_type = fields.optional_text("media_type")
    if (data is None) == (url is None):
        raise _Malformed(f"{fields.place} needs either data or url")
    if data is not None and media_type is None:
        raise _Malformed(f"{fields.at('media_type')} is required with data")
    return data, media_type, url


def _tool_call(fields: _Fields) -> ToolCall:
    fields.only("type", "id", "name", "arguments", "problem", "raw")
    return ToolCall(
        id=fields.text("id"),
        name=fields.text("name"),
        arguments=fields.optional_dict("arguments") or {},
        problem=fields.optional_text("problem"),
        raw=fields.optional_text("raw"),
    )


def _tool_result(fields: _Fields) -> ToolResult:
    fields.only("type", "id", "content", "is_error")
    return ToolResult(fields.text("id"), _content(fields), fields.flag("is_error"))


def _reasoning(fields: _Fields) -> Reasoning:
    fields.only("type", "provider", "text", "data")
    return Reasoning(
        fields.text("provider"), fields.text("text", ""), fields.optional_dict("data") or {}
    )


def _extra(fields: _Fields) -> Extra:
    fields.only("type", "provider", "data")
    return Extra(fields.text("provider"), fields.optional_dict("data") or {})


_BLOCKS: dict[str, Callable[[_Fields], Block]] = {
    "text": _text,
    "refusal": _refusal,
    "image": _image,
    "file": _file,
    "tool_call": _tool_call,
    "tool_result": _tool_result,
    "reasoning": _reasoning,
    "extra": _extra,
}


def _response(fields: _Fields) -> ModelResponse:
    fields.only("message", "usage", "finish_reason", "model", "id")
    return ModelResponse(
        message=_message(_Fields(fields.table.get("message"), "message")),
        usage=_usage(_Fields(fields.optional_dict("usage") or {}, "usage")),
        finish_reason=fields.text("finish_reason", "stop"),
        model=fields.text("model", ""),
        id=fields.text("id", ""),
    )


def _usage(fields: _Fields) -> Usage:
    fields.only(*_USAGE)
    tokens = {name: fields.integer(name, least=0) or 0 for name in _TOKENS if name in fields.table}
    return Usage(**tokens, usd=fields.number("usd"))

"""How much a request may come to, before it is made: on the high side, as it is reserved."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from llmspell.providers.messages import (
    Block,
    File,
    Image,
    Message,
    ModelRequest,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from llmspell.providers.strict_json import write_json

BYTES = 3
"""Of UTF-8, that make a token: more in English prose, fewer in code and in other languages."""
MESSAGE = 8  # tokens around the content of a message
IMAGE = 1600  # tokens of a large picture
FILE_BYTES = 25  # of a document that is no text, for a token
ANSWER = 4096
"""Tokens an answer may have whose request sets no limit."""
THINKING = {"none": 0, "minimal": 1024, "low": 2048, "medium": 8192, "high": 24576}
"""Tokens a model may think before it answers, by the effort it is asked for."""


class Estimate:
    """What a call may cost.

    Attributes:
        models: Those that may answer: the one that is asked, and others that the request names.
    """

    def __init__(self, models: list[str], count: Callable[[], Usage]) -> None:
        self.models, self._count = models, count

    @cached_property
    def usage(self) -> Usage:
        """The tokens, counted only if somebody wants to know."""
        return self._count()


def of_request(request: ModelRequest) -> Estimate:
    """By the size of the request, and by what it allows of an answer."""
    return Estimate(models_of(request), lambda: _usage(request))


def _usage(request: ModelRequest) -> Usage:
    asked = _tokens(request.system or "") + sum(map(_message, request.messages))
    asked += sum(_tokens(_written(tool.as_plain())) for tool in request.tools)
    if request.output is not None:
        asked += _tokens(_written(request.output))
    return Usage(asked, request.max_tokens or ANSWER + _thinking(request.reasoning))


def models_of(request: ModelRequest) -> list[str]:
    """The model; and those that fields of the provider's own protocol name instead of it."""
    provider = request.model.partition("/")[0]
    others = [request.extra_body.get("model"), request.extra_body.get("models")]
    named = [n for o in others for n in (o if isinstance(o, list) else [o]) if n is not None]
    return [request.model, *(f"{provider}/{name}" for name in named)]


def _thinking(reasoning: str | int | None) -> int:
    if isinstance(reasoning, int):
        return max(reasoning, 0)
    return THINKING.get(reasoning or "none", THINKING["high"])


def _tokens(text: str | bytes) -> int:
    if isinstance(text, str) and not text.isascii():
        text = text.encode("utf-8", "replace")
    return -(-len(text) // BYTES)


def _message(message: Message) -> int:
    return MESSAGE + sum(map(_block, message.content))


def _block(block: Block) -> int:
    if isinstance(block, Text):
        return _tokens(block.text)
    if isinstance(block, Image):
        return IMAGE
    if isinstance(block, File):
        text = block.media_type.startswith("text/")
        return _tokens(block.data) if text else -(-len(block.data) // FILE_BYTES)
    if isinstance(block, ToolResult):
        return sum(map(_block, block.content))
    if isinstance(block, ToolCall) and block.raw is not None:
        return _tokens(block.raw)
    return _tokens(_written(block.as_plain()))


def _written(value: Any) -> str:
    try:
        return write_json(value)
    except ValueError:
        return str(value)  # it cannot be sent either; the provider says so

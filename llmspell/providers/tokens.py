"""Estimates how many tokens a conversation has, where no provider has reported it yet.

Only a model's own tokenizer is exact, and most providers do not publish theirs. UTF-8 has about
four bytes per token in the languages models are trained on. Each report corrects the estimate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from llmspell.providers.messages import (
    Block,
    File,
    Image,
    Message,
    ModelRequest,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from llmspell.values import Value

_BYTES = 4  # per token
_IMAGE = 1000  # tokens; about those of a one-megapixel image
_FILE_BYTES = 16  # per token
_FRAME = 4  # tokens around each message


def tokens_in(text: str) -> int:
    length = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-length // _BYTES)


def tokens_of(messages: Iterable[Message]) -> int:
    return sum([_FRAME + sum(map(_of_block, m.content)) for m in messages])


def _of_block(block: Block) -> int:
    match block:
        case Text(text) | Refusal(text):
            return tokens_in(text)
        case ToolCall():
            return tokens_in(block.name) + tokens_in(block.raw or _json(block.arguments))
        case ToolResult():
            return sum(map(_of_block, block.content))
        case Image():
            return _IMAGE
        case File():
            return len(block.data) // _FILE_BYTES if block.data else _IMAGE
        case _:  # blocks that only their provider understands, such as its reasoning
            return tokens_in(_json(block.as_plain()))


def tokens_around(request: ModelRequest) -> int:
    """Estimate the tokens of everything but the messages."""
    texts = [_json(tool.as_plain()) for tool in request.tools]
    if request.output is not None:
        texts.append(_json(request.output))
    return sum(map(tokens_in, [request.system or "", *texts]))


def tokens_asked(request: ModelRequest) -> int:
    """Estimate the tokens of the whole request."""
    return tokens_around(request) + tokens_of(request.messages)


def _json(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def estimated_usage(request: ModelRequest, pieces: Iterable[Value]) -> Usage:
    """Estimate the usage of an answer without a report, from its pieces so far."""
    texts = [p if isinstance(p, str) else _json(p) for p in pieces]
    return Usage(tokens_asked(request), tokens_in("".join(texts)))

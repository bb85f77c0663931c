"""How many tokens a conversation has: as providers report it, estimated where none has yet.

Only a model's own tokenizer knows for sure, and providers do not hand theirs out. UTF-8 has about
four bytes a token in the languages models are trained on. That guess is set right by each report.
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

_BYTES = 4  # of a token
_IMAGE = 1000  # tokens; those of a picture of a megapixel, more or less
_FILE_BYTES = 16  # of a token
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
        case _:  # what only its provider understands, such as its reasoning
            return tokens_in(_json(block.as_plain()))


def tokens_around(request: ModelRequest) -> int:
    """Those of all that is not a message."""
    said = [_json(tool.as_plain()) for tool in request.tools]
    if request.output is not None:
        said.append(_json(request.output))
    return sum(map(tokens_in, [request.system or "", *said]))


def tokens_asked(request: ModelRequest) -> int:
    """Those of all of it."""
    return tokens_around(request) + tokens_of(request.messages)


def _json(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def estimated_usage(request: ModelRequest, pieces: Iterable[Value]) -> Usage:
    """What an answer costs of which no report came, given its pieces so far."""
    said = [p if isinstance(p, str) else _json(p) for p in pieces]
    return Usage(tokens_asked(request), tokens_in("".join(said)))

"""Helpers for parsing responses, shared by all protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmspell.providers.failures import malformed_answer
from llmspell.providers.messages import Block, ToolCall
from llmspell.providers.strict_json import read_json, write_json

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.messages import ModelRequest


NAMELESS = "no-name"  # servers accept it in the conversation, and no tool can be called that


def tool_call(
    id: Any,  # noqa: A002 - the natural name
    name: Any,
    arguments: Any,
    request: ModelRequest,
    before: Sequence[Block],
) -> ToolCall:
    """Build the `ToolCall` for a call in an answer; `before` are the answer's preceding blocks.

    A missing id, or one that an earlier call already has, is replaced. So is a missing name, with
    one that no tool has, so that the model is told.
    """
    earlier = [block.id for block in before if isinstance(block, ToolCall)]
    if not id or not isinstance(id, str) or id in earlier:
        id = _made_up_id(request, len(earlier))  # noqa: A001
    if not name or not isinstance(name, str):
        name = NAMELESS
    return ToolCall(id, name, *_arguments(arguments))


def piece_of(text: str, endpoint: Endpoint) -> dict[str, Any]:
    """Parse one chunk of a streamed answer. Raises ProviderError when it is not a JSON object."""
    try:
        piece = read_json(text)
    except ValueError:
        piece = None
    if not isinstance(piece, dict):
        raise malformed_answer(endpoint, "a piece of the answer is not a JSON object")
    return piece


def _made_up_id(request: ModelRequest, index: int) -> str:
    """Return an id that is unique in the conversation and deterministic, so replays repeat it."""
    before = sum([len(message.tool_calls) for message in request.messages])
    return f"call{before + index + 1:05}"


def _arguments(written: Any) -> tuple[dict[str, Any], str | None, str | None]:
    """Return the arguments; if they cannot be parsed, `{}`, the problem and the raw text."""
    if isinstance(written, dict):
        return written, None, None
    if written is None or written == "":
        return {}, None, None
    raw = written if isinstance(written, str) else write_json(written)
    try:
        value = read_json(raw)
    except ValueError as error:
        return {}, f"the arguments are not valid JSON: {error}", raw
    if value is None:
        return {}, None, None
    if not isinstance(value, dict):
        return {}, "the arguments are not a JSON object", raw
    return value, None, None


def count(table: Any, name: str) -> int:
    """Return the positive integer `table[name]`, such as a token count; 0 for anything else."""
    number = table.get(name) if isinstance(table, dict) else None
    return number if type(number) is int and number > 0 else 0


def string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def entries(value: Any) -> list[Any]:
    """Return `value` if it is a list, else an empty list."""
    return value if isinstance(value, list) else []

"""What the readers of answers share, whatever the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmspell.providers.failures import nonsense
from llmspell.providers.messages import Block, ToolCall
from llmspell.providers.strict_json import read_json, write_json

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint
    from llmspell.providers.messages import ModelRequest


def tool_call(
    id: Any,  # noqa: A002 - it is the id
    name: str,
    arguments: Any,
    request: ModelRequest,
    before: Sequence[Block],
) -> ToolCall:
    """A call as the model made it; `before` are the blocks of the answer that stand before it.

    An id that is missing, or that an earlier call has, is replaced.
    """
    earlier = [block.id for block in before if isinstance(block, ToolCall)]
    if not id or not isinstance(id, str) or id in earlier:
        id = _made_up_id(request, len(earlier))  # noqa: A001
    return ToolCall(id, name, *_arguments(arguments))


def piece_of(text: str, endpoint: Endpoint) -> dict[str, Any]:
    """A piece of a streamed answer. Raises ProviderError when it is no JSON object."""
    try:
        piece = read_json(text)
    except ValueError:
        piece = None
    if not isinstance(piece, dict):
        raise nonsense(endpoint, "a piece of the answer is not a JSON object")
    return piece


def _made_up_id(request: ModelRequest, index: int) -> str:
    """Unique in the conversation, and the same whenever the same is answered to the same."""
    before = sum([len(message.tool_calls) for message in request.messages])
    return f"call{before + index + 1:05}"


def _arguments(written: Any) -> tuple[dict[str, Any], str | None, str | None]:
    """The arguments; or none, what is wrong with them, and what the model wrote."""
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
    """A number of tokens, or the like; 0 when it is missing or none."""
    number = table.get(name) if isinstance(table, dict) else None
    return number if type(number) is int and number > 0 else 0


def string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def entries(value: Any) -> list[Any]:
    """A list; an empty one when it is none."""
    return value if isinstance(value, list) else []

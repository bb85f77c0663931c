"""Puts a model's answer into a stream as it arrives.

A request remains one effect with one result, which also records how the answer was split into
pieces. So a replay can stream the same pieces without asking the model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from llmspell.agents.streams import Piece, Stream, StreamStopped
from llmspell.errors import ProviderError
from llmspell.providers.messages import (
    INTERRUPTED,
    Delta,
    Message,
    ModelRequest,
    ModelResponse,
    ReasoningDelta,
    Text,
    TextDelta,
)
from llmspell.providers.tokens import estimated_usage
from llmspell.values import Value


async def stream_response(
    request: ModelRequest, parts: AsyncGenerator[Delta | ModelResponse, None], stream: Stream
) -> dict[str, Value]:
    """Stream an answer and return it in plain form, with `pieces`: groups of texts and {reasoning}.

    Raises:
        ProviderError: Its details have the `pieces` streamed before, if any. It is then not
            retryable, since the spell has already seen them.
    """
    if stream.pieces:
        raise ProviderError(
            "the spell has already got a part of this answer, which no model can continue",
            hint="catch this error, and prompt the agent again",
            details={"pieces": stream.pieces},
        )
    try:
        response = await stream.interruptible(_read(parts, stream))
    except ProviderError as error:
        if stream.pieces:
            error.details["pieces"], error.retryable = stream.pieces, False
        raise
    except StreamStopped:
        response = _partial_response(request, stream.pieces)
    return response.as_plain() | {"pieces": stream.pieces}


async def _read(
    parts: AsyncGenerator[Delta | ModelResponse, None], stream: Stream
) -> ModelResponse:
    begun = spoke = False
    try:
        async with aclosing(parts):
            async for part in parts:
                if type(part) is ModelResponse:
                    if text := unstreamed_text(part.message, spoke=spoke):
                        stream.push(text)
                    return part
                begun = True
                if type(part) is TextDelta:
                    spoke = True
                    stream.push(part.text)
                elif type(part) is ReasoningDelta:
                    stream.push({"reasoning": part.text})
                if stream.is_full:
                    await stream.wait_for_room()
    except ProviderError as error:
        error.billed |= begun  # tool calls count too, though they are not pieces
        raise
    raise ProviderError("the provider's answer was incomplete")


def unstreamed_text(message: Message, *, spoke: bool) -> str:
    """Return what no delta had of an answer's text; `spoke` is whether some had text.

    Refusals have no deltas, and some servers send a text only with the whole answer.
    """
    return message.refusal or ("" if spoke else message.text)


def _partial_response(request: ModelRequest, groups: list[list[Piece]]) -> ModelResponse:
    pieces = [piece for group in groups for piece in group]
    text = "".join([piece for piece in pieces if isinstance(piece, str)])
    message = Message("assistant", (Text(text),) if text else ())
    usage = estimated_usage(request, pieces)
    return ModelResponse(message, usage, INTERRUPTED, model=request.model)

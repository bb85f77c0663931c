"""A model's answer, put into a stream while it comes.

A request stays one effect with one result, which also says into which pieces the answer was cut.
So it can be recorded, and its pieces told once more without asking the model.
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
    """The answer as plain values, with its `pieces`: groups of texts and of {reasoning}.

    Raises:
        ProviderError: With the `pieces` that came before in its details, if any. It is not
            retryable then, since they cannot be taken back.
    """
    if stream.pieces:
        raise ProviderError("part of an answer was handed over, so it cannot be asked for again")
    try:
        response = await stream.interruptible(_read(parts, stream))
    except ProviderError as error:
        if stream.pieces:
            error.details["pieces"], error.retryable = stream.pieces, False
        raise
    except StreamStopped:
        response = _as_far_as_it_came(request, stream.pieces)
    return response.as_plain() | {"pieces": stream.pieces}


async def _read(
    parts: AsyncGenerator[Delta | ModelResponse, None], stream: Stream
) -> ModelResponse:
    begun = False
    try:
        async with aclosing(parts):
            async for part in parts:
                if type(part) is ModelResponse:
                    return part
                begun = True
                if type(part) is TextDelta:
                    stream.tell(part.text)
                elif type(part) is ReasoningDelta:
                    stream.tell({"reasoning": part.text})
                if stream.is_full:
                    await stream.room()
    except ProviderError as error:
        error.billed |= begun  # also for calls of tools, which are no pieces
        raise
    raise ProviderError("the provider's answer had no end")


def _as_far_as_it_came(request: ModelRequest, groups: list[list[Piece]]) -> ModelResponse:
    pieces = [piece for group in groups for piece in group]
    text = "".join([piece for piece in pieces if isinstance(piece, str)])
    message = Message("assistant", (Text(text),) if text else ())
    usage = estimated_usage(request, pieces)
    return ModelResponse(message, usage, INTERRUPTED, model=request.model)

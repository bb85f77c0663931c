"""A model's answer, put into a stream while it comes.

A request stays one effect with one result, which also says into which pieces the answer was cut.
So it can be recorded, and its pieces told once more without asking the model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from llmspell.agents.streams import Event, Stopped, Stream
from llmspell.errors import ProviderError
from llmspell.providers.messages import (
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

INTERRUPTED = "interrupted"  # the finish reason of an answer of which the spell wanted no more


async def streamed(
    request: ModelRequest, parts: AsyncGenerator[Delta | ModelResponse, None], stream: Stream
) -> dict[str, Value]:
    """The answer as plain values, with its `pieces`: texts, and tables {reasoning}.

    Raises:
        ProviderError: With the `pieces` that came before in its details, if any. It is not
            retryable then, since they cannot be taken back.
    """
    pieces: list[Value] = []
    try:
        response = await stream.interruptible(_read(parts, pieces, stream))
    except ProviderError as error:
        if pieces:
            error.details["pieces"], error.retryable = pieces, False
        raise
    except Stopped:
        response = _as_far_as_it_came(request, pieces)
    return response.as_plain() | {"pieces": pieces}


async def _read(
    parts: AsyncGenerator[Delta | ModelResponse, None], pieces: list[Value], stream: Stream
) -> ModelResponse:
    async with aclosing(parts):
        async for part in parts:
            if type(part) is ModelResponse:
                return part
            if type(part) is TextDelta:
                pieces.append(part.text)
            elif type(part) is ReasoningDelta:
                pieces.append({"reasoning": part.text})
            else:
                continue
            tell(pieces[-1], stream)
            await stream.room()
    raise ProviderError("the provider's answer had no end")


def tell(piece: Value, stream: Stream) -> None:
    """Put a piece of an answer into a stream."""
    stream.sent += 1
    stream.put(_event(piece))


def catch_up(pieces: Sequence[Value], stream: Stream) -> None:
    """Tell the pieces of an answer that came from elsewhere than a model just now."""
    if stream.sent == 0:
        for piece in pieces:
            tell(piece, stream)


def _event(piece: Value) -> Event:
    if isinstance(piece, dict):
        return {"type": "reasoning", "text": piece.get("reasoning")}
    return {"type": "text", "text": piece}


def _as_far_as_it_came(request: ModelRequest, pieces: list[Value]) -> ModelResponse:
    text = "".join([piece for piece in pieces if isinstance(piece, str)])
    message = Message("assistant", (Text(text),) if text else ())
    usage = estimated_usage(request, pieces)
    return ModelResponse(message, usage, INTERRUPTED, model=request.model)

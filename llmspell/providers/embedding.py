"""Embeddings: requests, responses, and splitting a large request into batches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from llmspell.concurrency import gather
from llmspell.providers.messages import Usage
from llmspell.values import Value

Vector = list[float]

_TEXTS = 256  # per batch
_BYTES = 400_000  # per batch: OpenAI takes 300,000 tokens, others less
_AT_ONCE = 4  # concurrent batches


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts to embed.

    Attributes:
        model: Provider and model, such as `openai/text-embedding-3-small`.
        dimensions: Length of the vectors, for models that can shorten them.
        key: The idempotency key.
    """

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text, in order; `model` is the model that made them."""

    vectors: list[Vector]
    usage: Usage
    model: str

    def as_plain(self) -> dict[str, Value]:
        return {"vectors": self.vectors, "usage": self.usage.as_plain(), "model": self.model}


async def in_batches(
    request: EmbedRequest, embed: Callable[[Sequence[str], str | None], Awaitable[Embeddings]]
) -> Embeddings:
    """Embed the texts in concurrent batches: `embed` takes a batch and its key."""
    batches = list(_batches(request.texts))

    async def one(number: int) -> Embeddings:
        key = f"{request.key}/{number}" if request.key and len(batches) > 1 else request.key
        return await embed(batches[number], key)

    answers: list[Embeddings] = []
    for start in range(0, len(batches), _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, len(batches)))
        answers += await gather([one(number) for number in numbers])
    usage = sum((answer.usage for answer in answers), Usage())
    vectors = [vector for answer in answers for vector in answer.vectors]
    return Embeddings(vectors, usage, answers[0].model if answers else request.model)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = size = 0
    for end, text in enumerate(texts):
        length = len(text.encode("utf-8", "replace"))
        if end > start and (end - start == _TEXTS or size + length > _BYTES):
            yield texts[start:end]
            start, size = end, 0
        size += length
    if texts:
        yield texts[start:]

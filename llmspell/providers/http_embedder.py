"""Providers that also make vectors of texts; each says its protocol's part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmspell.providers.embedding import Embeddings, EmbedRequest, Vector, in_batches
from llmspell.providers.failures import nonsense
from llmspell.providers.http_provider import Body, HttpProvider
from llmspell.providers.messages import Usage
from llmspell.providers.provider import ModelName

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint


class HttpEmbedder(HttpProvider):
    """See `HttpProvider`."""

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Make texts vectors, in as many requests as it takes. Raises ProviderError."""
        self._check_key()
        model = ModelName.parse(request.model).model
        path = self._at(self.embed_path(model))

        async def one(texts: Sequence[str], key: str | None) -> Embeddings:
            body = self.embed_body(model, texts, request.dimensions)
            data = await self._connection.post(path, body, key=key)
            vectors, usage = self.vectors(data, texts)
            if len(vectors) != len(texts):
                what = f"{len(texts)} texts were asked for, and {len(vectors)} vectors came"
                raise nonsense(self.endpoint, what)
            return Embeddings(vectors, usage, request.model)

        return await in_batches(request, one)

    @abstractmethod
    def embed_path(self, model: str) -> str:
        """What a model is asked at, after the base URL."""

    @abstractmethod
    def embed_body(self, model: str, texts: Sequence[str], dimensions: int | None) -> Body:
        """What is posted."""

    @abstractmethod
    def vectors(self, data: Body, texts: Sequence[str]) -> tuple[list[Vector], Usage]:
        """What an answer says, in the order of the texts. Raises ProviderError."""


def entries_in(data: Body, name: str, endpoint: Endpoint) -> list[Body]:
    """The list of that name, of tables. Raises ProviderError when it is none."""
    entries = data.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise nonsense(endpoint, "the answer holds no list of vectors")
    return entries


def vector_in(given: Any, endpoint: Endpoint) -> Vector:
    """A list of numbers. Raises ProviderError when it is none."""
    numbers = (float, int)
    if not isinstance(given, list) or not all(type(number) in numbers for number in given):
        raise nonsense(endpoint, "the answer holds a vector that is none")
    return [float(number) for number in given]

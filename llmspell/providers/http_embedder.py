"""Base class of the HTTP providers that also embed texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmspell.providers.embedding import Embeddings, EmbedRequest, Vector, in_batches
from llmspell.providers.failures import malformed_answer
from llmspell.providers.http_provider import Body, HttpProvider
from llmspell.providers.messages import Usage
from llmspell.providers.provider import ModelName

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint


class HttpEmbedder(HttpProvider):
    """See `HttpProvider`."""

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Embed the texts, in as many requests as necessary. Raises ProviderError."""
        self._check_key()
        model = ModelName.parse(request.model).model
        path = self._at(self.embed_path(model))

        async def one(texts: Sequence[str], key: str | None) -> Embeddings:
            body = self.embed_body(model, texts, request.dimensions)
            data = await self._connection.post(path, body, key=key)
            vectors, usage = self.vectors(data, texts)
            if len(vectors) != len(texts):
                what = f"expected {len(texts)} vectors, got {len(vectors)}"
                raise malformed_answer(self.endpoint, what)
            return Embeddings(vectors, usage, request.model)

        return await in_batches(request, one)

    @abstractmethod
    def embed_path(self, model: str) -> str:
        """Return the path to post to, after the base URL."""

    @abstractmethod
    def embed_body(self, model: str, texts: Sequence[str], dimensions: int | None) -> Body:
        """Return the JSON body to post."""

    @abstractmethod
    def vectors(self, data: Body, texts: Sequence[str]) -> tuple[list[Vector], Usage]:
        """Parse an answer: the vectors, in the order of the texts. Raises ProviderError."""


def entries_in(data: Body, name: str, endpoint: Endpoint) -> list[Body]:
    """Return the list of objects `data[name]`. Raises ProviderError when it is not one."""
    entries = data.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise malformed_answer(endpoint, "the answer holds no list of vectors")
    return entries


def vector_in(given: Any, endpoint: Endpoint) -> Vector:
    """Return a list of numbers as a vector. Raises ProviderError when it is not one."""
    numbers = (float, int)
    if not isinstance(given, list) or not all(type(number) in numbers for number in given):
        raise malformed_answer(endpoint, "the answer holds an invalid vector")
    return [float(number) for number in given]

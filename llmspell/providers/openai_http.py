"""What OpenAI's protocols have in common: who asks, and how texts become vectors.

Source of the format: `openai.types.create_embedding_response` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmspell.providers.answer_parts import count, string
from llmspell.providers.embedding import Embeddings, EmbedRequest, Vector, in_batches
from llmspell.providers.failures import failed_inside, nonsense
from llmspell.providers.http_provider import Body, HttpProvider
from llmspell.providers.messages import Usage
from llmspell.providers.provider import ModelName

if TYPE_CHECKING:
    from llmspell.providers.catalogue import Endpoint


class OpenAIHttp(HttpProvider):
    """See `HttpProvider`."""

    def headers(self) -> dict[str, str]:
        """What shows the server who asks."""
        key, name = self.endpoint.key, self.endpoint.quirks.key_header
        if not key:
            return {}
        return {name: f"Bearer {key}" if name == "authorization" else key}

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Make texts vectors. Raises ProviderError."""
        self._check_key()
        body: Body = {"model": ModelName.parse(request.model).model}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        path = self._with_query("/embeddings")

        async def one(texts: Sequence[str], key: str | None) -> Embeddings:
            asked = body | {"input": list(texts)}
            data = await self._connection.post(path, asked, key=key)
            return _embeddings(data, len(texts), request, self.endpoint)

        return await in_batches(request, one)


def _embeddings(data: Body, number: int, request: EmbedRequest, endpoint: Endpoint) -> Embeddings:
    if error := data.get("error"):
        raise failed_inside(endpoint, error)
    entries = data.get("data")
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise nonsense(endpoint, "the answer holds no list of vectors")
    # They come in order, but for servers that say otherwise.
    found = {entry.get("index", place): entry for place, entry in enumerate(entries)}
    if sorted(found) != list(range(number)):
        raise nonsense(endpoint, f"{number} texts were asked for, and {len(entries)} vectors came")
    model = string(data.get("model"))
    return Embeddings(
        vectors=[_vector(found[place].get("embedding"), endpoint) for place in range(number)],
        usage=Usage(input_tokens=count(data.get("usage"), "prompt_tokens")),
        model=f"{endpoint.name}/{model}" if model else request.model,
    )


def _vector(given: Any, endpoint: Endpoint) -> Vector:
    numbers = (float, int)
    if not isinstance(given, list) or not all(type(number) in numbers for number in given):
        raise nonsense(endpoint, "the answer holds a vector that is none")
    return [float(number) for number in given]

"""Base class for OpenAI's protocols: authentication and embeddings.

Source of the format: `openai.types.create_embedding_response` of the official Python SDK.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmspell.providers.answer_parts import count
from llmspell.providers.embedding import Vector
from llmspell.providers.failures import failed_inside, malformed_answer
from llmspell.providers.http_embedder import HttpEmbedder, entries_in, vector_in
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import Usage


class OpenAIHttp(HttpEmbedder):
    """See `HttpProvider`."""

    def headers(self) -> dict[str, str]:
        """Return the authentication header."""
        key, name = self.endpoint.key, self.endpoint.quirks.key_header
        if not key:
            return {}
        return {name: f"Bearer {key}" if name == "authorization" else key}

    def embed_path(self, model: str) -> str:  # noqa: ARG002 - the body says it
        return "/embeddings"

    def embed_body(self, model: str, texts: Sequence[str], dimensions: int | None) -> Body:
        body: Body = {"model": model, "input": list(texts)}
        return body if dimensions is None else body | {"dimensions": dimensions}

    def vectors(self, data: Body, texts: Sequence[str]) -> tuple[list[Vector], Usage]:
        if error := data.get("error"):
            raise failed_inside(self.endpoint, error)
        entries = entries_in(data, "data", self.endpoint)
        # In order, unless the server gives indices.
        placed = {entry.get("index", place): entry for place, entry in enumerate(entries)}
        if placed.keys() != set(range(len(entries))):
            what = f"the vectors do not match the {len(texts)} texts"
            raise malformed_answer(self.endpoint, what)
        vectors = [placed[place].get("embedding") for place in range(len(entries))]
        usage = Usage(input_tokens=count(data.get("usage"), "prompt_tokens"))
        return [vector_in(vector, self.endpoint) for vector in vectors], usage

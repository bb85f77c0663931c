"""OpenAI's chat completions, which most other providers and local servers speak too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.providers.connection import Connection
from llmspell.providers.failures import missing_key
from llmspell.providers.openai_answer import response_from
from llmspell.providers.openai_body import request_body
from llmspell.providers.provider import ModelName

if TYPE_CHECKING:
    import httpx2

    from llmspell.providers.catalogue import Endpoint
    from llmspell.providers.messages import ModelRequest, ModelResponse


class OpenAIChat:
    """A provider at an endpoint. See `Provider`.

    Args:
        endpoint: Where it is, its key and its quirks.
        transport: In place of the network, for tests.
        max_retries: How often a request no answer began for is sent again.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        max_retries: int = 2,
    ) -> None:
        self.name = endpoint.name
        self.endpoint = endpoint
        headers = {"authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._connection = Connection(
            endpoint, headers, transport=transport, max_retries=max_retries
        )

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self._check_key()
        model = ModelName.parse(request.model).model
        body = request_body(request, model, self.endpoint)
        data = await self._connection.post("/chat/completions", body)
        return response_from(data, request, self.endpoint)

    async def list_models(self) -> list[str]:
        """The models the server says it has. Raises ProviderError."""
        self._check_key()
        data = await self._connection.get("/models")
        entries = data.get("data") if isinstance(data, dict) else data
        found = [e.get("id") for e in entries or () if isinstance(e, dict)]
        return [name for name in found if isinstance(name, str)]

    def _check_key(self) -> None:
        if self.endpoint.key_env is not None and self.endpoint.key is None:
            raise missing_key(self.endpoint)

    async def close(self) -> None:
        await self._connection.close()

"""The interface of providers, which speak a wire protocol to models."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from llmspell.errors import InvalidArguments
from llmspell.values import is_encodable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from llmspell.providers.messages import Delta, ModelRequest, ModelResponse


class Provider(Protocol):
    """Answers requests to models, any number of them concurrently.

    `stream` may be missing: then an answer comes in one piece, see `Models.stream`.

    Attributes:
        name: The part of its models' names before the first slash.
    """

    name: str

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """Ask the model and wait for its whole answer.

        Raises:
            ProviderError: The provider cannot be reached, reports an error, or sends a malformed
                answer.
            InvalidArguments: The request cannot be expressed in this provider's protocol.
        """
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | ModelResponse, None]:
        """Ask the model, and yield the deltas of its answer, then the whole answer.

        Closing the generator ends the request. Raises as `complete` does.
        """
        ...

    async def close(self) -> None:
        """Close its connections. It may be used and closed again afterwards."""
        ...


class ModelName(NamedTuple):
    """A model's name: `openai/gpt-5.4-mini`, `openrouter/meta-llama/llama-4`."""

    provider: str
    model: str

    @classmethod
    def parse(cls, name: str) -> ModelName:
        """Split at the first slash. Raises InvalidArguments when a part is missing or no text."""
        provider, _, model = name.partition("/")
        if not provider or not model or name != name.strip() or not is_encodable(name):
            raise InvalidArguments(
                "model",
                [f"{name!r} does not name a provider and a model"],
                hint="write it as provider/model, such as openai/gpt-5.4-mini or ollama/llama3.2",
            )
        return cls(provider, model)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"

"""A provider: whoever speaks to models in one wire protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from llmspell.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from llmspell.providers.messages import Delta, ModelRequest, ModelResponse


class Provider(Protocol):
    """Answers requests; any number of them at once.

    `stream` may be missing: then an answer comes in one piece, see `Models.stream`.

    Attributes:
        name: What stands before the first slash of its models' names.
    """

    name: str

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """Ask the model and wait for its whole answer.

        Raises:
            ProviderError: The provider cannot be reached, refuses, or answers nonsense.
            InvalidArguments: The request holds something this provider has no words for.
        """
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | ModelResponse, None]:
        """Ask the model: the parts of its answer as they come, then the whole of it.

        The iterator is an async generator; to close it ends the request. Raises as `complete`.
        """
        ...

    async def close(self) -> None:
        """Let go of its connections. It may be used again, and closed again."""
        ...


class ModelName(NamedTuple):
    """A model as everyone names it: `openai/gpt-5.4-mini`, `openrouter/meta-llama/llama-4`."""

    provider: str
    model: str

    @classmethod
    def parse(cls, name: str) -> ModelName:
        """Split at the first slash. Raises InvalidArguments when a part is missing."""
        provider, _, model = name.partition("/")
        if not provider or not model or name != name.strip():
            raise InvalidArguments(
                "model",
                [f"{name!r} does not name a provider and a model"],
                hint="write it as provider/model, such as openai/gpt-5.4-mini or ollama/llama3.2",
            )
        return cls(provider, model)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"

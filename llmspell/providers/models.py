"""Routes requests to providers, by the name of the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from llmspell.concurrency import Answer
from llmspell.errors import ConfigError, LlmspellError, ProviderError
from llmspell.providers.provider import ModelName, Provider
from llmspell.providers.request_coalescing import Caller, RequestCoalescer
from llmspell.providers.settings import ProviderSettings
from llmspell.registry import Registry
from llmspell.shutdown import close

if TYPE_CHECKING:
    from llmspell.providers.default_model import Choice
    from llmspell.providers.embedding import Embeddings, EmbedRequest
    from llmspell.providers.messages import Delta, ModelRequest, ModelResponse
    from llmspell.providers.weights import Progress


class Substitutes(dict[str, str]):
    """Maps names of models to those that a run asks instead.

    Attributes:
        used: The models that were replaced in a request that was sent, not answered from a record.
    """

    def __init__(self, models: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(models)
        self.used: set[str] = set()

    def of(self, request: ModelRequest) -> ModelRequest:
        """Return the request with its model replaced, if there is a replacement."""
        model = self.get(request.model)
        return request if model is None else replace(request, model=model)


class Models:
    """Opens a provider at the first request to one of its models, and keeps it until `close`.

    A provider named `*` stands for all others.

    Attributes:
        providers: The providers passed in, registered by plugins, or opened since.
    """

    def __init__(
        self,
        configured: str | None,
        settings: Mapping[str, ProviderSettings],
        environ: Mapping[str, str],
        *,
        providers: Iterable[Provider] = (),
        embedder: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._configured, self._embedder = configured, embedder
        self._settings, self._environ = settings, environ
        self.providers: Registry[Provider] = Registry("provider")
        for provider in providers:
            self.register(provider)
        self._progress = progress
        self._coalescer = RequestCoalescer()
        self._default: Choice | None = None

    def register(self, provider: Provider) -> None:
        """Add a provider; it takes precedence over a catalogue entry of the same name.

        Raises ValueError when the name is already registered, TypeError when it is no provider.
        """
        name: Any = getattr(provider, "name", None)
        if not isinstance(name, str) or not callable(getattr(provider, "complete", None)):
            hint = "it has a name, and async methods complete(request) and close()"
            raise TypeError(f"{provider!r} is not a provider: {hint}")
        self.providers.register(provider.name, provider)

    def remove(self, name: str) -> None:
        self.providers.remove(name)

    async def default(self) -> Choice:
        """Return the model for agents that name none, and why it was chosen."""
        if self._default is None:
            import logging

            from llmspell.providers.default_model import choose_model

            choice = await choose_model(self._configured, self._settings, self._environ)
            if self._default is None:  # a concurrent call may have chosen it
                self._default = choice
                logging.getLogger("llmspell.models").info("%s", choice.reason)
        return self._default

    @property
    def chosen(self) -> Choice | None:
        """The default model, or None if no agent has needed it yet."""
        return self._default

    def complete(self, request: ModelRequest) -> Coroutine[Any, Any, ModelResponse]:
        """Ask a model. Raises ProviderError; UnknownEffect for an unknown provider."""
        name = ModelName.parse(request.model).provider
        provider = self._provider(name)
        settings = self._settings.get(name)
        if settings is not None and settings.share:
            return self._coalescer.complete(partial(_answer_of, provider), request)
        return _answer_of(provider, request)

    def join(self, request: ModelRequest, caller: Caller) -> AbstractContextManager[None]:
        """Join an identical request in flight, if the settings share it: `RequestCoalescer.join`."""
        settings = self._settings.get(request.model.partition("/")[0])
        if settings is None or not settings.share:
            return nullcontext()
        return self._coalescer.join(request, caller)

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | ModelResponse, None]:
        """Yield the deltas of an answer, then the whole answer. Raises as `complete` does."""
        provider = self._provider(ModelName.parse(request.model).provider)
        stream = getattr(provider, "stream", None)
        return _as_stream(provider, request) if stream is None else stream(request)

    def check(self, model: str) -> None:
        """Check that a model's name is well-formed and its provider exists.

        Raises:
            InvalidArguments: The name is not of the form `provider/model`.
            UnknownEffect: There is no such provider.
        """
        name = ModelName.parse(model).provider
        if name == "local" or name in self.providers or "*" in self.providers:
            return
        from llmspell.providers.endpoints import check_known

        check_known(name, self._settings)

    def open(self, name: str) -> None:
        """Open a provider, unless it is open.

        Raises:
            ConfigError: Its settings cannot be used.
            UnknownEffect: There is no such provider.
        """
        if name not in self.providers and "*" not in self.providers:
            self.providers.register(name, self._open(name))

    def as_sent(self, request: ModelRequest) -> ModelRequest:
        """Return the request with the limits its provider would send: `HttpProvider.as_sent`."""
        try:
            provider = self._provider(ModelName.parse(request.model).provider)
        except LlmspellError:
            return request  # sending it fails, unless a hook or middleware answers in its place
        sent = getattr(provider, "as_sent", None)
        return request if sent is None else sent(request)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Embed texts. Raises ProviderError; UnknownEffect for an unknown provider."""
        name = ModelName.parse(request.model).provider
        embed = getattr(self._provider(name), "embed", None)
        if embed is None:
            raise ProviderError(
                f"{name} does not make embeddings",
                hint="local/minilm does, and so do providers that speak OpenAI's or Gemini's protocol",
            )
        embeddings: Embeddings = await embed(request)
        return embeddings

    def embedder(self) -> str:
        """Return the embedding model that is used when none is named."""
        from llmspell.providers.default_model import choose_embedder

        return choose_embedder(self._embedder, self._settings, self._environ)

    async def offered(self, name: str) -> list[str]:
        """Return the models a provider lists, without the provider's name.

        Raises:
            ProviderError: It cannot be asked, or has no list.
            UnknownEffect: There is no such provider.
        """
        provider = self._provider(name)
        listing = getattr(provider, "list_models", None)
        if listing is None:
            raise ProviderError(f"{name} does not list its models")
        names: list[str] = await listing()
        return names

    async def close(self) -> None:
        """Close all providers, even if the caller is cancelled meanwhile."""
        async with AsyncExitStack() as stack:
            for name, provider in self.providers.items():
                stack.push_async_callback(close, f"the provider {name!r}", provider.close)

    def _provider(self, name: str) -> Provider:
        provider = self.providers.get(name) or self.providers.get("*")
        if provider is None:
            try:
                provider = self._open(name)
            except ConfigError as error:  # in a spell, it is the failure of a request
                details = {"provider": name, "problems": error.problems}
                raise ProviderError(error.message, hint=error.hint, details=details) from None
            self.providers.register(name, provider)
        return provider

    def _open(self, name: str) -> Provider:
        if name == "local":
            from llmspell.providers.local_provider import LocalProvider

            return LocalProvider(self._progress)
        from llmspell.providers.endpoints import open_provider

        return open_provider(name, self._settings, self._environ)


async def _answer_of(provider: Provider, request: ModelRequest) -> ModelResponse:
    """Ask a provider, which may be somebody's own. Raises ProviderError for what it must not do."""
    from llmspell.providers.messages import ModelResponse

    try:
        answer: Answer[Any] = provider.complete(request)
        response = await answer if hasattr(answer, "__await__") else answer
    except LlmspellError:
        raise
    except Exception as error:
        message = f"{provider.name}: {type(error).__name__}: {error}"
        raise ProviderError(message, hint="see the traceback with --debug") from error
    if not isinstance(response, ModelResponse):
        message = f"{provider.name}: complete returned {response!r:.80}, which is no ModelResponse"
        raise ProviderError(message)
    return response


async def _as_stream(
    provider: Provider, request: ModelRequest
) -> AsyncGenerator[Delta | ModelResponse, None]:
    """Present the answer of a provider that cannot stream as a stream."""
    from llmspell.providers.deltas import deltas_of

    response = await _answer_of(provider, request)
    for delta in deltas_of(response):
        yield delta
    yield response

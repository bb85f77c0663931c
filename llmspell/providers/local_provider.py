"""The provider `local`: models that run in llama.cpp servers started on demand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

from llmspell.errors import ProviderError
from llmspell.providers.body_parts import file_as_text
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.llamacpp_server import LocalServer
from llmspell.providers.messages import File, Image, ToolResult
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.provider import ModelName

if TYPE_CHECKING:
    from llmspell.providers.embedding import Embeddings, EmbedRequest
    from llmspell.providers.messages import Block, Delta, ModelRequest, ModelResponse
    from llmspell.providers.minilm import MiniLM
    from llmspell.providers.weights import Progress


class LocalProvider:
    """Starts a server per model, such as `local/smollm2` or `local/x.gguf`, at its first request."""

    name = "local"

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._minilm: MiniLM | None = None
        self._servers: dict[str, LocalServer] = {}
        self._chats: dict[str, OpenAIChat] = {}  # by base URL: a restarted server has another port

    async def complete(self, request: ModelRequest) -> ModelResponse:
        return await (await self._chat(request)).complete(request)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | ModelResponse, None]:
        chat = await self._chat(request)
        async with aclosing(chat.stream(request)) as parts:
            async for part in parts:
                yield part

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Embed the texts with `local/minilm`. Raises ProviderError."""
        from llmspell.providers.minilm import NAME, MiniLM

        model = ModelName.parse(request.model).model
        if model != NAME:
            problem = f"local/{model} does not make embeddings"
            raise ProviderError(
                problem, hint=f"local/{NAME} does, and so do models of other providers"
            )
        self._minilm = self._minilm or MiniLM()
        return await self._minilm.embed(request)

    async def list_models(self) -> list[str]:
        """Return the models that are on this machine or can be downloaded."""
        from llmspell.providers.local_models import local_models

        return [one.name for one in local_models()]

    async def _chat(self, request: ModelRequest) -> OpenAIChat:
        """Return a client for the model's server, started if necessary.

        Raises:
            ProviderError: The server cannot run, or the request contains more than text.
        """
        model = ModelName.parse(request.model).model
        if any(map(_is_media, _blocks(request))):
            raise ProviderError(
                f"local/{model} reads only text, not images, documents or audio",
                hint="ask another model",
            )
        server = self._servers.get(model)
        if server is None:
            server = self._servers[model] = LocalServer(model, progress=self._progress)
        url = await server.start()
        chat = self._chats.get(url)
        if chat is None:
            chat = OpenAIChat(
                Endpoint(self.name, url, key=server.api_key, quirks=CATALOGUE["llamacpp"].quirks)
            )
            self._chats[url] = chat
        return chat

    async def close(self) -> None:
        async with AsyncExitStack() as stack:  # which closes all, even if one raises
            stack.callback(self._chats.clear)
            for server in self._servers.values():
                stack.push_async_callback(server.close)
            for chat in self._chats.values():
                stack.push_async_callback(chat.close)


def _blocks(request: ModelRequest) -> Iterator[Block]:
    """Yield all blocks, including those inside tool results."""
    for message in request.messages:
        for block in message.content:
            yield block
            if isinstance(block, ToolResult):
                yield from block.content


def _is_media(block: Block) -> bool:
    return isinstance(block, Image) or (isinstance(block, File) and file_as_text(block) is None)

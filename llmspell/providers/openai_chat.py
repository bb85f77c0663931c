"""OpenAI's chat completions, which most other providers and local servers speak too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.providers.http_provider import Assembly, Body, HttpProvider
from llmspell.providers.openai_answer import response_from
from llmspell.providers.openai_body import request_body

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse


class OpenAIChat(HttpProvider):
    """See `HttpProvider`."""

    def headers(self) -> dict[str, str]:
        key = self.endpoint.key
        return {"authorization": f"Bearer {key}"} if key else {}

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        return "/chat/completions"

    def body(self, request: ModelRequest, model: str, *, stream: bool) -> Body:
        body = request_body(request, model, self.endpoint)
        return (
            body | {"stream": True, "stream_options": {"include_usage": True}} if stream else body
        )

    def response(self, data: Body, request: ModelRequest) -> ModelResponse:
        return response_from(data, request, self.endpoint)

    def assembly(self, request: ModelRequest) -> Assembly:  # noqa: ARG002 - it is all in the events
        from llmspell.providers.openai_stream import ChatAssembly

        return ChatAssembly(self.endpoint)

"""OpenAI's chat completions, which most other providers and local servers implement too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.providers.http_provider import Assembly, Body
from llmspell.providers.openai_answer import response_from
from llmspell.providers.openai_body import request_body
from llmspell.providers.openai_http import OpenAIHttp

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse


class OpenAIChat(OpenAIHttp):
    """See `HttpProvider`."""

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        return "/chat/completions"

    def body(self, request: ModelRequest, model: str, *, stream: bool) -> Body:
        body: Body = {"stream": True} if stream else {}
        if stream and self.endpoint.quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
        return body | request_body(request, model, self.endpoint)

    def response(self, data: Body, request: ModelRequest) -> ModelResponse:
        return response_from(data, request, self.endpoint)

    def assembly(self, request: ModelRequest) -> Assembly:  # noqa: ARG002 - it is all in the events
        from llmspell.providers.openai_stream import ChatAssembly

        return ChatAssembly(self.endpoint)

"""OpenAI's Responses API, in which its models keep their reasoning between turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.providers.http_provider import Assembly, Body
from llmspell.providers.openai_http import OpenAIHttp
from llmspell.providers.openai_responses_answer import response_from
from llmspell.providers.openai_responses_body import request_body

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse


class OpenAIResponses(OpenAIHttp):
    """See `HttpProvider`. The server stores nothing: each request has the whole conversation."""

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        return "/responses"

    def body(self, request: ModelRequest, model: str, *, stream: bool) -> Body:
        body: Body = {"stream": True} if stream else {}
        return body | request_body(request, model, self.endpoint)

    def response(self, data: Body, request: ModelRequest) -> ModelResponse:
        return response_from(data, request, self.endpoint)

    def assembly(self, request: ModelRequest) -> Assembly:  # noqa: ARG002 - it is all in the events
        from llmspell.providers.openai_responses_stream import ResponsesAssembly

        return ResponsesAssembly(self.endpoint)

"""Anthropic's Messages API, which some other providers and local servers implement too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from llmspell.providers.anthropic_answer import response_from
from llmspell.providers.anthropic_body import longest_answer, request_body, supports_schema
from llmspell.providers.anthropic_thinking import BETA
from llmspell.providers.http_provider import Assembly, Body, HttpProvider
from llmspell.providers.provider import ModelName

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse

_VERSION = "2026-10-21"  # of the API, as the official SDK asks for it


class AnthropicMessages(HttpProvider):
    """See `HttpProvider`. The base URL may omit `/v1`, as in Anthropic's own SDK."""

    models_path: ClassVar[str] = "/models?limit=1000"
    version: ClassVar[str] = "/v1"

    def headers(self) -> dict[str, str]:
        headers = {"anthropic-version": _VERSION, "anthropic-beta": BETA}
        return headers | {"x-api-key": self.endpoint.key} if self.endpoint.key else headers

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the body says both
        return "/messages"

    def body(self, request: ModelRequest, model: str, *, stream: bool) -> Body:
        body = request_body(request, model, self.endpoint)
        return body | {"stream": True} if stream else body

    def as_sent(self, request: ModelRequest) -> ModelRequest:
        if request.max_tokens is not None:
            model = ModelName.parse(request.model).model
            request = replace(request, max_tokens=longest_answer(request, model, self.endpoint))
        return super().as_sent(request)

    def answers_by_tool(self, request: ModelRequest) -> bool:
        held = supports_schema(request.output or {}, ModelName.parse(request.model).model)
        return not held or super().answers_by_tool(request)

    def response(self, data: Body, request: ModelRequest) -> ModelResponse:
        return response_from(data, request, self.endpoint)

    def assembly(self, request: ModelRequest) -> Assembly:  # noqa: ARG002 - it is all in the events
        from llmspell.providers.anthropic_stream import MessageAssembly

        return MessageAssembly(self.endpoint)

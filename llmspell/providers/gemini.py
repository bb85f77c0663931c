"""Google's Gemini, by its own API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from llmspell.providers.gemini_answer import response_from
from llmspell.providers.gemini_body import request_body
from llmspell.providers.gemini_models import traits
from llmspell.providers.http_provider import Assembly, Body, HttpProvider
from llmspell.providers.provider import ModelName

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse


class Gemini(HttpProvider):
    """See `HttpProvider`. The base URL may do without a version, as it does in Google's own SDK."""

    models_path: ClassVar[str] = "/models?pageSize=1000"
    version: ClassVar[str] = "/v1beta"  # which has all of v1, and models that are not in it yet

    def headers(self) -> dict[str, str]:
        key = self.endpoint.key
        return {"x-goog-api-key": key} if key else {}

    def path(self, model: str, *, stream: bool) -> str:
        name = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
        asked = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/{quote(name)}:{asked}"

    def body(self, request: ModelRequest, model: str, *, stream: bool) -> Body:  # noqa: ARG002 - the path says it
        return request_body(request, model, self.endpoint)

    def answers_by_tool(self, request: ModelRequest) -> bool:
        combines = traits(ModelName.parse(request.model).model).combines
        return bool(request.tools) and not combines

    def response(self, data: Body, request: ModelRequest) -> ModelResponse:
        return response_from(data, request, self.endpoint)

    def assembly(self, request: ModelRequest) -> Assembly:  # noqa: ARG002 - it is all in the events
        from llmspell.providers.gemini_stream import ContentAssembly

        return ContentAssembly(self.endpoint)

    def model_names(self, listed: Any) -> list[str]:
        models = listed.get("models") if isinstance(listed, dict) else None
        return [
            model["name"].removeprefix("models/")
            for model in (models if isinstance(models, list) else ())
            if isinstance(model, dict)
            and isinstance(model.get("name"), str)
            and "generateContent" in model.get("supportedGenerationMethods", ())
        ]

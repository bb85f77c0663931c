"""Google's Gemini, through its native API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from llmspell.providers.answer_parts import count, entries
from llmspell.providers.embedding import Vector
from llmspell.providers.gemini_answer import check_error, response_from
from llmspell.providers.gemini_body import request_body
from llmspell.providers.gemini_models import traits
from llmspell.providers.http_embedder import HttpEmbedder, entries_in, vector_in
from llmspell.providers.http_provider import Assembly, Body
from llmspell.providers.messages import Usage
from llmspell.providers.provider import ModelName
from llmspell.providers.tokens import tokens_in

if TYPE_CHECKING:
    from llmspell.providers.messages import ModelRequest, ModelResponse


class Gemini(HttpEmbedder):
    """See `HttpProvider`. The base URL may omit the version, as in Google's own SDK."""

    models_path: ClassVar[str] = "/models?pageSize=1000"
    version: ClassVar[str] = "/v1beta"  # a superset of v1, with newer models

    def headers(self) -> dict[str, str]:
        key = self.endpoint.key
        return {"x-goog-api-key": key} if key else {}

    def path(self, model: str, *, stream: bool) -> str:
        asked = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/{quote(_full(model))}:{asked}"

    def body(self, request: ModelRequest, model: str, *, stream: bool) -> Body:  # noqa: ARG002 - the path says it
        return request_body(request, model, self.endpoint)

    def answers_by_tool(self, request: ModelRequest) -> bool:
        combines = traits(ModelName.parse(request.model).model).combines
        return (bool(request.tools) and not combines) or super().answers_by_tool(request)

    def response(self, data: Body, request: ModelRequest) -> ModelResponse:
        return response_from(data, request, self.endpoint)

    def assembly(self, request: ModelRequest) -> Assembly:  # noqa: ARG002 - it is all in the events
        from llmspell.providers.gemini_stream import ContentAssembly

        return ContentAssembly(self.endpoint)

    def embed_path(self, model: str) -> str:
        return f"/{quote(_full(model))}:batchEmbedContents"

    def embed_body(self, model: str, texts: Sequence[str], dimensions: int | None) -> Body:
        more = {} if dimensions is None else {"outputDimensionality": dimensions}
        return {
            "requests": [
                {
                    "model": _full(model),
                    "content": {"parts": [{"text": text}], "role": "user"},
                    **more,
                }
                for text in texts
            ]
        }

    def vectors(self, data: Body, texts: Sequence[str]) -> tuple[list[Vector], Usage]:
        check_error(data, self.endpoint)
        entries = entries_in(data, "embeddings", self.endpoint)
        # Not every model reports its input tokens.
        counted = count(data.get("usageMetadata"), "promptTokenCount")
        usage = Usage(input_tokens=counted or sum(map(tokens_in, texts)))
        return [vector_in(entry.get("values"), self.endpoint) for entry in entries], usage

    def model_names(self, listed: Any) -> list[str]:
        models = listed.get("models") if isinstance(listed, dict) else None
        return [
            model["name"].removeprefix("models/")
            for model in entries(models)
            if isinstance(model, dict)
            and isinstance(model.get("name"), str)
            and "generateContent" in entries(model.get("supportedGenerationMethods"))
        ]


def _full(model: str) -> str:
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"

"""The other endpoints of model servers: lists of models, and embeddings.

Source of the formats: `openai.types` (`model`, `create_embedding_response`), `anthropic.types`
(`model_info`, pages of `anthropic.pagination`) and `google.genai.types` (`Model`,
`EmbedContentResponse`) of the official Python SDKs. Anthropic has no embeddings.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from llmspell.providers.tokens import tokens_in
from llmspell.testing.fakes.openai_chat import missing
from llmspell.testing.fakes.requests import Received

Body = dict[str, Any]
Vectors: TypeAlias = Callable[[str], Sequence[float]]
"""Embeds a text."""

DIMENSIONS = 16
_RELEASED = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Offer:
    """One such endpoint, in one protocol.

    Attributes:
        protocol: Name of the dialect that it shares keys and errors with.
        lists: Whether it lists models; otherwise it embeds texts.
        problem: Returns why the real server would reject the request, or None.
        body: Returns the answer, given the names of the models or the embedding function.
    """

    protocol: str
    lists: bool
    problem: Callable[[Received], str | None]
    body: Callable[[Received, Any], Body]


def offer_of(request: Received) -> Offer | None:
    """Return the endpoint of a request; None if it is for a model's answer, or unknown."""
    path = request.path
    if path.endswith("/models"):
        if "anthropic-version" in request.headers:
            return _ANTHROPIC_MODELS
        google = "x-goog-api-key" in request.headers or path.startswith("/v1beta/")
        return _GEMINI_MODELS if google else _OPENAI_MODELS
    if path.endswith("/embeddings"):
        return _OPENAI_VECTORS
    return _GEMINI_VECTORS if path.endswith(":batchEmbedContents") else None


def letters(text: str) -> list[float]:
    """Embed a text by its letters: deterministic, and similar for similar texts."""
    counts = [0.0] * DIMENSIONS
    for letter in text.casefold():
        counts[ord(letter) % DIMENSIONS] += 1.0
    length = math.hypot(*counts) or 1.0
    return [count / length for count in counts]


def _unproblematic(_: Received) -> str | None:
    return None


def _openai_models(_: Received, names: Sequence[str]) -> Body:
    models = [
        {"id": name, "object": "model", "created": 1790000000, "owned_by": "fake"} for name in names
    ]
    return {"object": "list", "data": models}


def _anthropic_models(request: Received, names: Sequence[str]) -> Body:
    start = _after(names, request.query.get("after_id"))
    shown = names[start : start + _number(request, "limit", 20)]
    models = [
        {
            "id": name,
            "type": "model",
            "display_name": name,
            "created_at": _RELEASED,
            "deprecated_at": None,
            "lifecycle": "active",
            "line": None,
            "retires_at": None,
        }
        for name in shown
    ]
    return {
        "data": models,
        "has_more": start + len(shown) < len(names),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }


def _gemini_models(request: Received, names: Sequence[str]) -> Body:
    start = _number(request, "pageToken", 0)
    end = start + _number(request, "pageSize", 50)
    models = [
        {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }
        for name in names[start:end]
    ]
    return {"models": models} | ({"nextPageToken": str(end)} if end < len(names) else {})


def _after(names: Sequence[str], name: str | None) -> int:
    return names.index(name) + 1 if name in names else 0


def _number(request: Received, name: str, usual: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() else usual


def _openai_texts(request: Received) -> list[Any]:
    given = request.json["input"]
    return given if isinstance(given, list) else [given]


def _openai_problem(request: Received) -> str | None:
    problem = missing(request.json, "model", "input")
    if problem:
        return problem
    texts = _openai_texts(request)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        return "'input' is invalid: this server takes texts that are not empty."
    if request.json.get("encoding_format", "float") not in ("float", "base64"):
        return "'encoding_format' is float or base64."
    return _problem_of(request.json.get("dimensions"), "dimensions")


def _problem_of(dimensions: Any, name: str) -> str | None:
    fits = dimensions is None or (isinstance(dimensions, int) and dimensions > 0)
    return None if fits else f"'{name}' is a positive integer."


def _openai_vectors(request: Received, make: Vectors) -> Body:
    texts, asked = _openai_texts(request), request.json
    vectors = [_cut(make(text), asked.get("dimensions")) for text in texts]
    packed = asked.get("encoding_format") == "base64"
    tokens = sum(map(tokens_in, texts))
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(v) if packed else v}
            for index, v in enumerate(vectors)
        ],
        "model": asked["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _gemini_problem(request: Received) -> str | None:
    problem = missing(request.json, "requests")
    if problem:
        return problem
    named = request.path.rpartition("/models/")[2].partition(":")[0]
    for one in request.json["requests"]:
        if one.get("model") != f"models/{named}":
            return "the models of all requests must be the one in the path"
        if not one.get("content", {}).get("parts"):
            return "content is required"
        if wrong := _problem_of(one.get("outputDimensionality"), "outputDimensionality"):
            return wrong
    return None


def _gemini_vectors(request: Received, make: Vectors) -> Body:
    made, tokens = [], 0
    for one in request.json["requests"]:
        text = "".join([part.get("text", "") for part in one["content"]["parts"]])
        made.append({"values": _cut(make(text), one.get("outputDimensionality"))})
        tokens += tokens_in(text)
    usage = {"promptTokenCount": tokens, "totalTokenCount": tokens}
    return {"embeddings": made, "usageMetadata": usage}


def _cut(vector: Sequence[float], dimensions: int | None) -> list[float]:
    return [float(number) for number in vector][:dimensions]


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


_OPENAI_MODELS = Offer("openai", lists=True, problem=_unproblematic, body=_openai_models)
_ANTHROPIC_MODELS = Offer("anthropic", lists=True, problem=_unproblematic, body=_anthropic_models)
_GEMINI_MODELS = Offer("gemini", lists=True, problem=_unproblematic, body=_gemini_models)
_OPENAI_VECTORS = Offer("openai", lists=False, problem=_openai_problem, body=_openai_vectors)
_GEMINI_VECTORS = Offer("gemini", lists=False, problem=_gemini_problem, body=_gemini_vectors)

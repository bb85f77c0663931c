"""Builds request bodies for `generateContent` of the Gemini API.

Source of the format: `google.genai.types.GenerateContentConfig` of the official Python SDK, and how
its `models` module serializes it for the Gemini API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.providers.body_parts import instructions
from llmspell.providers.gemini_content import conversation
from llmspell.providers.gemini_models import Traits, traits
from llmspell.providers.gemini_schema import accepted
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import ModelRequest, ToolSpec

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

_BUDGETS = {"low": 2048, "medium": 8192, "high": 16_384}  # tokens


def request_body(request: ModelRequest, model: str, endpoint: Endpoint) -> Body:
    """Return the JSON body to post. `model` is the request's, without the provider's name.

    Raises:
        InvalidArguments: A message contains a block that its role does not allow.
    """
    takes = traits(model)
    system, messages = instructions(request)
    optional: Body = {
        "systemInstruction": {"parts": [{"text": text} for text in system]} if system else None,
        "tools": _tools(request),
        "toolConfig": _tool_config(request),
        "generationConfig": _generation_config(request, takes),
    }
    body: Body = {"contents": conversation(messages, takes, endpoint)}
    body |= {name: value for name, value in optional.items() if value}
    return body | dict(endpoint.extra_body) | request.extra_body


def _tools(request: ModelRequest) -> list[Body]:
    declared = [_tool(tool) for tool in request.tools]
    return [{"functionDeclarations": declared}] if declared else []


def _tool(tool: ToolSpec) -> Body:
    body: Body = {"name": tool.name}
    if tool.description:
        body["description"] = tool.description
    if tool.schema.get("properties") or tool.schema.get("additionalProperties"):
        body["parametersJsonSchema"] = accepted(tool.schema)
    return body


def _tool_config(request: ModelRequest) -> Body | None:
    wanted = request.tool_choice
    if wanted is None or not request.tools:
        return None
    mode = {"auto": "AUTO", "none": "NONE", "required": "ANY"}.get(wanted)
    if mode is not None:
        return {"functionCallingConfig": {"mode": mode}}
    return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [wanted]}}


def _generation_config(request: ModelRequest, takes: Traits) -> Body:
    output = request.output
    config: Body = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "maxOutputTokens": request.max_tokens,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "responseMimeType": "application/json" if output is not None else None,
        "responseJsonSchema": accepted(output) if output is not None else None,
        "thinkingConfig": _thinking_config(request.reasoning, takes),
    }
    return {name: value for name, value in config.items() if value is not None}


def _thinking_config(wanted: str | int | None, takes: Traits) -> Body | None:
    """Return the `thinkingConfig`: a level for current models, a token budget for older ones."""
    if wanted is None or (not takes.levels and takes.least_budget is None):
        return None
    if wanted in ("none", 0):
        if takes.levels:
            return {"thinkingLevel": takes.levels[0]}
        return {"thinkingBudget": takes.least_budget}
    shown: Body = {"includeThoughts": True}
    if takes.levels:
        return shown | {"thinkingLevel": _level(wanted, takes.levels)}
    tokens = wanted if isinstance(wanted, int) else _BUDGETS.get(wanted, _BUDGETS["high"])
    return shown | {"thinkingBudget": max(tokens, takes.least_budget or 0)}


def _level(wanted: str | int, levels: tuple[str, ...]) -> str:
    """Return the level of that name or budget, or the next higher one the model has."""
    if isinstance(wanted, int):
        wanted = next((name for name, most in _BUDGETS.items() if wanted <= most), "high")
    order = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
    name = wanted.upper()
    if name not in order:
        return levels[-1]
    return next((level for level in levels if order.index(level) >= order.index(name)), levels[-1])

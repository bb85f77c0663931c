"""Reasoning options in the dialects of the servers that use OpenAI's protocol.

Sources: OpenAI's `reasoning_effort`; the guides of OpenRouter ("Reasoning tokens") and DeepSeek
("Thinking mode"); the types of the SDKs of Together, Cerebras, Groq, Mistral and Fireworks; for
self-hosted models, the pages of vLLM ("Reasoning outputs") and of llama.cpp's server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Body = dict[str, Any]

LOW, MEDIUM = 2048, 8192
"""Token budgets up to these count as low and medium effort, for servers that only take words."""


def effort(wanted: str | int) -> str:
    """Return the effort as a word: "none", "low", "medium", "high", or the provider's own."""
    if isinstance(wanted, str):
        return wanted
    if wanted == 0:
        return "none"
    return "low" if wanted <= LOW else "medium" if wanted <= MEDIUM else "high"


def _effort(wanted: str | int) -> Body:
    return {"reasoning_effort": effort(wanted)}


def _openrouter(wanted: str | int) -> Body:
    if isinstance(wanted, int) and wanted:
        return {"reasoning": {"max_tokens": wanted}}
    return {"reasoning": {"effort": effort(wanted)}}


def _deepseek(wanted: str | int) -> Body:
    if effort(wanted) == "none":
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled"}} | _effort(wanted)


def _together(wanted: str | int) -> Body:
    if effort(wanted) == "none":
        return {"reasoning": {"enabled": False}}
    return {"reasoning": {"enabled": True}} | _effort(wanted)


def _tokens(wanted: str | int) -> Body:
    return {"reasoning_effort": wanted or "none"}


def _template(wanted: str | int) -> Body:
    """Return the fields for servers that pass the option to the model's chat template."""
    body: Body = {"chat_template_kwargs": {"enable_thinking": effort(wanted) != "none"}}
    if isinstance(wanted, int):
        body["thinking_budget_tokens"] = wanted
    return body | _effort(wanted)


WAYS: Mapping[str, Callable[[str | int], Body]] = {
    "effort": _effort,
    "openrouter": _openrouter,
    "deepseek": _deepseek,
    "together": _together,
    "tokens": _tokens,
    "template": _template,
}
"""By `Quirks.reasoning`: the function that returns a request's fields for a reasoning option."""

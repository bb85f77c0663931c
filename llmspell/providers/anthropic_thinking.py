"""Thinking options of a request to one of Anthropic's models.

Source of the format: `anthropic.types.thinking_config_param` and `output_config_param` of the
official Python SDK; of `block_binding`, `anthropic.types.beta.beta_thinking_block_binding_param`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmspell.providers.anthropic_models import Traits
from llmspell.providers.http_provider import Body
from llmspell.providers.messages import ModelRequest, Reasoning

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

BETA = "thinking-binding-controls-2026-08-01"
"""Lets a request have thinking blocks that no longer match dropped instead of rejected."""

_BUDGETS = {"low": 2048, "medium": 8192, "high": 16_384}  # tokens
_LEAST_BUDGET = 1024


def thinking(
    request: ModelRequest, takes: Traits, endpoint: Endpoint, *, forced: bool
) -> Body | None:
    """Return the `thinking` field; `forced` is whether the model is forced to call a tool."""
    wanted = request.reasoning
    if wanted in ("none", 0):
        return takes.off
    if takes.budget:
        if wanted is None or forced or _in_turn_without_thinking(request, endpoint):
            return None
        tokens = wanted if isinstance(wanted, int) else _BUDGETS.get(wanted, _BUDGETS["high"])
        return {"type": "enabled", "budget_tokens": max(tokens, _LEAST_BUDGET)}
    config: Body = {}
    if wanted is not None:
        config = {"type": "adaptive"} | ({"display": "summarized"} if takes.shows else {})
    if takes.binds and _thought_before(request, endpoint) and _beta_is_on(endpoint):
        # Agents drop old messages, and the API would reject thinking blocks that followed them.
        config |= {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    return config or None


def effort(request: ModelRequest, takes: Traits) -> str | None:
    """Return the `output_config.effort` field, for models that use it."""
    wanted = request.reasoning
    if wanted is None or takes.budget:
        return None
    if wanted in ("none", 0):
        return None if takes.off else "low"
    if isinstance(wanted, int):
        return next((name for name, most in _BUDGETS.items() if wanted <= most), "high")
    return wanted


def max_tokens(request: ModelRequest, usual: int, thinking: Body | None) -> int:
    """Return `max_tokens`, raised where needed so that it includes the thinking budget."""
    budget = int((thinking or {}).get("budget_tokens", 0))
    wanted = request.max_tokens or usual
    return wanted if wanted > budget and request.max_tokens else wanted + budget


def _thought_before(request: ModelRequest, endpoint: Endpoint) -> bool:
    return any(
        isinstance(block, Reasoning) and block.provider == endpoint.name
        for message in request.messages
        for block in message.content
    )


def _in_turn_without_thinking(request: ModelRequest, endpoint: Endpoint) -> bool:
    """Whether the current turn called tools without thinking, perhaps with another model.

    The API does not let a model start thinking before that turn has ended.
    """
    if not request.messages or request.messages[-1].role != "tool":
        return False
    asked = next((m for m in reversed(request.messages) if m.role == "assistant"), None)
    return asked is not None and not any(
        isinstance(block, Reasoning) and block.provider == endpoint.name for block in asked.content
    )


def _beta_is_on(endpoint: Endpoint) -> bool:
    """Whether the provider's requests enable the beta; config may override the header."""
    own = [text for name, text in endpoint.headers.items() if name.lower() == "anthropic-beta"]
    return BETA in own[-1] if own else True

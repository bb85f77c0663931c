"""How much one of Anthropic's models is to think before it answers.

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
"""Lets a request ask that thoughts which fit no longer are dropped, rather than refused."""

_BUDGETS = {"low": 2048, "medium": 8192, "high": 16_384}  # tokens
_LEAST_BUDGET = 1024


def thinking(
    request: ModelRequest, takes: Traits, endpoint: Endpoint, *, forced: bool
) -> Body | None:
    """What the field `thinking` says; `forced` is whether the model is made to call a tool."""
    wanted = request.reasoning
    if wanted in ("none", 0):
        return takes.off
    if takes.budget:
        if wanted is None or forced or _in_thoughtless_turn(request, endpoint):
            return None
        tokens = wanted if isinstance(wanted, int) else _BUDGETS.get(wanted, _BUDGETS["high"])
        return {"type": "enabled", "budget_tokens": max(tokens, _LEAST_BUDGET)}
    config: Body = {}
    if wanted is not None:
        config = {"type": "adaptive"} | ({"display": "summarized"} if takes.shows else {})
    if takes.binds and _thought_before(request, endpoint) and _beta_is_on(endpoint):
        # Agents cut old messages off, and the API would refuse what was thought after those.
        config |= {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    return config or None


def effort(request: ModelRequest, takes: Traits) -> str | None:
    """What the field `output_config.effort` says, for models that go by it."""
    wanted = request.reasoning
    if wanted is None or takes.budget:
        return None
    if wanted in ("none", 0):
        return None if takes.off else "low"
    if isinstance(wanted, int):
        return next((name for name, most in _BUDGETS.items() if wanted <= most), "high")
    return wanted


def max_tokens(request: ModelRequest, usual: int, thinking: Body | None) -> int:
    """The longest answer; what is thought by a budget counts as a part of it."""
    budget = int((thinking or {}).get("budget_tokens", 0))
    wanted = request.max_tokens or usual
    return wanted if wanted > budget and request.max_tokens else wanted + budget


def _thought_before(request: ModelRequest, endpoint: Endpoint) -> bool:
    return any(
        isinstance(block, Reasoning) and block.provider == endpoint.name
        for message in request.messages
        for block in message.content
    )


def _in_thoughtless_turn(request: ModelRequest, endpoint: Endpoint) -> bool:
    """Whether tools were called without a thought, perhaps by another model.

    The API refuses to begin thinking before that turn has ended.
    """
    if not request.messages or request.messages[-1].role != "tool":
        return False
    asked = next((m for m in reversed(request.messages) if m.role == "assistant"), None)
    return asked is not None and not any(
        isinstance(block, Reasoning) and block.provider == endpoint.name for block in asked.content
    )


def _beta_is_on(endpoint: Endpoint) -> bool:
    """Whether the header of this provider's requests names the beta; config may say otherwise."""
    own = [text for name, text in endpoint.headers.items() if name.lower() == "anthropic-beta"]
    return BETA in own[-1] if own else True

"""Estimates the most that a request may cost before it is made; the estimate is reserved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

from llmspell.limits import MAX_LIMIT
from llmspell.providers.messages import ModelRequest, Usage
from llmspell.providers.tokens import tokens_asked

if TYPE_CHECKING:
    from llmspell.providers.request_coalescing import Caller

MARGIN = 4 / 3  # token estimates are too low for some languages and code
ANSWER = 4096
"""Tokens assumed for the answer to a request without a limit."""
_LONGEST = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")
_SEVERAL = ("n", "candidateCount")
"""Names in the protocols for the limit of an answer, and for the number of answers."""
THINKING = {"none": 0, "minimal": 1024, "low": 2048, "medium": 8192, "high": 24576}
"""Tokens a model may spend on reasoning, by reasoning effort."""


Join = Callable[["Caller"], AbstractContextManager[object]]


class Estimate:
    """The most that a call may cost.

    Attributes:
        models: The models that may answer: the requested one, and others that the request names;
            empty if no model is requested.
        join: Joins a request in flight whose answer this call shares, if there is one; as a context
            manager around the call, which tells the caller whether it pays.
        streamed: Whether the spell may hold up the answer.
    """

    def __init__(
        self,
        models: list[str],
        count: Callable[[], Usage],
        *,
        streamed: bool = False,
        join: Join = nullcontext,
    ) -> None:
        self.models, self.streamed, self._count = models, streamed, count
        self.join = join

    @cached_property
    def usage(self) -> Usage:
        """The tokens, counted on first access."""
        return self._count()


def of_request(
    request: ModelRequest,
    *,
    streamed: bool = False,
    sent: Callable[[ModelRequest], ModelRequest] = lambda request: request,
    join: Join = nullcontext,
) -> Estimate:
    """Estimate a request from its size and from the limits of its answer, as it is `sent`."""
    return Estimate(models_of(request), lambda: _usage(sent(request)), streamed=streamed, join=join)


def _usage(request: ModelRequest) -> Usage:
    return Usage(ceil(tokens_asked(request) * MARGIN), _answer(request))


def _answer(request: ModelRequest) -> int:
    """Return the most tokens of all answers; provider-specific fields may ask for several."""
    usual = request.max_tokens or ANSWER + _thinking(request.reasoning)
    own = request.extra_body
    if not own:
        return usual
    config = own.get("generationConfig")  # Gemini's; replaces the one that we send
    within = config if isinstance(config, dict) else {}
    longest = _most(own, _LONGEST) or _most(within, _LONGEST)
    if config is not None and not longest:
        usual = max(usual, ANSWER + _thinking(request.reasoning))
    return max(longest, usual) * max(_most(own, _SEVERAL), _most(within, _SEVERAL), 1)


def _most(fields: Mapping[str, Any], names: tuple[str, ...]) -> int:
    given = [fields.get(name) for name in names]
    return max(
        [ceil(n) for n in given if isinstance(n, (int, float)) and 0 < n < MAX_LIMIT], default=0
    )


def models_of(request: ModelRequest) -> list[str]:
    """Return the requested model, and those that provider-specific fields name instead of it."""
    if not request.extra_body:
        return [request.model]
    provider = request.model.partition("/")[0]
    others = [request.extra_body.get("model"), request.extra_body.get("models")]
    named = [n for o in others for n in (o if isinstance(o, list) else [o]) if n is not None]
    return [request.model, *(f"{provider}/{name}" for name in named)]


def _thinking(reasoning: str | int | None) -> int:
    if isinstance(reasoning, int):
        return max(reasoning, 0)
    return THINKING.get(reasoning or "none", THINKING["high"])
